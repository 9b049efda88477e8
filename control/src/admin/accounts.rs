//! `/users` and `/tokens`: who may sign in, and with which role.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::guard::{Told, told};
use super::problem::Problem;
use super::router::Admin;
use crate::access::{AccountView, Identity, NewToken, Password, Role, TokenView};

#[derive(Serialize)]
pub(super) struct UsersView {
    users: Vec<AccountView>,
    roles: Vec<RoleView>,
}

#[derive(Serialize)]
struct RoleView {
    role: Role,
    may: &'static str,
}

#[derive(Serialize)]
pub(super) struct TokensView {
    tokens: Vec<TokenView>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    role: Role,
    password: Password,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    role: Option<Role>,
    password: Option<Password>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    role: Role,
    /// Days until it ends.
    days: u32,
    #[serde(default)]
    comment: String,
}

pub(super) async fn users(State(admin): State<Admin>) -> Result<Json<UsersView>, Problem> {
    let roles = Role::ALL.iter().map(|role| RoleView { role: *role, may: role.summary() }).collect();
    Ok(Json(UsersView { users: admin.gate.users().await?, roles }))
}

pub(super) async fn add_user(
    State(admin): State<Admin>,
    Json(user): Json<NewUser>,
) -> Result<Told<StatusCode>, Problem> {
    let NewUser { name, role, password } = user;
    admin.gate.add_user(&name, role, password).await?;
    Ok(told(format!("user {name} added as {}", role.label()), StatusCode::CREATED))
}

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

pub(super) async fn remove_user(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Told<StatusCode>, Problem> {
    admin.gate.remove_user(&name).await?;
    Ok(told(format!("user {name} removed"), StatusCode::NO_CONTENT))
}

pub(super) async fn tokens(State(admin): State<Admin>) -> Result<Json<TokensView>, Problem> {
    Ok(Json(TokensView { tokens: admin.gate.tokens().await? }))
}

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

pub(super) async fn remove_token(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Told<StatusCode>, Problem> {
    admin.gate.remove_token(&id).await?;
    Ok(told(format!("token {id} revoked"), StatusCode::NO_CONTENT))
}
