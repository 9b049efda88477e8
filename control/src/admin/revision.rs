//! `/policy/history`, `/policy/rollback`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use penstock_core::audit::timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::{PublishedView, published};
use super::problem::Problem;
use super::router::Admin;
use super::submitted::{IfMatch, expected_epoch};
use crate::access::Identity;
use crate::store::{Revision, RevisionSource};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Only epochs below this one.
    before: Option<u64>,
    /// At most 1000; 50 unless said.
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = History)]
pub(super) struct HistoryView {
    revisions: Vec<RevisionView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Revision)]
struct RevisionView {
    epoch: u64,
    active: bool,
    time: String,
    author: String,
    comment: String,
    source: RevisionSource,
    digest: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackRequest {
    /// What was in force before, unless one is named.
    epoch: Option<u64>,
    author: Option<String>,
    comment: Option<String>,
}

/// Revisions, newest first
#[utoipa::path(get, path = "/policy/history", operation_id = "history", params(HistoryQuery), responses(
    (status = 200, description = "Revisions", body = HistoryView),
))]
pub(super) async fn history(
    State(admin): State<Admin>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<HistoryView>, Problem> {
    let limit = query.limit.unwrap_or(HISTORY_DEFAULT).clamp(1, HISTORY_MAX);
    let active = admin.publisher.active().map(|active| active.epoch());
    let revisions = admin.revisions.history(query.before, limit).await?;
    let revisions = revisions.into_iter().map(|revision| view(revision, active)).collect();
    Ok(Json(HistoryView { revisions }))
}

/// Publish an earlier policy again, under a new epoch
#[utoipa::path(post, path = "/policy/rollback", operation_id = "rollBack", request_body = RollbackRequest,
    params(IfMatch), responses(
    (status = 200, description = "In force on every data plane that is known", body = PublishedView,
        headers(("ETag" = String, description = "The new epoch"))),
    (status = 202, description = "Stored and sent, and not in force everywhere: `nodes` says where not, and why",
        body = PublishedView, headers(("ETag" = String, description = "The new epoch"))),
    (status = 404, description = "There is no such epoch, or nothing before"),
    (status = 409, description = "A rollout is under way"),
    (status = 412, description = "Another epoch is active than If-Match says"),
    (status = 422, description = "Refused; `diagnostics` says where and why"),
))]
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    identity: Identity,
    headers: HeaderMap,
    Json(request): Json<RollbackRequest>,
) -> Result<Response, Problem> {
    let author = identity.author(request.author);
    Ok(published(admin.publisher.roll_back(request.epoch, author, request.comment, expected_epoch(&headers)?).await?))
}

fn view(revision: Revision, active: Option<u64>) -> RevisionView {
    let Revision { epoch, text: _, digest, author, comment, source, time_ms } = revision;
    RevisionView { epoch, active: Some(epoch) == active, time: timestamp(time_ms), author, comment, source, digest }
}

const HISTORY_DEFAULT: usize = 50;
const HISTORY_MAX: usize = 1_000;
