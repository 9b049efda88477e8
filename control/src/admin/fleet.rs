//! `/nodes`, and `/exports`: who reports to control, and to whom it hands on.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use penstock_core::audit::timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{Told, told};
use super::problem::Problem;
use super::router::Admin;
use crate::export::Status;
use crate::publish::{Everywhere, MadeToken, MemberError, Members, NodeView};
use crate::store::NodeRecord;

#[derive(Serialize, ToSchema)]
#[schema(as = Nodes)]
pub(super) struct NodesView {
    /// The active epoch; null when no policy is in force.
    #[schema(required)]
    epoch: Option<u64>,
    nodes: Vec<NodeView>,
    /// False while the data planes of other control daemons cannot be looked up.
    complete: bool,
    /// Those of other machines that joined or were revoked, here or at a control with the same members.
    members: Vec<MemberView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberView {
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    joined: Option<String>,
    /// The end of its newest certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    certificate_expires: Option<String>,
    /// Certificates that were signed until then are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    revoked: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = JoinTokenRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    /// The name of the data plane: letters, digits, `-`, `_`, `.`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    node: String,
    /// Seconds for which it is good; an hour unless said.
    #[schema(minimum = 1, maximum = 604_800)]
    #[serde(default = "an_hour")]
    seconds: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = JoinToken)]
pub(super) struct TokenView {
    node: String,
    /// Shown this once.
    token: String,
    expires: String,
}

const fn an_hour() -> u64 {
    3_600
}

/// Data planes and what each has
#[utoipa::path(get, path = "/nodes", operation_id = "nodes", responses(
    (status = 200, description = "Data planes that attached here since control started, and those that are attached to other controls", body = NodesView),
))]
pub(super) async fn nodes(State(admin): State<Admin>) -> Result<Json<NodesView>, Problem> {
    let epoch = admin.publisher.active().map(|active| active.epoch());
    let members = match &admin.members {
        Some(members) => members.list().await?,
        None => Vec::new(),
    };
    let members = members.into_iter().map(MemberView::of).collect();
    let Everywhere { nodes, is_complete } = admin.presence.view().await;
    Ok(Json(NodesView { epoch, nodes, complete: is_complete, members }))
}

/// Make a token by which a data plane of another machine joins, once
///
/// It is shown this once.
#[utoipa::path(post, path = "/nodes/tokens", operation_id = "makeJoinToken", request_body = TokenRequest, responses(
    (status = 201, description = "The token", body = TokenView),
    (status = 400, description = "Malformed, no name that can be, or too long a life"),
    (status = 409, description = "Control listens on its own machine alone"),
))]
pub(super) async fn make_token(
    State(admin): State<Admin>,
    Json(request): Json<TokenRequest>,
) -> Result<Told<(StatusCode, Json<TokenView>)>, Problem> {
    let TokenRequest { node, seconds } = request;
    let MadeToken { token, ends_at } = members(&admin)?.make_token(&node, seconds).await?;
    let expires = second(ends_at);
    let subject = format!("token for the node {node}, until {expires}");
    Ok(told(subject, (StatusCode::CREATED, Json(TokenView { node, token: token.to_string(), expires }))))
}

/// Refuse a data plane from now on, and end its link
#[utoipa::path(post, path = "/nodes/{id}/revoke", operation_id = "revokeNode",
    params(("id" = String, Path, description = "The data plane's name", example = "edge-1")), responses(
    (status = 204, description = "Revoked"),
    (status = 404, description = "There is no such data plane"),
    (status = 409, description = "Control listens on its own machine alone"),
))]
pub(super) async fn revoke(State(admin): State<Admin>, Path(node): Path<String>) -> Result<Told<StatusCode>, Problem> {
    let members = members(&admin)?;
    let is_member = members.list().await?.iter().any(|member| member.name == node);
    if !is_member && !admin.presence.view().await.nodes.iter().any(|seen| seen.node == node) {
        return Err(Problem::not_found(format!("there is no node {node}")));
    }
    members.revoke(&node).await?;
    admin.publisher.fleet().evict(&node);
    Ok(told(format!("node {node} revoked"), StatusCode::NO_CONTENT))
}

pub(super) fn members(admin: &Admin) -> Result<&Members, Problem> {
    let alone = "control listens on this machine alone: set listen in [link] of its configuration";
    admin.members.as_deref().ok_or_else(|| Problem::new(StatusCode::CONFLICT, alone))
}

/// A Unix second, RFC 3339.
pub(super) fn second(unix_seconds: i64) -> String {
    timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1_000))
}

impl MemberView {
    fn of(record: NodeRecord) -> Self {
        Self {
            node: record.name,
            joined: record.joined_ms.map(timestamp),
            certificate_expires: record.certificate_ends.map(second),
            revoked: record.revoked_until.map(second),
        }
    }
}

impl From<MemberError> for Problem {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Store(error) => error.into(),
            MemberError::Name | MemberError::Life => Self::bad_request(error.to_string()),
            other => Self::new(StatusCode::INTERNAL_SERVER_ERROR, other.to_string()),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Exports)]
pub(super) struct ExportsView {
    exports: Vec<Status>,
}

/// Where audit events go, and how far each export is
#[utoipa::path(get, path = "/exports", operation_id = "exports", responses(
    (status = 200, description = "One for each `[[export]]` of the configuration", body = ExportsView),
))]
pub(super) async fn exports(State(admin): State<Admin>) -> Json<ExportsView> {
    Json(ExportsView { exports: admin.exports.status() })
}
