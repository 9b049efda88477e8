//! The policy editor: the document, what the compiler says of it while one writes, the way to its review.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::policy::{Diagnostic, Severity};

use super::form::Fields;
use super::frame;
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem};
use crate::audit::moment;
use crate::publish::{self, PublishError};

/// What the editor shows.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) text: String,
    pub(super) comment: String,
    /// The epoch that it began from.
    pub(super) base: Option<u64>,
    /// What is said above it.
    pub(super) told: Option<Markup>,
    /// What is said below it.
    pub(super) findings: Option<Markup>,
}

pub(super) async fn editor(State(admin): State<Admin>, identity: Identity) -> Response {
    let active = admin.publisher.active();
    let draft = match &active {
        Some(active) => {
            let findings = findings(&active.snapshot.findings(moment::now_ms()));
            Draft {
                text: active.revision.text.clone(),
                base: Some(active.epoch()),
                findings: Some(findings),
                ..Draft::default()
            }
        }
        None => Draft::default(),
    };
    show(&identity, draft)
}

/// The editor on a draft.
pub(super) fn show(identity: &Identity, draft: Draft) -> Response {
    let Draft { text, comment, base, told, findings } = draft;
    let may_change = identity.may(Act::ChangePolicy);
    frame::page(
        identity,
        "/policy",
        "Policy",
        html! {
            @if let Some(told) = told { (told) }
            nav class="tabs" aria-label="Policy" {
                a href="/policy" aria-current="page" { "Document" }
                a href="/policy/history" { "History and rollback" }
            }
            form class="card" method="post" action="/policy/review" {
                (frame::csrf(identity))
                input type="hidden" name="base" value=(base.map_or_else(String::new, |base| base.to_string()));
                p class="muted" {
                    @match base {
                        Some(base) => { "In force: epoch " (base) ". What you write is checked as you write and changes nothing until you apply it." },
                        None => "No policy is in force: everything passes. Write one, or paste one.",
                    }
                }
                label for="text" { "Document (TOML)" }
                div class="editor" {
                    pre class="gutter" aria-hidden="true" {}
                    textarea id="text" name="text" rows="28" wrap="off" spellcheck="false" autocapitalize="off" autocomplete="off"
                        aria-describedby="findings" readonly[!may_change]
                        hx-post="/policy/check" hx-trigger="input changed delay:300ms" hx-target="#findings" hx-sync="this:replace" {
                        // HTML takes away one line end at the beginning.
                        "\n" (text)
                    }
                }
                div id="findings" class="findings" aria-live="polite" {
                    @if let Some(findings) = findings { (findings) }
                }
                @if may_change {
                    label for="comment" { "Why (for the history)" }
                    input id="comment" name="comment" value=(comment) maxlength="500";
                    div class="bar" { button class="main" { "Review the change" } }
                } @else {
                    p class="muted" { "Your role may not change the policy." }
                }
            }
        },
    )
}

/// The findings of a draft, as a part of the page.
pub(super) async fn check(mut fields: Fields) -> Result<Response, Problem> {
    let checked = publish::check(DOCUMENT.to_owned(), fields.take("text"), None).await;
    Ok(frame::fragment(match checked {
        Ok(snapshot) => html! {
            p class="right" {
                (frame::badge("good", "right")) " "
                (snapshot.profiles().count()) " profile(s), " (snapshot.inspected_hosts().count()) " inspected host pattern(s)"
            }
            (findings(&snapshot.findings(moment::now_ms())))
        },
        Err(PublishError::Invalid(diagnostics)) => findings(&diagnostics),
        Err(error) => return Err(error.into()),
    }))
}

/// What is wrong or doubtful, each with the way to its place.
pub(super) fn findings(diagnostics: &[Diagnostic]) -> Markup {
    html! {
        @if !diagnostics.is_empty() {
            ul {
                @for diagnostic in diagnostics {
                    @let kind = if diagnostic.severity == Severity::Error { "bad" } else { "warn" };
                    li class=(kind) data-line=(diagnostic.line) data-column=(diagnostic.column) data-kind=(kind) {
                        (frame::badge(kind, &diagnostic.severity.to_string())) " "
                        a class="place" href="#text" { "line " (diagnostic.line) ", column " (diagnostic.column) }
                        ": " (diagnostic.message)
                        @if let Some(help) = &diagnostic.help { p class="help" { (help) } }
                    }
                }
            }
        }
    }
}

/// What diagnostics call the document.
pub(super) const DOCUMENT: &str = "policy.toml";
