//! The policy's history, and the one step back.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::audit::timestamp;

use super::compared::{Compared, Version};
use super::form::Fields;
use super::review::applied;
use super::{frame, policy};
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem};
use crate::publish;

pub(super) async fn list(State(admin): State<Admin>, identity: Identity) -> Result<Response, Problem> {
    let active = admin.publisher.active().map(|active| active.epoch());
    let revisions = admin.revisions.history(None, REVISIONS_SHOWN).await?;
    let headings = ["epoch", "time", "by", "how", "why", ""];
    Ok(frame::page(
        &identity,
        "/policy",
        "Policy history",
        html! {
            nav class="tabs" aria-label="Policy" {
                a href="/policy" { "Document" }
                a href="/policy/history" aria-current="page" { "History and rollback" }
            }
            section class="card" {
                @if revisions.len() > 1 && identity.may(Act::ChangePolicy) { div class="bar" { (roll_back_form(&identity, active, None)) } }
            @if revisions.is_empty() { p class="muted" { "No policy was ever published." } } @else {
                    (frame::table("Revisions", &headings, html! {
                        @for revision in &revisions {
                            tr {
                                th scope="row" {
                                    a href={ "/policy/history/" (revision.epoch) } { (revision.epoch) }
                                    @if Some(revision.epoch) == active { " " (frame::badge("good", "in force")) }
                                }
                                td { (frame::moment(&timestamp(revision.time_ms))) }
                                td { (revision.author) }
                                td { (revision.source.label()) }
                                td class="long" { (revision.comment) }
                                td {
                                    @if Some(revision.epoch) != active && identity.may(Act::ChangePolicy) {
                                    (roll_back_form(&identity, active, Some(revision.epoch)))
                                    }
                                }
                            }
                        }
                    }))
                }
            }
        },
    ))
}

pub(super) async fn show(
    State(admin): State<Admin>,
    identity: Identity,
    Path(epoch): Path<u64>,
) -> Result<Response, Problem> {
    let Some(revision) = admin.revisions.revision(epoch).await? else {
        return Err(Problem::not_found(format!("there is no epoch {epoch}")));
    };
    let name = format!("epoch {epoch}");
    let snapshot = publish::check(policy::DOCUMENT.to_owned(), revision.text.clone(), None).await;
    let compared = admin.publisher.active().zip(snapshot.ok()).map(|(active, snapshot)| {
        let new_name = format!("epoch {}, in force", active.epoch());
        let old = Version { name: &name, text: &revision.text, snapshot: &snapshot };
        let new = Version { name: &new_name, text: &active.revision.text, snapshot: &active.snapshot };
        Compared::of(&old, &new)
    });
    Ok(frame::page(
        &identity,
        "/policy",
        &format!("Policy of epoch {epoch}"),
        html! {
            p { a href="/policy/history" { "Back to the history" } }
            section class="card" {
                p {
                    (revision.author) ", " (frame::moment(&timestamp(revision.time_ms))) ", " (revision.source.label())
                    @if !revision.comment.is_empty() { ": " (revision.comment) }
                }
                p class="muted small" { "SHA-256 " (revision.digest) }
                pre class="document" tabindex="0" role="region" aria-label="Document" { (revision.text) }
            }
            h2 { "From this one to the one in force" }
            @match &compared {
                Some(compared) => (compared.draw()),
                None => p class="muted" { "It cannot be compared: this version refuses it, or no policy is in force." },
            }
        },
    ))
}

/// Back to an epoch, or to the text before the one in force when none is named.
pub(super) async fn roll_back(
    State(admin): State<Admin>,
    identity: Identity,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let epoch = match fields.take("epoch").as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Problem::bad_request("epoch: must be a number"))?),
    };
    // Whoever published meanwhile is not overruled by a page that does not show it.
    let expected = fields.take("active").parse().ok();
    let published = admin.publisher.roll_back(epoch, identity.author(None), None, expected).await?;
    Ok(applied(&identity, &published))
}

fn roll_back_form(identity: &Identity, active: Option<u64>, epoch: Option<u64>) -> Markup {
    html! {
        form method="post" action="/policy/rollback" {
            (frame::csrf(identity))
            @if let Some(active) = active { input type="hidden" name="active" value=(active); }
            @match epoch {
                Some(epoch) => {
                    input type="hidden" name="epoch" value=(epoch);
                    button { "Roll back to epoch " (epoch) }
                },
                None => button class="danger" { "Undo the last change" },
            }
        }
    }
}

/// Revisions that the page shows.
const REVISIONS_SHOWN: usize = 100;
