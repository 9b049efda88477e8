//! What all pages have in common: the head, the way around, the look of small things.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::json;

use super::assets;
use crate::access::{Act, Identity};

/// The pages in the order of the way around: path, name, what it needs.
const PLACES: [(&str, &str, Act); 11] = [
    ("/", "Overview", Act::ReadState),
    ("/policy", "Policy", Act::ReadState),
    ("/catalogue", "Catalogue", Act::ReadState),
    ("/report", "Report", Act::ReadEvents),
    ("/live", "Live events", Act::ReadEvents),
    ("/exports", "Exports", Act::ReadState),
    ("/authority", "Authority", Act::ReadState),
    ("/doctor", "Doctor", Act::ReadState),
    ("/people", "Users and tokens", Act::ViewAccess),
    ("/trail", "Trail", Act::ReadTrail),
    ("/account", "Account", Act::Account),
];

/// A page of somebody who signed in. `here` is the path of the place that it belongs to.
pub(super) fn page(identity: &Identity, here: &str, title: &str, content: Markup) -> Response {
    let headers = json!({ "Penstock-Csrf": identity.csrf() }).to_string();
    respond(html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body hx-headers=(headers) {
                a class="skip" href="#content" { "Skip to content" }
                header class="side" {
                    a class="brand" href="/" { (mark()) "Penstock" }
                    nav aria-label="Pages" {
                        @for (path, name, act) in PLACES {
                            @if identity.may(act) {
                                a href=(path) aria-current=[(path == here).then_some("page")] { (name) }
                            }
                        }
                    }
                    form class="who" method="post" action="/sign-out" {
                        (csrf(identity))
                        span { (identity.name) " " span class="muted" { (identity.role.label()) } }
                        button class="quiet" { "Sign out" }
                    }
                }
                main id="content" tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
            }
        }
    })
}

/// A page without a way around.
pub(super) fn bare(title: &str, content: Markup) -> Response {
    alone(head(title), content)
}

/// The same, which goes on to another page of this listener by itself.
pub(super) fn leading(to: &str, title: &str, content: Markup) -> Response {
    let head = html! { (head(title)) meta http-equiv="refresh" content={ "0; url=" (to) }; };
    alone(head, content)
}

fn alone(head: Markup, content: Markup) -> Response {
    respond(html! {
        (DOCTYPE)
        html lang="en" {
            head { (head) }
            body class="bare" { (content) }
        }
    })
}

/// A part of a page.
pub(super) fn fragment(content: Markup) -> Response {
    respond(content)
}

/// The hidden field without which no form changes anything.
pub(super) fn csrf(identity: &Identity) -> Markup {
    html! { input type="hidden" name="csrf" value=(identity.csrf()); }
}

/// A word with the colour of what it says.
pub(super) fn badge(kind: &str, word: &str) -> Markup {
    html! { span class={ "badge " (kind) } { (word) } }
}

/// A status of the report, coloured.
pub(super) fn status(status: &str) -> Markup {
    let kind = match status {
        "allowed" => "good",
        "denied" => "bad",
        "would_deny" => "warn",
        _ => "plain",
    };
    badge(kind, &status.replace('_', " "))
}

/// A moment, readable; exact for machines.
pub(super) fn moment(rfc3339: &str) -> Markup {
    let shown = rfc3339.get(..19).map_or_else(|| rfc3339.to_owned(), |shown| shown.replace('T', " "));
    html! { time datetime=(rfc3339) title=(rfc3339) { (shown) } }
}

/// A good or bad end of what was asked for, told at the top of the page.
pub(super) fn told(kind: &str, content: Markup) -> Markup {
    let role = if kind == "bad" { "alert" } else { "status" };
    html! { div class={ "told " (kind) } role=(role) { (content) } }
}

/// A table that scrolls by itself on a small screen; its region can be reached by keyboard.
pub(super) fn table(label: &str, headings: &[&str], rows: Markup) -> Markup {
    html! {
        div class="table" role="region" aria-label=(label) tabindex="0" {
            table {
                thead { tr { @for heading in headings { th scope="col" { (heading) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Text as the value of a query parameter.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="htmx-config" content=(HTMX_CONFIG);
        title { (title) " · Penstock" }
        link rel="icon" href=(assets::path("mark.svg")) type="image/svg+xml";
        link rel="stylesheet" href=(assets::path("style.css"));
        @for script in ["htmx.js", "uplot.js", "console.js"] {
            script src=(assets::path(script)) defer {}
        }
    }
}

fn mark() -> Markup {
    html! { img class="mark" src=(assets::path("mark.svg")) alt="" width="24" height="24"; }
}

fn respond(markup: Markup) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], markup.into_string())
        .into_response()
}

/// Nothing is evaluated, no style is written into the page, nothing is asked of others, no page is kept in the browser.
const HTMX_CONFIG: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"historyEnabled":false}"#;
