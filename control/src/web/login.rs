//! Signing in and out.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::form::Fields;
use super::frame;
use crate::access::Identity;
use crate::admin::{Admin, Problem, Source, open_session, set_cookie};

#[derive(Default, Deserialize)]
pub(super) struct Target {
    /// Where to go afterwards.
    #[serde(default)]
    pub(super) to: String,
}

pub(super) async fn page(State(admin): State<Admin>, Query(target): Query<Target>) -> Response {
    form(&admin, &target.to, "", None)
}

pub(super) async fn sign_in(
    State(admin): State<Admin>,
    source: Source,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let (user, password, to) = (fields.take("user"), fields.take_password("password"), fields.take("to"));
    match open_session(&admin, source, &headers, &user, password).await {
        Ok(opened) => {
            let cookie = [(header::SET_COOKIE, set_cookie(&opened.cookie, admin.is_secure)?)];
            Ok((AppendHeaders(cookie), Redirect::to(local(&to))).into_response())
        }
        Err(problem) => {
            let status = problem.status();
            let mut page = form(&admin, &to, &user, Some(problem.detail()));
            *page.status_mut() = status;
            Ok(page)
        }
    }
}

pub(super) async fn sign_out(State(admin): State<Admin>, identity: Identity) -> Result<Response, Problem> {
    admin.gate.sign_out(&identity).await?;
    let cookie = [(header::SET_COOKIE, set_cookie("", admin.is_secure)?)];
    Ok((AppendHeaders(cookie), Redirect::to("/sign-in")).into_response())
}

/// A path of this listener, whatever the parameter says: `//host` and `/\host` are other sites to a browser.
pub(super) fn local(to: &str) -> &str {
    let is_local = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') && !to.contains(char::is_control);
    if is_local { to } else { "/" }
}

fn form(admin: &Admin, to: &str, user: &str, refusal: Option<&str>) -> Response {
    let place =
        if local(to) == "/" { "/sign-in/oidc".to_owned() } else { format!("/sign-in/oidc?to={}", frame::escaped(to)) };
    frame::bare(
        "Sign in",
        html! {
            main class="alone" {
                section class="card" {
                    h1 { "Penstock" }
                    @if let Some(refusal) = refusal { (frame::told("bad", html! { (refusal) })) }
                    @if let Some(provider) = &admin.provider {
                        a class="button main" href=(place) { "Sign in with " (provider.name()) }
                    }
                    @if admin.gate.has_passwords() { (by_password(to, user)) } @else {
                        p class="muted small" {
                            "Passwords are turned off. While the provider is away, the command "
                            code { "penstock" } " on the machine still works, by its token file."
                        }
                    }
                }
            }
        },
    )
}

fn by_password(to: &str, user: &str) -> Markup {
    html! {
        form method="post" action="/sign-in" {
            input type="hidden" name="to" value=(to);
            label for="user" { "User" }
            input id="user" name="user" value=(user) autocomplete="username" required autofocus[user.is_empty()];
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required
                autofocus[!user.is_empty()];
            button class="main" { "Sign in" }
            p class="muted small" {
                "The first start of the appliance told the password of the user admin. "
                "A forgotten one is replaced on the machine by "
                code { "penstock user password NAME" } "."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_never_leads_to_another_site() {
        for (to, place) in [
            ("/report?status=denied", "/report?status=denied"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/\t/evil.example", "/"),
        ] {
            assert_eq!(local(to), place, "{to:?}");
        }
    }
}
