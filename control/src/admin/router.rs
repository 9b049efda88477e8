//! The routes, and what stands before all of them: body bounds, the guard, the form of errors.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;
use tokio::sync::{Semaphore, watch};

use super::listener::Peer;
use super::problem::{self, Problem};
use super::{
    Token, accounts, audit, authority, catalogue, fleet, forecast, guard, health, policy, report, revision, rollout,
    session, trail,
};
use crate::access::{Gate, Trail};
use crate::ca::Authority;
use crate::export::Exports;
use crate::metrics::Exporter;
use crate::publish::{Members, Publisher};
use crate::store::{AuditStore, PolicyStore, TrailStore};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) publisher: Arc<Publisher>,
    /// Of the fleet across machines; none where control listens on this machine alone.
    pub(crate) members: Option<Arc<Members>>,
    pub(crate) revisions: Arc<dyn PolicyStore>,
    pub(crate) events: Arc<dyn AuditStore>,
    pub(crate) exporter: Arc<Exporter>,
    pub(crate) exports: Exports,
    pub(crate) authority: Arc<Authority>,
    pub(crate) gate: Arc<Gate>,
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
    let with_policy = Router::new()
        .route("/policy", get(policy::read).put(policy::publish))
        .route("/policy/check", post(policy::check))
        .route("/policy/diff", post(policy::compare))
        .route("/policy/explain", post(policy::explain))
        .route("/policy/forecast", post(forecast::forecast))
        // A document at its longest grows when it travels inside JSON.
        .layer(DefaultBodyLimit::max(2 * POLICY_DOCUMENT_BYTES_MAX));
    let api = Router::new()
        .route("/policy/exceptions", get(policy::exceptions))
        .route("/policy/history", get(revision::history))
        .route("/policy/rollback", post(revision::roll_back))
        .route("/policy/rollout", get(rollout::show).post(rollout::act))
        .route("/nodes", get(fleet::nodes))
        .route("/nodes/tokens", post(fleet::make_token))
        .route("/nodes/{id}/revoke", post(fleet::revoke))
        .route("/catalogue", get(catalogue::list))
        .route("/catalogue/{id}", get(catalogue::show))
        .route("/events", get(audit::events))
        .route("/exports", get(fleet::exports))
        .route("/report", get(report::sign_ins))
        .route("/report/denials", get(report::denials))
        .route("/ca", get(authority::describe))
        .route("/ca/rotate", post(authority::rotate))
        .route("/openapi.json", get(describe))
        .merge(access())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(with_policy)
        .fallback(unknown)
        .layer(from_fn_with_state(admin.clone(), guard::require));
    // Who signs in is nobody yet.
    let open = Router::new().route("/session", post(session::sign_in)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest("/api/v1", api.merge(open))
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

/// Who may use the API, and who did.
fn access() -> Router<Admin> {
    Router::new()
        .route("/session", get(session::show).delete(session::sign_out))
        .route("/session/password", put(session::change_password))
        .route("/tokens", get(accounts::tokens).post(accounts::add_token))
        .route("/tokens/{id}", delete(accounts::remove_token))
        .route("/trail", get(trail::list))
        .route("/users", get(accounts::users).post(accounts::add_user))
        .route("/users/{id}", delete(accounts::remove_user).patch(accounts::change_user))
}

/// The API's own description. A test holds it against the routes.
async fn describe() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
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
