//! `/api/v1/ca`, `/api/v1/ca/rotate`, `/ca/root.pem` and `/ca/root.crt`: what clients must trust, and until when.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use penstock_core::audit::timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use super::router::Admin;
use crate::ca::{RootFacts, RotationFacts, RotationStep};

#[derive(Serialize, ToSchema)]
#[schema(as = Authority)]
pub(super) struct AuthorityView {
    root: RootView,
    /// `penstock`, or `operator` when it is the operator's own.
    origin: &'static str,
    /// Null while no rotation is under way.
    #[schema(required)]
    rotation: Option<RotationView>,
    /// Null while no policy is in force.
    #[schema(required)]
    issuer: Option<IssuerView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Root)]
struct RootView {
    common_name: String,
    /// Of the certificate, hex.
    sha256: String,
    not_before: String,
    not_after: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rotation)]
#[serde(rename_all = "snake_case", tag = "phase")]
enum RotationView {
    /// Both are served, the old one signs.
    Announced { next: RootView, switches: String, cross_signed: bool },
    /// Both are served, the new one signs.
    Switched { old: RootView, cross_signed: bool },
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationRequest {
    #[serde(default)]
    step: Step,
}

#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[schema(as = RotationStep)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    #[default]
    Announce,
    Finish,
    Switch,
}

impl From<Step> for RotationStep {
    fn from(step: Step) -> Self {
        match step {
            Step::Announce => Self::Announce,
            Step::Finish => Self::Finish,
            Step::Switch => Self::Switch,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Issuer)]
struct IssuerView {
    serial: String,
    not_before: String,
    not_after: String,
    /// The only names that it can vouch for.
    hosts: Vec<String>,
}

/// Root and issuer
#[utoipa::path(get, path = "/ca", operation_id = "authority", responses(
    (status = 200, description = "Root and issuer", body = AuthorityView),
))]
pub(super) async fn describe(State(admin): State<Admin>) -> Json<AuthorityView> {
    Json(view(&admin))
}

/// Take the rotation of the root one step further
#[utoipa::path(post, path = "/ca/rotate", operation_id = "rotate", request_body = RotationRequest, responses(
    (status = 200, description = "Where it stands now", body = AuthorityView),
    (status = 409, description = "The step does not fit where the rotation stands"),
))]
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Json(request): Json<RotationRequest>,
) -> Result<Json<AuthorityView>, Problem> {
    admin.publisher.rotate(request.step.into()).await?;
    Ok(Json(view(&admin)))
}

fn view(admin: &Admin) -> AuthorityView {
    let issuer = admin.publisher.active().map(|active| IssuerView {
        serial: active.issuer.serial.clone(),
        not_before: moment(active.issuer.not_before),
        not_after: moment(active.issuer.not_after),
        hosts: active.hosts.clone(),
    });
    let rotation = admin.authority.rotation().map(|rotation| match rotation {
        RotationFacts::Announced { next, switches_at, is_cross_signed } => {
            RotationView::Announced { next: next.into(), switches: moment(switches_at), cross_signed: is_cross_signed }
        }
        RotationFacts::Switched { old, is_cross_signed } => {
            RotationView::Switched { old: old.into(), cross_signed: is_cross_signed }
        }
    });
    let origin = if admin.authority.operator_file().is_some() { "operator" } else { "penstock" };
    AuthorityView { root: admin.authority.root().into(), origin, rotation, issuer }
}

impl From<RootFacts> for RootView {
    fn from(facts: RootFacts) -> Self {
        let RootFacts { common_name, sha256, not_before, not_after } = facts;
        Self { common_name, sha256, not_before: moment(not_before), not_after: moment(not_after) }
    }
}

pub(super) async fn root_pem(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], admin.authority.root_pem()).into_response()
}

/// The one that signs now, for what imports DER.
pub(super) async fn root_der(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-x509-ca-cert")], admin.authority.root_der()).into_response()
}

fn moment(unix_seconds: i64) -> String {
    timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000))
}
