//! `/nodes/authority`: by whose signature controls and data planes of other machines know each other, and how one such
//! authority follows another.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::authority::Step;
use super::fleet::{members, second};
use super::guard::{Told, told};
use super::problem::Problem;
use super::router::Admin;
use crate::ca::{LinkAuthorityFacts, LinkCertificateFacts};

#[derive(Serialize, ToSchema)]
#[schema(as = LinkAuthority)]
pub(super) struct LinkAuthorityView {
    /// `none`, or while one authority follows another `announced` or `switched`.
    phase: &'static str,
    /// The one that signs certificates of data planes.
    signing: LinkCertificateView,
    /// While one follows another: the next one, or the last one; null otherwise.
    #[schema(required)]
    other: Option<LinkCertificateView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LinkCertificate)]
struct LinkCertificateView {
    /// Of the certificate, hex.
    sha256: String,
    expires: String,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = LinkRotation)]
#[serde(deny_unknown_fields)]
pub(super) struct LinkRotationRequest {
    step: Step,
}

/// By whose signature data planes of other machines are known
#[utoipa::path(get, path = "/nodes/authority", operation_id = "linkAuthority", responses(
    (status = 200, description = "The link's authority", body = LinkAuthorityView),
    (status = 409, description = "Control listens on its own machine alone"),
))]
pub(super) async fn describe(State(admin): State<Admin>) -> Result<Json<LinkAuthorityView>, Problem> {
    Ok(Json(view(members(&admin)?.authority().facts())))
}

/// Take the rotation of the link's authority one step further
///
/// The file is to be copied to every other control after each step.
#[utoipa::path(post, path = "/nodes/authority", operation_id = "rotateLinkAuthority", request_body = LinkRotationRequest,
    responses(
    (status = 200, description = "The link's authority after the step", body = LinkAuthorityView),
    (status = 409, description = "The step does not fit, or control listens on its own machine alone"),
))]
pub(super) async fn rotate(
    State(admin): State<Admin>,
    Json(request): Json<LinkRotationRequest>,
) -> Result<Told<Json<LinkAuthorityView>>, Problem> {
    let members = members(&admin)?;
    members.rotate(request.step.into())?;
    let facts = members.authority().facts();
    let subject = format!("the link's authority: {}, {} signs", facts.phase, facts.signing.sha256);
    Ok(told(subject, Json(view(facts))))
}

fn view(facts: LinkAuthorityFacts) -> LinkAuthorityView {
    let LinkAuthorityFacts { signing, other, phase } = facts;
    LinkAuthorityView { phase, signing: signing.into(), other: other.map(Into::into) }
}

impl From<LinkCertificateFacts> for LinkCertificateView {
    fn from(LinkCertificateFacts { sha256, ends_at }: LinkCertificateFacts) -> Self {
        Self { sha256, expires: second(ends_at) }
    }
}
