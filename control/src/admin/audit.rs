//! `/events`: the audit events, filtered, page by page, as JSON or CSV.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use penstock_core::audit::Event;
use serde::Serialize;
use utoipa::ToSchema;

use super::filters::{EventParameters, FormatParameter, Parameters, wanted};
use super::guard::Source;
use super::mirror;
use super::problem::Problem;
use super::router::Admin;
use crate::access::{Act, Identity, Outcome, Way};
use crate::audit::{csv_header, csv_line, mask};
use crate::store::{EventPage, Order};

#[derive(Serialize, ToSchema)]
#[schema(as = Events)]
struct EventsView {
    #[schema(value_type = Vec<mirror::Event>)]
    events: Vec<Event>,
    /// Give it back as `cursor` to go on; null when there is nothing to go on from.
    #[schema(required)]
    next: Option<u64>,
    /// Cursor of the newest event here: with `order=asc` it gives what comes after. Null when there are none.
    #[schema(required)]
    newest: Option<u64>,
    /// More events match right now.
    more: bool,
}

/// Audit events
///
/// Filters compare whole values; several, separated by commas, mean any of them.
#[utoipa::path(get, path = "/events", operation_id = "events",
    params(EventParameters, FormatParameter, ("unmask" = Option<bool>, Query, description = "Show the names of people in \
        `user` and `username`; recorded in the trail. By default only the holder of the token file is shown them")),
    responses(
        (status = 200, description = "A page", content((EventsView = "application/json"), (String = "text/csv")),
            headers(("Penstock-Next-Cursor" = u64, description = "With CSV: where the next page begins"))),
        (status = 403, description = "The role may not see names of people"),
    ))]
pub(super) async fn events(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::new(query)?;
    let csv = parameters.take_csv(&headers)?;
    let unmask = parameters.take_flag("unmask")?;
    let query = parameters.take_events()?;
    parameters.finish()?;
    // To look for somebody is to be told of somebody. Only the token file's holder is shown names unasked.
    let user = wanted(&query, "user");
    let is_clear = unmask.unwrap_or(identity.way == Way::File) || user.is_some();
    if is_clear {
        unmasking(&admin, &identity, source, user.as_deref()).await?;
    }
    let (follow, cursor) = (query.order == Order::OldestFirst, query.cursor);
    let EventPage { mut events, first, last, more, .. } = admin.events.events(query).await?;
    if !is_clear {
        events.iter_mut().for_each(mask);
    }
    if csv {
        let lines = events.iter().map(csv_line).collect::<String>();
        return Ok(csv_page("penstock-events.csv", csv_header() + &lines, last.filter(|_| more)));
    }
    // Who follows goes on from where it was, also when nothing is new.
    let next = if follow { last.or(cursor) } else { last.filter(|_| more) };
    Ok(Json(EventsView { events, next, newest: first.max(last), more }).into_response())
}

/// Refuses it to those who may not, and tells the trail either way.
pub(crate) async fn unmasking(
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

/// The cursor to go on from travels in a header, since a CSV body has no place for it.
pub(super) fn csv_page(file: &str, body: String, next: Option<u64>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\"")),
    ];
    let mut response = (headers, body).into_response();
    if let Some(next) = next {
        response.headers_mut().insert("penstock-next-cursor", next.into());
    }
    response
}
