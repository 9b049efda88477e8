//! Users and API tokens.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::form::Fields;
use super::frame;
use crate::access::{AccessError, AccountView, Act, Identity, NewToken, Role, TokenView, is_vouched};
use crate::admin::{Admin, Problem, Subject, token_made};

pub(super) async fn page(State(admin): State<Admin>, identity: Identity) -> Result<Response, Problem> {
    show(&admin, &identity, None).await
}

pub(super) async fn add_user(
    State(admin): State<Admin>,
    identity: Identity,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let (name, role, password) = (fields.take("name"), role(&mut fields)?, fields.take_password("password"));
    let added = admin.gate.add_user(&name, role, password).await;
    settle(&admin, &identity, added, format!("user {name} added as {}", role.label())).await
}

/// The button says what is to be done: give a role, give a password, remove.
pub(super) async fn change_user(
    State(admin): State<Admin>,
    identity: Identity,
    Path(name): Path<String>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let (changed, subject) = match fields.take("do").as_str() {
        "password" => {
            let password = fields.take_password("password");
            (admin.gate.change_user(&name, None, Some(password)).await, format!("user {name}, new password"))
        }
        "remove" => (admin.gate.remove_user(&name).await, format!("user {name} removed")),
        "role" => {
            let role = role(&mut fields)?;
            (admin.gate.change_user(&name, Some(role), None).await, format!("user {name}, role {}", role.label()))
        }
        _ => return Err(Problem::bad_request("do: must be role, password or remove")),
    };
    settle(&admin, &identity, changed, subject).await
}

pub(super) async fn add_token(
    State(admin): State<Admin>,
    identity: Identity,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let (role, days, comment) = (role(&mut fields)?, fields.take("days"), fields.take("comment"));
    match admin.gate.add_token(&identity, role, days.parse().unwrap_or(0), comment).await {
        Ok(made) => {
            let subject = Extension(Subject(token_made(&made)));
            Ok((subject, show(&admin, &identity, Some(shown_once(&made))).await?).into_response())
        }
        Err(error) => settle(&admin, &identity, Err(error), String::new()).await,
    }
}

pub(super) async fn remove_token(
    State(admin): State<Admin>,
    identity: Identity,
    Path(id): Path<String>,
    _fields: Fields,
) -> Result<Response, Problem> {
    let removed = admin.gate.remove_token(&id).await;
    settle(&admin, &identity, removed, format!("token {id} revoked")).await
}

/// The page again, with what came of it.
async fn settle(
    admin: &Admin,
    identity: &Identity,
    result: Result<(), AccessError>,
    subject: String,
) -> Result<Response, Problem> {
    match result {
        Ok(()) => {
            let told = frame::told("good", html! { "Done: " (subject) "." });
            Ok((Extension(Subject(subject)), show(admin, identity, Some(told)).await?).into_response())
        }
        Err(error) => {
            let problem = Problem::from(error);
            let mut page = show(admin, identity, Some(frame::told("bad", html! { (problem.detail()) }))).await?;
            *page.status_mut() = problem.status();
            Ok(page)
        }
    }
}

fn role(fields: &mut Fields) -> Result<Role, Problem> {
    Role::parse(&fields.take("role")).ok_or_else(|| Problem::bad_request("role: there is no such role"))
}

async fn show(admin: &Admin, identity: &Identity, told: Option<Markup>) -> Result<Response, Problem> {
    let (users, tokens) = (admin.gate.users().await?, admin.gate.tokens().await?);
    let may = identity.may(Act::ManageAccess);
    Ok(frame::page(
        identity,
        "/people",
        "Users and tokens",
        html! {
            @if let Some(told) = told { (told) }
            section class="card" {
                h2 { "Users" }
                (frame::table("Users", &["name", "role", "created", "signed in", ""], html! {
                    @for user in &users { (user_row(identity, user, may)) }
                }))
                @if may { (new_user(identity)) }
            }
            section class="card" {
                h2 { "API tokens" }
                @if tokens.is_empty() { p class="muted" { "None. Programs use them in the place of a password." } } @else {
                    (frame::table("Tokens", &["id", "for", "role", "owner", "ends", "used", ""], html! {
                        @for token in &tokens { (token_row(identity, token, may)) }
                    }))
                }
                @if may { (new_token(identity)) }
            }
            section class="card" {
                h2 { "Roles" }
                dl class="facts" { @for role in Role::ALL { dt { (role.label()) } dd { (role.summary()) } } }
            }
        },
    ))
}

fn user_row(identity: &Identity, user: &AccountView, may: bool) -> Markup {
    let action = format!("/people/users/{}", frame::escaped(&user.name));
    html! {
        tr {
            th scope="row" { (user.name) }
            td { (user.role) }
            td { (frame::moment(&user.created)) }
            td { @match &user.signed_in { Some(time) => (frame::moment(time)), None => span class="muted" { "never" } } }
            td {
                @if may {
                    details {
                        summary aria-label={ "Change " (user.name) } { "Change" }
                        form method="post" action=(action) class="inline" {
                            (frame::csrf(identity))
                            @if !is_vouched(&user.name) {
                                label { "Role" (roles(&user.role)) }
                                button name="do" value="role" { "Give role" }
                                label { "New password" input type="password" name="password" autocomplete="new-password" minlength="10"; }
                                button name="do" value="password" { "Give password" }
                            }
                            button name="do" value="remove" class="danger" { "Remove " (user.name) }
                        }
                    }
                }
            }
        }
    }
}

fn token_row(identity: &Identity, token: &TokenView, may: bool) -> Markup {
    html! {
        tr {
            th scope="row" class="mono" { (token.id) }
            td class="long" { (token.comment) }
            td { (token.role) }
            td { (token.owner.as_deref().unwrap_or("token file")) }
            td { (frame::moment(&token.expires)) @if token.expired { " " (frame::badge("bad", "ended")) } }
            td { @match &token.used { Some(time) => (frame::moment(time)), None => span class="muted" { "never" } } }
            td {
                @if may {
                    form method="post" action={ "/people/tokens/" (token.id) } {
                        (frame::csrf(identity))
                        button class="danger" aria-label={ "Revoke token " (token.id) } { "Revoke" }
                    }
                }
            }
        }
    }
}

fn new_user(identity: &Identity) -> Markup {
    html! {
        h3 { "Add a user" }
        form method="post" action="/people/users" class="inline" {
            (frame::csrf(identity))
            label { "Name" input name="name" autocomplete="off" required maxlength="64"; }
            label { "Role" (roles("viewer")) }
            label { "Password" input type="password" name="password" autocomplete="new-password" minlength="10" required; }
            button class="main" { "Add user" }
        }
    }
}

fn new_token(identity: &Identity) -> Markup {
    html! {
        h3 { "Make a token" }
        form method="post" action="/people/tokens" class="inline" {
            (frame::csrf(identity))
            label { "For" input name="comment" maxlength="200"; }
            label { "Role" (roles("viewer")) }
            label { "Days" input type="number" name="days" value="90" min="1" max="3650" required; }
            button class="main" { "Make token" }
        }
    }
}

fn roles(given: &str) -> Markup {
    html! { select name="role" { @for role in Role::ALL { option selected[role.label() == given] { (role.label()) } } } }
}

fn shown_once(made: &NewToken) -> Markup {
    frame::told(
        "good",
        html! {
            "Token " (made.view.id) " with role " (made.view.role) ". Copy it now, it is not shown again: "
            code id="new-token" class="secret" { (made.token) }
        },
    )
}
