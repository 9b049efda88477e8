//! `/session`: sign in, who am I, sign out, change one's own password.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::browser::{check_origin, set_cookie};
use super::guard::Source;
use super::problem::Problem;
use super::router::Admin;
use crate::access::{AccessError, Act, Identity, Outcome, Password, Role, SignedIn, Way};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    user: String,
    #[schema(value_type = String, format = Password)]
    password: Password,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    #[schema(value_type = String, format = Password)]
    old: Password,
    new: Password,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Identity)]
pub(super) struct IdentityView {
    name: String,
    #[schema(value_type = Role)]
    role: &'static str,
    /// What the role may do.
    #[schema(value_type = Vec<Act>)]
    may: Vec<&'static str>,
    /// To be sent as `Penstock-Csrf` with every change that is asked for by cookie; absent without one.
    #[serde(skip_serializing_if = "String::is_empty")]
    csrf: String,
}

/// Sign in with name and password; the session is a cookie
#[utoipa::path(post, path = "/session", operation_id = "signIn", request_body = Credentials, responses(
    (status = 200, description = "Signed in", body = IdentityView,
        headers(("Set-Cookie" = String, description = "The session"))),
    (status = 401, description = "Wrong name or password"),
    (status = 403, description = "Asked for by a page of another site, or passwords are turned off"),
    (status = 429, description = "Too many failed attempts",
        headers(("Retry-After" = u64, description = "Seconds to wait"))),
))]
pub(super) async fn sign_in(
    State(admin): State<Admin>,
    source: Source,
    headers: HeaderMap,
    Json(credentials): Json<Credentials>,
) -> Result<Response, Problem> {
    let Credentials { user, password } = credentials;
    let opened = open(&admin, source, &headers, &user, password).await?;
    let cookie = [(header::SET_COOKIE, set_cookie(&opened.cookie, admin.is_secure)?)];
    Ok((AppendHeaders(cookie), Json(view(&opened.identity))).into_response())
}

/// Opens a session and tells the trail, also of the attempt that fails.
pub(crate) async fn open(
    admin: &Admin,
    Source(from): Source,
    headers: &HeaderMap,
    user: &str,
    password: Password,
) -> Result<SignedIn, Problem> {
    check_origin(headers)?;
    let opened = admin.gate.sign_in(user, password, from).await;
    match &opened {
        Ok(opened) => admin.trail.tell(&opened.identity, from, Act::SignIn, "", Outcome::Done).await,
        // While one has to wait nothing is tried, and the trail would only be flooded.
        Err(AccessError::Wait { .. }) => tracing::warn!(%from, "too many failed attempts to sign in"),
        Err(error) => {
            let outcome = if matches!(error, AccessError::Credentials | AccessError::PasswordsOff) {
                Outcome::Refused
            } else {
                Outcome::Failed
            };
            admin.trail.tell_attempt(user, from, "", outcome).await;
        }
    }
    Ok(opened?)
}

/// Who asks, and what that one may do
#[utoipa::path(get, path = "/session", operation_id = "readSession", responses(
    (status = 200, description = "The identity", body = IdentityView),
))]
pub(super) async fn show(identity: Identity) -> Json<IdentityView> {
    Json(view(&identity))
}

/// Sign out
///
/// Ends the session of the cookie. A token stays as good as it was.
#[utoipa::path(delete, path = "/session", operation_id = "signOut", responses(
    (status = 204, description = "Signed out"),
))]
pub(super) async fn sign_out(State(admin): State<Admin>, identity: Identity) -> Result<Response, Problem> {
    admin.gate.sign_out(&identity).await?;
    let cookie = [(header::SET_COOKIE, set_cookie("", admin.is_secure)?)];
    Ok((StatusCode::NO_CONTENT, AppendHeaders(cookie)).into_response())
}

/// Change one's own password; ends all sessions of the user
#[utoipa::path(put, path = "/session/password", operation_id = "changeOwnPassword",
    request_body = PasswordChange, responses(
    (status = 204, description = "Changed"),
    (status = 401, description = "The old password is wrong, or nobody signed in"),
    (status = 409, description = "Who asks has no password"),
    (status = 422, description = "The new password is not taken"),
    (status = 429, description = "Too many failed attempts",
        headers(("Retry-After" = u64, description = "Seconds to wait"))),
))]
pub(super) async fn change_password(
    State(admin): State<Admin>,
    identity: Identity,
    Source(from): Source,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let PasswordChange { old, new } = change;
    let Some(user) = identity.user() else {
        return Err(Problem::new(StatusCode::CONFLICT, "only who signed in with a password has one to change"));
    };
    admin.gate.change_own_password(user, from, old, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(identity: &Identity) -> IdentityView {
    let may = Act::ALL.iter().filter(|act| identity.may(**act)).map(|act| act.label()).collect();
    let csrf = match &identity.way {
        Way::Session { csrf, .. } => csrf.clone(),
        Way::File | Way::Token => String::new(),
    };
    IdentityView { name: identity.name.clone(), role: identity.role.label(), may, csrf }
}
