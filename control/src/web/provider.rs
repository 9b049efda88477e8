//! The way to the OpenID provider and back.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::frame;
use super::login::{Target, local};
use crate::admin::{Admin, Problem, Source, open_by_provider, send_to_provider, set_cookie, ticket_cookie};
use crate::oidc::Answer;

pub(super) async fn leave(State(admin): State<Admin>, Query(target): Query<Target>) -> Result<Response, Problem> {
    match send_to_provider(&admin, local(&target.to)).await {
        Ok((place, cookie)) => {
            Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&place)).into_response())
        }
        Err(problem) => Ok(refused(&problem)),
    }
}

/// The browser comes from another site, so that the new cookie is not sent along where it is redirected: a page of the
/// appliance's own leads on.
pub(super) async fn come_back(
    State(admin): State<Admin>,
    source: Source,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Result<Response, Problem> {
    let used_up = (header::SET_COOKIE, ticket_cookie("", admin.is_secure)?);
    match open_by_provider(&admin, source, &headers, answer).await {
        Ok((opened, to)) => {
            let cookies = [(header::SET_COOKIE, set_cookie(&opened.cookie, admin.is_secure)?), used_up];
            Ok((AppendHeaders(cookies), signed_in(local(&to))).into_response())
        }
        Err(problem) => Ok((AppendHeaders([used_up]), refused(&problem)).into_response()),
    }
}

fn signed_in(to: &str) -> Response {
    frame::leading(to, "Signed in", card("Signed in", html! { p { a href=(to) { "Go on" } } }))
}

fn refused(problem: &Problem) -> Response {
    let content = html! {
        (frame::told("bad", html! { (problem.detail()) }))
        p { a href="/sign-in" { "Back to signing in" } }
    };
    let mut page = frame::bare("Not signed in", card("Not signed in", content));
    *page.status_mut() = problem.status();
    page
}

fn card(title: &str, content: Markup) -> Markup {
    html! { main class="alone" { section class="card" { h1 { (title) } (content) } } }
}
