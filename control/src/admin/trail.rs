//! `/trail`: who did what to the appliance.

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::router::Admin;
use crate::store::{TrailEntry, TrailQuery};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrailFilters {
    /// Only entries before this one.
    before: Option<u64>,
    pub(crate) who: Option<String>,
    pub(crate) act: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct TrailView {
    pub(crate) entries: Vec<TrailEntry>,
    /// Give it back as `before` to go on; null when there is nothing to go on to.
    pub(crate) next: Option<u64>,
}

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
