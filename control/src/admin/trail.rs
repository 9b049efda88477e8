//! `/trail`: who did what to the appliance.

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::router::Admin;
use crate::store::{TrailEntry, TrailQuery};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrailFilters {
    /// Only entries before this id.
    before: Option<u64>,
    /// A user, `token:ID` or `token:file`.
    pub(crate) who: Option<String>,
    /// An act, such as `change_policy`.
    pub(crate) act: Option<String>,
    /// At most 10000; 100 unless said.
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Trail)]
pub(crate) struct TrailView {
    pub(crate) entries: Vec<TrailEntry>,
    /// Give it back as `before` to go on; null when there is nothing to go on to.
    #[schema(required)]
    pub(crate) next: Option<u64>,
}

/// Who did what to the appliance, newest first
#[utoipa::path(get, path = "/trail", operation_id = "listTrail", params(TrailFilters), responses(
    (status = 200, description = "The entries", body = TrailView),
))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(filters): Query<TrailFilters>,
) -> Result<Json<TrailView>, Problem> {
    Ok(Json(page(&admin, filters).await?))
}

/// Newest first.
pub(crate) async fn page(admin: &Admin, filters: TrailFilters) -> Result<TrailView, Problem> {
    let TrailFilters { before, who, act, limit } = filters;
    let count_max = limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let wanted = |text: Option<String>| text.filter(|text| !text.is_empty());
    let query = TrailQuery { before, who: wanted(who), act: wanted(act), count_max: count_max + 1 };
    let mut entries = admin.trail_store.trail(query).await?;
    let more = entries.len() > count_max;
    entries.truncate(count_max);
    let next = entries.last().map(|entry| entry.id).filter(|_| more);
    Ok(TrailView { entries, next })
}

const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 10_000;
