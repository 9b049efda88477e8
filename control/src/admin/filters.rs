//! Query parameters of events and of the report: taken one by one, so that a misspelt one is refused and not ignored.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use penstock_core::audit::Status;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::problem::Problem;
use crate::audit::moment;
use crate::store::{EventQuery, Order};

/// What a query string says, until it is taken. Several values of one filter are separated by commas and mean any of them.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Refuses a parameter that is given twice: one of both values would not be heard.
    pub(super) fn new(query: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for (name, value) in query {
            if parameters.contains_key(&name) {
                return Err(Problem::bad_request(format!(
                    "{name}: given twice; several values are separated by commas"
                )));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// To be called when everything that is known was taken.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.keys().next() {
            Some(unknown) => Err(Problem::bad_request(format!("there is no parameter {unknown:?}"))),
            None => Ok(()),
        }
    }

    pub(super) fn take_number<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let number = self.take(name).map(|text| text.parse());
        number.transpose().map_err(|_| Problem::bad_request(format!("{name}: must be a number")))
    }

    pub(super) fn take_flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("false") => Ok(Some(false)),
            Some("true") => Ok(Some(true)),
            Some(_) => Err(Problem::bad_request(format!("{name}: must be true or false"))),
        }
    }

    /// RFC 3339, a date, or an age such as `24h`; Unix time, milliseconds.
    pub(super) fn take_moment(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let moment = self.take(name).map(|text| moment::parse(&text, moment::now_ms()));
        moment.transpose().map_err(|error| Problem::bad_request(format!("{name}: {error}")))
    }

    /// Whether CSV is asked for, by `format` (`json` or `csv`) before what `Accept` says.
    pub(super) fn take_csv(&mut self, headers: &HeaderMap) -> Result<bool, Problem> {
        match self.take("format").as_deref() {
            Some("csv") => return Ok(true),
            Some("json") => return Ok(false),
            Some(_) => return Err(Problem::bad_request("format: must be json or csv")),
            None => {}
        }
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
        Ok(accepted.split(',').any(|range| range.split(';').next().is_some_and(|range| range.trim() == "text/csv")))
    }

    /// The filters, the interval, the page.
    pub(super) fn take_events(&mut self) -> Result<EventQuery, Problem> {
        let order = match self.take("order").as_deref() {
            None | Some("desc") => Order::NewestFirst,
            Some("asc") => Order::OldestFirst,
            Some(_) => return Err(Problem::bad_request("order: must be asc or desc")),
        };
        let mut equals = Vec::new();
        for name in FILTERS {
            let Some(text) = self.take(name) else { continue };
            let values: Vec<String> = text.split(',').map(|value| value.trim().to_owned()).collect();
            if values.len() > FILTER_VALUES_MAX {
                return Err(Problem::bad_request(format!("{name}: at most {FILTER_VALUES_MAX} values")));
            }
            if name == "status" {
                check_statuses(&values)?;
            }
            equals.push((name, values));
        }
        Ok(EventQuery {
            since_ms: self.take_moment("since")?,
            until_ms: self.take_moment("until")?,
            equals,
            sign_ins: false,
            cursor: self.take_number("cursor")?,
            order,
            count_max: self.take_number("limit")?.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX),
        })
    }
}

/// What [`Parameters::take_events`] takes, as it is described.
pub(super) struct EventParameters;

/// What [`Parameters::take_moment`] is asked for, as it is described.
pub(super) struct IntervalParameters;

/// What [`Parameters::take_csv`] takes, as it is described.
pub(super) struct FormatParameter;

/// The parameter `unmask`, as it is described.
pub(super) struct UnmaskParameter;

impl utoipa::IntoParams for EventParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = <IntervalParameters as utoipa::IntoParams>::into_params(|| None);
        for name in FILTERS {
            let about = match name {
                "source" => "Address of the inside host",
                "status" => "Of allowed, denied, fault, would_deny",
                _ => "Values of the event's field of this name",
            };
            parameters.push(parameter(name, about, text()));
        }
        let orders = text().enum_values(Some(["desc", "asc"])).default(Some("desc".into()));
        parameters.extend([
            parameter("cursor", "Go on behind this event", number()),
            parameter("order", "Newest first, or in the order of recording", orders),
            parameter("limit", &format!("At most {PAGE_MAX}; {PAGE_DEFAULT} unless said"), number()),
        ]);
        parameters
    }
}

impl utoipa::IntoParams for IntervalParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let since = parameter("since", "RFC 3339, a date, or an age such as 24h; inclusive", text());
        vec![since, parameter("until", "The same; exclusive", text())]
    }
}

impl utoipa::IntoParams for FormatParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter("format", "Before what Accept says", text().enum_values(Some(["json", "csv"])))]
    }
}

impl utoipa::IntoParams for UnmaskParameter {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Show names and addresses of people. The role must allow it, and the trail tells of it; a filter by user \
                     or source asks for it too";
        let flag = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(false.into()));
        vec![parameter("unmask", about, flag)]
    }
}

pub(super) fn parameter(name: &str, about: &str, schema: ObjectBuilder) -> Parameter {
    let mut parameter = Parameter::new(name);
    parameter.parameter_in = ParameterIn::Query;
    parameter.required = Required::False;
    parameter.description = Some(about.to_owned());
    parameter.schema = Some(schema.into());
    parameter
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub(super) fn number() -> ObjectBuilder {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    number.format(Some(SchemaFormat::KnownFormat(KnownFormat::UInt64)))
}

/// What a query filters by `name` for, in words.
pub(super) fn wanted(query: &EventQuery, name: &str) -> Option<String> {
    query.equals.iter().find(|(filter, _)| *filter == name).map(|(_, values)| values.join(", "))
}

/// The statuses are a closed set: a misspelt one would find nothing, and silence reads as "no denials".
fn check_statuses(values: &[String]) -> Result<(), Problem> {
    let known: Vec<&str> = Status::ALL.iter().map(|status| status.label()).collect();
    match values.iter().find(|value| !known.contains(&value.as_str())) {
        Some(unknown) => Err(Problem::bad_request(format!("status: {unknown:?} is none of {}", known.join(", ")))),
        None => Ok(()),
    }
}

const FILTERS: [&str; 8] = ["application", "client", "connector", "node", "source", "status", "target_tenant", "user"];
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;
const FILTER_VALUES_MAX: usize = 64;
