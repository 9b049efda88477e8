//! One's own account: who one is, what one may, another password.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::form::Fields;
use super::frame;
use crate::access::{Act, Identity, is_vouched};
use crate::admin::{Admin, Problem, Source};

pub(super) async fn page(identity: Identity) -> Response {
    show(&identity, None)
}

pub(super) async fn change_password(
    State(admin): State<Admin>,
    identity: Identity,
    Source(from): Source,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let (old, new) = (fields.take_password("old"), fields.take_password("new"));
    let Some(user) = identity.user() else { return Ok(show(&identity, None)) };
    if let Err(error) = admin.gate.change_own_password(user, from, old, new).await {
        let problem = Problem::from(error);
        let status = problem.status();
        let mut page = show(&identity, Some(frame::told("bad", html! { (problem.detail()) })));
        *page.status_mut() = status;
        return Ok(page);
    }
    let content = html! {
        main class="alone" {
            section class="card" {
                h1 { "New password" }
                p { "All your sessions are over, this one too." }
                p { a href="/sign-in" { "Sign in with the new password" } }
            }
        }
    };
    Ok(frame::bare("New password", content))
}

fn show(identity: &Identity, told: Option<Markup>) -> Response {
    let may: Vec<String> =
        Act::ALL.iter().filter(|act| identity.may(**act)).map(|act| act.label().replace('_', " ")).collect();
    frame::page(
        identity,
        "/account",
        "Account",
        html! {
            @if let Some(told) = told { (told) }
            section class="card" {
                p { strong { (identity.name) } " has the role " strong { (identity.role.label()) } ": " (identity.role.summary()) "." }
                p class="muted" { "May: " (may.join(", ")) }
            }
            @if identity.user().is_some_and(|user| !is_vouched(user)) {
                form class="card narrow" method="post" action="/account/password" {
                    h2 { "Change the password" }
                    (frame::csrf(identity))
                    label for="old" { "Password until now" }
                    input id="old" name="old" type="password" autocomplete="current-password" required;
                    label for="new" { "New password, at least 10 characters" }
                    input id="new" name="new" type="password" autocomplete="new-password" minlength="10" required;
                    button class="main" { "Change" }
                }
            }
        },
    )
}
