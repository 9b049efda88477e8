//! `/events`: the audit events, filtered, page by page, as JSON or CSV.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use penstock_core::audit::{Event, Status};
use serde::{Deserialize, Serialize};

use super::guard::Source;
use super::problem::Problem;
use super::router::Admin;
use crate::access::{Act, Identity, Outcome, Way};
use crate::audit::{csv_header, csv_line, mask, moment};
use crate::store::{EventPage, EventQuery, Order};

/// The filters as written. Several values of one filter are separated by commas and mean any of them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    /// RFC 3339, a date, or an age such as `24h`.
    since: Option<String>,
    until: Option<String>,
    user: Option<String>,
    application: Option<String>,
    client: Option<String>,
    status: Option<String>,
    connector: Option<String>,
    source: Option<String>,
    target_tenant: Option<String>,
    node: Option<String>,
    cursor: Option<u64>,
    /// `desc` (newest first, the default) or `asc`.
    order: Option<String>,
    limit: Option<usize>,
    /// `json` or `csv`, before what `Accept` says.
    format: Option<String>,
    /// Show the names of people. Only the token file's holder is shown them unasked.
    unmask: Option<bool>,
}

#[derive(Serialize)]
struct EventsView {
    events: Vec<Event>,
    /// Give it back as `cursor` to go on; null when there is nothing to go on from.
    next: Option<u64>,
    /// Cursor of the newest event here: with `order=asc` it gives what comes after. Null when there are none.
    newest: Option<u64>,
    /// More events match right now.
    more: bool,
}

pub(super) async fn events(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(filters): Query<Filters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let csv = wants_csv(&filters, &headers)?;
    // To look for somebody is to be told of somebody.
    let is_clear = filters.unmask.unwrap_or(identity.way == Way::File) || filters.user.is_some();
    let query = query(&filters, moment::now_ms())?;
    let follow = query.order == Order::OldestFirst;
    let cursor = query.cursor;
    if is_clear {
        unmasking(&admin, &identity, source, filters.user.as_deref()).await?;
    }
    let mut page = admin.events.events(query).await?;
    if !is_clear {
        page.events.iter_mut().for_each(mask);
    }
    if csv {
        return Ok(csv_page(&page));
    }
    // Who follows goes on from where it was, also when nothing is new.
    let next = if follow { page.last.or(cursor) } else { page.last.filter(|_| page.more) };
    let newest = page.first.max(page.last);
    Ok(Json(EventsView { events: page.events, next, newest, more: page.more }).into_response())
}

/// Refuses it to those who may not, and tells the trail either way.
async fn unmasking(
    admin: &Admin,
    identity: &Identity,
    Source(from): Source,
    user: Option<&str>,
) -> Result<(), Problem> {
    let is_allowed = identity.may(Act::Unmask);
    let subject = user.map_or_else(|| "events of everyone".to_owned(), |user| format!("events of {user}"));
    let outcome = if is_allowed { Outcome::Done } else { Outcome::Refused };
    admin.trail.tell_unmasked(identity, from, &subject, outcome).await;
    if is_allowed {
        return Ok(());
    }
    let detail = format!("the role {} may not see names of people in events", identity.role.label());
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

fn query(filters: &Filters, now_ms: u64) -> Result<EventQuery, Problem> {
    let moment_of = |name: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(|text| moment::parse(text, now_ms)).transpose();
        parsed.map_err(|error| Problem::bad_request(format!("{name}: {error}")))
    };
    let order = match filters.order.as_deref() {
        None | Some("desc") => Order::NewestFirst,
        Some("asc") => Order::OldestFirst,
        Some(_) => return Err(Problem::bad_request("order: must be asc or desc")),
    };
    let named: [(&'static str, &Option<String>); 8] = [
        ("application", &filters.application),
        ("client", &filters.client),
        ("connector", &filters.connector),
        ("node", &filters.node),
        ("source", &filters.source),
        ("status", &filters.status),
        ("target_tenant", &filters.target_tenant),
        ("user", &filters.user),
    ];
    let mut equals = Vec::new();
    for (name, text) in named {
        let Some(text) = text else { continue };
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
        since_ms: moment_of("since", &filters.since)?,
        until_ms: moment_of("until", &filters.until)?,
        equals,
        cursor: filters.cursor,
        order,
        count_max: filters.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX),
    })
}

/// The statuses are a closed set: a misspelt one would find nothing, and silence reads as "no denials".
fn check_statuses(values: &[String]) -> Result<(), Problem> {
    let known: Vec<&str> = Status::ALL.iter().map(|status| status.label()).collect();
    match values.iter().find(|value| !known.contains(&value.as_str())) {
        Some(unknown) => Err(Problem::bad_request(format!("status: {unknown:?} is none of {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn wants_csv(filters: &Filters, headers: &HeaderMap) -> Result<bool, Problem> {
    match filters.format.as_deref() {
        Some("csv") => return Ok(true),
        Some("json") => return Ok(false),
        Some(_) => return Err(Problem::bad_request("format: must be json or csv")),
        None => {}
    }
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    Ok(accepted.split(',').any(|range| range.split(';').next().is_some_and(|range| range.trim() == "text/csv")))
}

/// The cursor to go on from travels in a header, since a CSV body has no place for it.
fn csv_page(page: &EventPage) -> Response {
    let mut body = csv_header();
    for event in &page.events {
        body.push_str(&csv_line(event));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"penstock-events.csv\""),
    ];
    let mut response = (headers, body).into_response();
    if let Some(next) = page.last.filter(|_| page.more) {
        response.headers_mut().insert("penstock-next-cursor", next.into());
    }
    response
}

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;
const FILTER_VALUES_MAX: usize = 64;
