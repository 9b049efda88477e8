//! `/policy/forecast`: what a policy would have done with the events that are recorded.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use penstock_core::audit::timestamp;
use penstock_core::policy::Snapshot;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::unmasking;
use super::filters::{IntervalParameters, Parameters, UnmaskParameter};
use super::guard::Source;
use super::policy::enforced;
use super::problem::Problem;
use super::router::Admin;
use super::submitted::{EXAMPLE, FileParameter, candidate};
use crate::access::Identity;
use crate::audit::{Forecast, Forecaster, moment};
use crate::store::EventQuery;

#[derive(Serialize, ToSchema)]
#[schema(as = ForecastAnswer)]
pub(super) struct ForecastView {
    masked: bool,
    since: String,
    /// Events looked at; the newest, where there are more.
    looked_at: usize,
    /// There are more events in the interval.
    truncated: bool,
    #[serde(flatten)]
    forecast: Forecast,
}

/// What a policy would have done with the recorded events
///
/// Judges the document in the body; without one, the policy in force as if its report-only profiles were enforced. Looks at
/// the newest million events of the interval, a week by default.
#[utoipa::path(post, path = "/policy/forecast", operation_id = "forecastPolicy",
    params(FileParameter, IntervalParameters, UnmaskParameter),
    request_body(description = "The document", content(
        (Option<String> = "application/toml", example = json!(EXAMPLE)),
        (Option<Object> = "application/json"),
    )),
    responses(
        (status = 200, description = "The forecast; `limits` says what it cannot know", body = ForecastView),
        (status = 403, description = "The role may not see names of people"),
        (status = 404, description = "No policy is in force"),
        (status = 422, description = "Refused; `diagnostics` says where and why"),
    ))]
pub(super) async fn forecast(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<ForecastView>, Problem> {
    let mut parameters = Parameters::new(query)?;
    let masked = parameters.take_flag("unmask")? != Some(true);
    let now_ms = moment::now_ms();
    let since_ms = parameters.take_moment("since")?.unwrap_or_else(|| now_ms.saturating_sub(SINCE_MS_DEFAULT));
    let until_ms = parameters.take_moment("until")?;
    let file = parameters.take("file");
    parameters.finish()?;
    if !masked {
        unmasking(&admin, &identity, source, None).await?;
    }
    let snapshot: Arc<Snapshot> = match body.is_empty() {
        true => Arc::new(enforced(&admin).await?),
        false => Arc::new(candidate(&headers, &body, file).await?),
    };
    let mut forecaster = Forecaster::new(&snapshot, now_ms);
    let mut query = EventQuery { since_ms: Some(since_ms), until_ms, count_max: PAGE, ..EventQuery::default() };
    let (mut looked_at, mut more) = (0, true);
    while more && looked_at < EVENTS_MAX {
        let page = admin.events.events(query.clone()).await?;
        page.events.iter().for_each(|event| forecaster.handle(event));
        looked_at += page.events.len();
        (more, query.cursor) = (page.more, page.last);
    }
    let (forecast, since) = (forecaster.finish(masked), timestamp(since_ms));
    Ok(Json(ForecastView { masked, since, looked_at, truncated: more, forecast }))
}

/// Events read at once.
const PAGE: usize = 5_000;
/// Events looked at: the answer comes within seconds, whatever is stored.
const EVENTS_MAX: usize = 1_000_000;
/// A week, unless the caller says otherwise.
const SINCE_MS_DEFAULT: u64 = 7 * 86_400_000;
