//! `/api/v1/ca` and `/ca/root.pem`: what clients must trust, and until when.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use penstock_core::audit::timestamp;
use serde::Serialize;

use super::router::Admin;

#[derive(Serialize)]
pub(super) struct AuthorityView {
    root: RootView,
    /// Null while no policy is in force.
    issuer: Option<IssuerView>,
}

#[derive(Serialize)]
struct RootView {
    /// Of the certificate, hex.
    sha256: String,
    not_after: String,
}

#[derive(Serialize)]
struct IssuerView {
    serial: String,
    not_before: String,
    not_after: String,
    /// The only names that it can vouch for.
    hosts: Vec<String>,
}

pub(super) async fn describe(State(admin): State<Admin>) -> Json<AuthorityView> {
    let root = RootView {
        sha256: admin.authority.root_fingerprint().to_string(),
        not_after: moment(admin.authority.root_not_after()),
    };
    let issuer = admin.publisher.active().map(|active| IssuerView {
        serial: active.issuer.serial.clone(),
        not_before: moment(active.issuer.not_before),
        not_after: moment(active.issuer.not_after),
        hosts: active.hosts.clone(),
    });
    Json(AuthorityView { root, issuer })
}

pub(super) async fn root_pem(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], admin.authority.root_pem().to_owned()).into_response()
}

fn moment(unix_seconds: i64) -> String {
    timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000))
}
