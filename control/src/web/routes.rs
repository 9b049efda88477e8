//! The pages' routes. What each asks for stands in `admin::acts`, beside the API's.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::{
    account, assets, authority, catalogue, exports, history, live, login, overview, people, policy, provider, report,
    review, trail,
};
use crate::admin::{Admin, FORM_BYTES_MAX};
use crate::config::CALLBACK;

/// Pages for those who signed in.
pub(crate) fn pages() -> Router<Admin> {
    let editor = Router::new()
        .route("/policy", get(policy::editor))
        .route("/policy/check", post(policy::check))
        .route("/policy/review", post(review::review))
        .route("/policy/apply", post(review::apply))
        .route("/policy/edit", post(review::edit))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX));
    Router::new()
        .route("/", get(overview::page))
        .route("/overview/figures", get(overview::figures))
        .route("/policy/history", get(history::list))
        .route("/policy/history/{id}", get(history::show))
        .route("/policy/rollback", post(history::roll_back))
        .route("/catalogue", get(catalogue::list))
        .route("/catalogue/{id}", get(catalogue::show))
        .route("/report", get(report::page))
        .route("/live", get(live::page))
        .route("/live/stream", get(live::stream))
        .route("/authority", get(authority::page))
        .route("/doctor", get(super::doctor::page))
        .route("/exports", get(exports::page))
        .route("/people", get(people::page))
        .route("/people/users", post(people::add_user))
        .route("/people/users/{id}", post(people::change_user))
        .route("/people/tokens", post(people::add_token))
        .route("/people/tokens/{id}", post(people::remove_token))
        .route("/account", get(account::page))
        .route("/account/password", post(account::change_password))
        .route("/trail", get(trail::page))
        .route("/sign-out", post(login::sign_out))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(editor)
}

/// Pages for everybody: to sign in, and what all pages are drawn with.
pub(crate) fn open_pages() -> Router<Admin> {
    Router::new()
        .route("/sign-in", get(login::page).post(login::sign_in))
        .route("/sign-in/oidc", get(provider::leave))
        .route(CALLBACK, get(provider::come_back))
        .route("/assets/{name}", get(assets::serve))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

const BODY_BYTES_MAX: usize = 64 * 1024;
