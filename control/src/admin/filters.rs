//! Query parameters of events and of the report: taken one by one, so that a misspelt one is refused and not ignored.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use penstock_core::audit::Status;

use super::problem::Problem;
use crate::audit::moment;
use crate::store::{EventQuery, Order};

/// What a query string says, until it is taken. Several values of one filter are separated by commas and mean any of them.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn new(query: BTreeMap<String, String>) -> Self {
        Self(query)
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
