//! Where audit events go beside the store, and how far each export is.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::frame;
use crate::access::Identity;
use crate::admin::Admin;
use crate::export::Status;

pub(super) async fn page(State(admin): State<Admin>, identity: Identity) -> Response {
    let exports = admin.exports.status();
    frame::page(
        &identity,
        "/exports",
        "Exports",
        html! {
            section id="exports" class="card" hx-get="/exports" hx-select="#exports" hx-swap="outerHTML" hx-trigger="every 10s" {
                @if exports.is_empty() {
                    p class="muted" {
                        "Audit events go nowhere but into the store. " code { "[[export]]" } " in the configuration of control sends "
                        "them on, to files, syslog, OTLP collectors or NATS JetStream."
                    }
                } @else {
                    (frame::table("Exports", &HEADINGS, html! { @for export in &exports { (row(export)) } }))
                    p class="muted small" {
                        "Deliveries, failures and losses are counted since the start. What waits is kept in the store, until its bounds are met. "
                        "The same as " code { "penstock exports" } "."
                    }
                }
            }
        },
    )
}

fn row(export: &Status) -> Markup {
    html! {
        tr {
            th scope="row" { (export.name) }
            td class="long" {
                (export.kind) " " (export.to)
                @if !export.masked { " " (frame::badge("warn", "names of people")) }
            }
            td class="long" {
                @match &export.error {
                    Some(error) => { (frame::badge("bad", "failing")) " " (error) },
                    None if export.pending > 0 => (frame::badge("warn", "behind")),
                    None => (frame::badge("good", "up to date")),
                }
            }
            td class="number" { (export.pending) @if let Some(time) = &export.waits_since { ", since " (frame::moment(time)) } }
            td class="number" { (export.events) @if let Some(time) = &export.delivered { ", last " (frame::moment(time)) } }
            td class="number" { (export.failures) }
            td class="number" { @if export.lost > 0 { (frame::badge("bad", &export.lost.to_string())) } @else { "0" } }
            td class="number" { @match export.cursor { Some(cursor) => (cursor), None => span class="muted" { "none" } } }
        }
    }
}

/// The last one is the cursor of the last event that was taken.
const HEADINGS: [&str; 8] = ["name", "to", "state", "wait", "delivered", "failures", "lost", "cursor"];
