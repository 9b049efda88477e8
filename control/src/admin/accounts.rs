//! `/users` and `/tokens`: who may sign in, and with which role.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{Told, told};
use super::problem::Problem;
use super::router::Admin;
use crate::access::{AccountView, Identity, NewToken, Password, Role, TokenView};

#[derive(Serialize, ToSchema)]
#[schema(as = Users)]
pub(super) struct UsersView {
    users: Vec<AccountView>,
    roles: Vec<RoleView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RoleSummary)]
struct RoleView {
    role: Role,
    may: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(super) struct TokensView {
    tokens: Vec<TokenView>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// ASCII letters, digits, `.`, `-`, `_`, `@`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._@-]+$")]
    name: String,
    role: Role,
    password: Password,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    role: Option<Role>,
    password: Option<Password>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewTokenRequest)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    role: Role,
    /// Days until it ends.
    #[schema(minimum = 1, maximum = 3650)]
    days: u32,
    #[serde(default)]
    comment: String,
}

/// Who may sign in
#[utoipa::path(get, path = "/users", operation_id = "listUsers", responses(
    (status = 200, description = "The users, and the roles there are", body = UsersView),
))]
pub(super) async fn users(State(admin): State<Admin>) -> Result<Json<UsersView>, Problem> {
    let roles = Role::ALL.iter().map(|role| RoleView { role: *role, may: role.summary() }).collect();
    Ok(Json(UsersView { users: admin.gate.users().await?, roles }))
}

/// Add a user
#[utoipa::path(post, path = "/users", operation_id = "addUser", request_body = NewUser, responses(
    (status = 201, description = "Added"),
    (status = 409, description = "The name is taken"),
    (status = 422, description = "Name, role or password is not taken"),
))]
pub(super) async fn add_user(
    State(admin): State<Admin>,
    Json(user): Json<NewUser>,
) -> Result<Told<StatusCode>, Problem> {
    let NewUser { name, role, password } = user;
    admin.gate.add_user(&name, role, password).await?;
    Ok(told(format!("user {name} added as {}", role.label()), StatusCode::CREATED))
}

/// Change a user's role or password
///
/// A new password ends the user's sessions.
#[utoipa::path(patch, path = "/users/{id}", operation_id = "changeUser", request_body = UserChange,
    params(("id" = String, Path, description = "The user's name", example = "alice")), responses(
    (status = 204, description = "Changed"),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The last admin stays one"),
    (status = 422, description = "Role or password is not taken"),
))]
pub(super) async fn change_user(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Json(change): Json<UserChange>,
) -> Result<Told<StatusCode>, Problem> {
    let UserChange { role, password } = change;
    let (to, reset) = (role.map_or("", Role::label), password.is_some());
    admin.gate.change_user(&name, role, password).await?;
    let role = if to.is_empty() { String::new() } else { format!(", role {to}") };
    let password = if reset { ", new password" } else { "" };
    Ok(told(format!("user {name}{role}{password}"), StatusCode::NO_CONTENT))
}

/// Remove a user with its sessions and tokens
#[utoipa::path(delete, path = "/users/{id}", operation_id = "removeUser",
    params(("id" = String, Path, description = "The user's name", example = "bob")), responses(
    (status = 204, description = "Removed"),
    (status = 404, description = "There is no such user"),
    (status = 409, description = "The last admin stays"),
))]
pub(super) async fn remove_user(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Told<StatusCode>, Problem> {
    admin.gate.remove_user(&name).await?;
    Ok(told(format!("user {name} removed"), StatusCode::NO_CONTENT))
}

/// API tokens, without the tokens themselves
#[utoipa::path(get, path = "/tokens", operation_id = "listTokens", responses(
    (status = 200, description = "The tokens", body = TokensView),
))]
pub(super) async fn tokens(State(admin): State<Admin>) -> Result<Json<TokensView>, Problem> {
    Ok(Json(TokensView { tokens: admin.gate.tokens().await? }))
}

/// Make an API token
///
/// It is shown this once.
#[utoipa::path(post, path = "/tokens", operation_id = "addToken", request_body = TokenRequest, responses(
    (status = 201, description = "The token", body = NewToken),
    (status = 422, description = "Too long a life, or no such role"),
))]
pub(super) async fn add_token(
    State(admin): State<Admin>,
    identity: Identity,
    Json(request): Json<TokenRequest>,
) -> Result<Told<(StatusCode, Json<NewToken>)>, Problem> {
    let TokenRequest { role, days, comment } = request;
    let made = admin.gate.add_token(&identity, role, days, comment).await?;
    Ok(told(token_made(&made), (StatusCode::CREATED, Json(made))))
}

/// What the trail says of a new token.
pub(crate) fn token_made(made: &NewToken) -> String {
    format!("token {} made, role {}, until {}", made.view.id, made.view.role, made.view.expires)
}

/// Revoke a token
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "removeToken",
    params(("id" = String, Path, description = "The token's id")), responses(
    (status = 204, description = "Revoked"),
    (status = 404, description = "There is no such token"),
))]
pub(super) async fn remove_token(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Told<StatusCode>, Problem> {
    admin.gate.remove_token(&id).await?;
    Ok(told(format!("token {id} revoked"), StatusCode::NO_CONTENT))
}
