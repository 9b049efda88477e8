//! The routes, and what stands before all of them: body bounds, the guard, the form of errors.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Json, Router};
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::listener::Peer;
use super::problem::{self, Problem};
use super::{
    Token, accounts, audit, authority, catalogue, document, fleet, forecast, guard, health, link, policy, report,
    revision, rollout, session, trail,
};
use crate::access::{Gate, Trail};
use crate::ca::Authority;
use crate::export::Exports;
use crate::metrics::Exporter;
use crate::oidc::Provider;
use crate::publish::{Members, Presence, Publisher};
use crate::store::{AuditStore, PolicyStore, TrailStore};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) publisher: Arc<Publisher>,
    /// Of data planes, at every control that shares policies with this one.
    pub(crate) presence: Arc<Presence>,
    /// Of the fleet across machines; none where control listens on this machine alone.
    pub(crate) members: Option<Arc<Members>>,
    pub(crate) revisions: Arc<dyn PolicyStore>,
    pub(crate) events: Arc<dyn AuditStore>,
    pub(crate) exporter: Arc<Exporter>,
    pub(crate) exports: Exports,
    pub(crate) authority: Arc<Authority>,
    pub(crate) gate: Arc<Gate>,
    /// The OpenID provider, where there is one.
    pub(crate) provider: Option<Arc<Provider>>,
    pub(crate) trail: Trail,
    pub(crate) trail_store: Arc<dyn TrailStore>,
    /// The one in the token file.
    pub(crate) token: Token,
    /// Browsers speak TLS with this listener.
    pub(crate) is_secure: bool,
    /// Pages that follow the events at once.
    pub(crate) streams: Arc<Semaphore>,
    /// Changes when the daemon stops: what never ends by itself ends then.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) state_directory: PathBuf,
}

/// Longest body of a request that carries no policy.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The pages of the web UI.
pub(crate) struct Pages {
    /// For those who signed in: behind the guard.
    pub(crate) guarded: Router<Admin>,
    /// For everybody.
    pub(crate) open: Router<Admin>,
    /// Gives refusals the form of a page.
    pub(crate) dress: fn(Router) -> Router,
}

/// What the admin listener serves.
pub(crate) fn service(admin: Admin, pages: Pages) -> IntoMakeServiceWithConnectInfo<Router, Peer> {
    let Pages { guarded, open, dress } = pages;
    let guarded = guarded.layer(from_fn_with_state(admin.clone(), guard::require));
    dress(router(admin, guarded.merge(open))).into_make_service_with_connect_info()
}

/// Every route of the admin listener.
fn router(admin: Admin, pages: Router<Admin>) -> Router {
    let (api, mut description) = api(&admin).split_for_parts();
    document::complete(&mut description);
    Router::new()
        .nest(document::BASE, api.layer(Extension(Arc::new(description))))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/ca/root.pem", get(authority::root_pem))
        .route("/ca/root.crt", get(authority::root_der))
        .merge(pages)
        .fallback(unknown)
        .layer(map_response(problem::normalise))
        .layer(map_response(harden))
        .with_state(admin)
}

/// The API: what is routed here is described, and nothing else is.
fn api(admin: &Admin) -> OpenApiRouter<Admin> {
    let with_policy = OpenApiRouter::new()
        .routes(routes!(policy::read, policy::publish))
        .routes(routes!(policy::check))
        .routes(routes!(policy::compare))
        .routes(routes!(policy::explain))
        .routes(routes!(forecast::forecast))
        // A document at its longest grows when it travels inside JSON.
        .layer(DefaultBodyLimit::max(2 * POLICY_DOCUMENT_BYTES_MAX));
    let guarded = OpenApiRouter::with_openapi(document::Head::openapi())
        .routes(routes!(policy::exceptions))
        .routes(routes!(revision::history))
        .routes(routes!(revision::roll_back))
        .routes(routes!(rollout::show, rollout::act))
        .routes(routes!(fleet::nodes))
        .routes(routes!(link::describe, link::rotate))
        .routes(routes!(fleet::make_token))
        .routes(routes!(fleet::revoke))
        .routes(routes!(catalogue::list))
        .routes(routes!(catalogue::show))
        .routes(routes!(audit::events))
        .routes(routes!(fleet::exports))
        .routes(routes!(report::sign_ins))
        .routes(routes!(report::denials))
        .routes(routes!(authority::describe))
        .routes(routes!(authority::rotate))
        .routes(routes!(describe))
        .merge(access())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(with_policy)
        .fallback(unknown)
        .layer(from_fn_with_state(admin.clone(), guard::require));
    // Who signs in is nobody yet.
    let open = OpenApiRouter::new().routes(routes!(session::sign_in)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    guarded.merge(open)
}

/// Who may use the API, and who did.
fn access() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(session::show, session::sign_out))
        .routes(routes!(session::change_password))
        .routes(routes!(accounts::tokens, accounts::add_token))
        .routes(routes!(accounts::remove_token))
        .routes(routes!(trail::list))
        .routes(routes!(accounts::users, accounts::add_user))
        .routes(routes!(accounts::remove_user, accounts::change_user))
}

/// This document
#[utoipa::path(get, path = "/openapi.json", operation_id = "description", responses(
    (status = 200, description = "OpenAPI 3.1", body = Object),
))]
async fn describe(Extension(description): Extension<Arc<OpenApi>>) -> Json<OpenApi> {
    Json(description.as_ref().clone())
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing under this path")
}

/// Answers hold policies and audit records: no cache keeps them, no browser guesses their type. Pages run and load what is
/// this listener's own alone, and nobody frames them.
async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
