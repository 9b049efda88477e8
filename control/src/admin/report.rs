//! `/report` and `/report/denials`: sign-ins a row each, and refusals counted. Who it was is masked for everybody who does
//! not ask, or may not.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use penstock_core::audit::timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::audit::{csv_page, unmasking};
use super::filters::{
    EventParameters, FormatParameter, IntervalParameters, Parameters, UnmaskParameter, number, parameter, text, wanted,
};
use super::guard::Source;
use super::problem::Problem;
use super::router::Admin;
use crate::access::Identity;
use crate::audit::{Column, Dates, Row, masked_address, masked_name, report_header, report_line};
use crate::store::{DenialCount, DenialKey, DenialQuery, EventPage, Order};

#[derive(Serialize, ToSchema)]
#[schema(as = Report)]
struct ReportView {
    /// Whether names of people are masked, and addresses are told as networks.
    masked: bool,
    columns: Vec<ColumnView>,
    /// By the columns' keys.
    #[schema(value_type = Vec<BTreeMap<String, Option<String>>>)]
    rows: Vec<Value>,
    /// Give it back as `cursor` to go on; null at the end.
    #[schema(required)]
    next: Option<u64>,
    more: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Column)]
struct ColumnView {
    key: &'static str,
    heading: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Denials)]
pub(super) struct DenialsView {
    by: String,
    masked: bool,
    rows: Vec<DenialRow>,
    /// There are more rows than were asked for.
    more: bool,
}

#[derive(Serialize, ToSchema)]
struct DenialRow {
    /// Null where the events do not tell.
    #[schema(required)]
    key: Option<String>,
    denied: u64,
    would_deny: u64,
    first: String,
    last: String,
}

/// Sign-ins, a row each
///
/// A row is the first request of those that one flow makes for a sign-in. In the order of recording.
#[utoipa::path(get, path = "/report", operation_id = "report",
    params(EventParameters, FormatParameter, UnmaskParameter,
        ("columns" = Option<String>, Query, description = "Keys separated by commas; all in their order by default"),
        ("utc_offset" = Option<String>, Query, description = "Zone of the column date: +01:00, -05:30 or Z")),
    responses(
        (status = 200, description = "A page", content((ReportView = "application/json"), (String = "text/csv")),
            headers(("Penstock-Next-Cursor" = u64, description = "With CSV: where the next page begins"))),
        (status = 403, description = "The role may not see names of people"),
    ))]
pub(super) async fn sign_ins(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::new(query)?;
    let unmask = parameters.take_flag("unmask")?;
    let csv = parameters.take_csv(&headers)?;
    let columns = match parameters.take("columns") {
        Some(keys) => Column::choose(&keys)
            .map_err(|unknown| Problem::bad_request(format!("columns: there is no column {unknown:?}")))?,
        None => Column::ALL.to_vec(),
    };
    let dates = match parameters.take("utc_offset") {
        Some(offset) => Dates::parse(&offset)
            .ok_or_else(|| Problem::bad_request("utc_offset: must be written as +01:00, -05:30 or Z"))?,
        None => Dates::default(),
    };
    let mut query = parameters.take_events()?;
    parameters.finish()?;
    // To look for somebody is to be told of somebody.
    let looked_for = wanted(&query, "user").or_else(|| wanted(&query, "source"));
    let masked = unmask != Some(true) && looked_for.is_none();
    if !masked {
        unmasking(&admin, &identity, source, looked_for.as_deref()).await?;
    }
    query.sign_ins = true;
    let follow = query.order == Order::OldestFirst;
    let EventPage { events, last, more, .. } = admin.events.events(query).await?;
    let rows: Vec<Row> = events.into_iter().map(|event| Row::new(event, dates, masked)).collect();
    let next = last.filter(|_| more || follow);
    if csv {
        let lines: String = rows.iter().map(|row| report_line(row, &columns)).collect();
        return Ok(csv_page("penstock-report.csv", report_header(&columns) + &lines, next.filter(|_| more)));
    }
    let rows = rows.iter().map(|row| row.json(&columns)).collect();
    let columns = columns.into_iter().map(|Column { key, heading }| ColumnView { key, heading }).collect();
    Ok(Json(ReportView { masked, columns, rows, next, more }).into_response())
}

/// Refused sign-ins, counted
#[utoipa::path(get, path = "/report/denials", operation_id = "denials",
    params(DenialParameters, IntervalParameters, UnmaskParameter),
    responses(
        (status = 200, description = "The largest first, or in order of time", body = DenialsView),
        (status = 403, description = "The role may not see names of people"),
    ))]
pub(super) async fn denials(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<DenialsView>, Problem> {
    let mut parameters = Parameters::new(query)?;
    let masked = parameters.take_flag("unmask")? != Some(true);
    let by = parameters.take("by").unwrap_or_else(|| KEY_DEFAULT.to_owned());
    let Some((_, key)) = KEYS.into_iter().find(|(name, _)| *name == by) else {
        let keys = KEYS.map(|(name, _)| name).join(", ");
        return Err(Problem::bad_request(format!("by: {by:?} is none of {keys}")));
    };
    let limit = parameters.take_number("limit")?.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
    let query = DenialQuery {
        by: key,
        since_ms: parameters.take_moment("since")?,
        until_ms: parameters.take_moment("until")?,
        connector: parameters.take("connector"),
        count_max: limit + 1,
    };
    parameters.finish()?;
    if !masked {
        unmasking(&admin, &identity, source, None).await?;
    }
    let mut counts = admin.events.denials(query).await?;
    let more = counts.len() > limit;
    counts.truncate(limit);
    let shown = |told: String| match key {
        DenialKey::User if masked => masked_name(&told),
        DenialKey::Source if masked => masked_address(&told),
        DenialKey::Day | DenialKey::Hour => timestamp(told.parse().unwrap_or(0)),
        _ => told,
    };
    let row = |count: DenialCount| DenialRow {
        key: count.key.map(shown),
        denied: count.denied,
        would_deny: count.would_deny,
        first: timestamp(count.first_ms),
        last: timestamp(count.last_ms),
    };
    Ok(Json(DenialsView { by, masked, rows: counts.into_iter().map(row).collect(), more }))
}

/// The parameters of [`denials`] beside the interval.
struct DenialParameters;

impl utoipa::IntoParams for DenialParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let keys = text().enum_values(Some(KEYS.map(|(name, _)| name))).default(Some(KEY_DEFAULT.into()));
        vec![
            parameter("by", "What is counted by", keys),
            parameter("connector", "Of this connector alone", text()),
            parameter("limit", &format!("Rows; at most {ROWS_MAX}, {ROWS_DEFAULT} unless said"), number()),
        ]
    }
}

/// What denials are counted by.
const KEYS: [(&str, DenialKey); 7] = [
    ("application", DenialKey::Application),
    ("connector", DenialKey::Connector),
    ("day", DenialKey::Day),
    ("hour", DenialKey::Hour),
    ("source", DenialKey::Source),
    ("tenant", DenialKey::TargetTenant),
    ("user", DenialKey::User),
];
const KEY_DEFAULT: &str = "tenant";
const ROWS_DEFAULT: usize = 100;
const ROWS_MAX: usize = 10_000;
