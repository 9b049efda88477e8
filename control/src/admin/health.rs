//! `/metrics`, `/healthz`, `/readyz`: open to everyone who reaches the listener, so they tell nothing that is secret.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem::Problem;
use super::router::Admin;
use crate::ca::RotationFacts;
use crate::metrics::{Expiry, View};

/// How long a scrape waits for the data planes before it takes what they said last.
const METRICS_PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn metrics(State(admin): State<Admin>) -> Result<Response, Problem> {
    let page = admin.exporter.render(view(&admin).await);
    let page = page.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], page).into_response())
}

/// What there is to tell at this moment.
pub(crate) async fn view(admin: &Admin) -> View {
    let nodes = admin.publisher.fleet().samples(METRICS_PATIENCE).await;
    let mut expiries = vec![Expiry { kind: "root", unix_seconds: admin.authority.root_not_after() }];
    expiries.extend(admin.authority.rotation().map(|rotation| match rotation {
        RotationFacts::Announced { next, .. } => Expiry { kind: "next_root", unix_seconds: next.not_after },
        RotationFacts::Switched { old, .. } => Expiry { kind: "old_root", unix_seconds: old.not_after },
    }));
    let active = admin.publisher.active();
    expiries.extend(active.map(|active| Expiry { kind: "issuer", unix_seconds: active.issuer.not_after }));
    let link = admin.members.as_ref().map(|members| members.authority().ends());
    expiries.extend(link.map(|unix_seconds| Expiry { kind: "link_authority", unix_seconds }));
    let link_displaced = admin.publisher.fleet().displaced();
    View { nodes, expiries, exports: admin.exports.status(), link_displaced }
}

/// The process runs.
pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

/// A policy is in force, on a data plane too.
pub(super) async fn ready(State(admin): State<Admin>) -> Result<Json<serde_json::Value>, Problem> {
    let not_ready = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let active = admin.publisher.active().ok_or_else(|| not_ready("no policy is in force"))?;
    if !admin.publisher.is_served() {
        return Err(not_ready("no data plane has the active policy yet"));
    }
    Ok(Json(json!({ "status": "ready", "epoch": active.epoch() })))
}
