//! The doctor: what would keep the appliance from working on this machine, and what mends it.

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::frame;
use crate::access::Identity;
use crate::admin::Admin;
use crate::doctor::{State as Health, examine};

pub(super) async fn page(State(admin): State<Admin>, identity: Identity) -> Response {
    let state = admin.state_directory.clone();
    // It starts a process and reads files.
    let report = tokio::task::spawn_blocking(move || examine(&state, &[], None)).await.ok();
    frame::page(
        &identity,
        "/doctor",
        "Doctor",
        html! {
            @match &report {
                None => (frame::told("bad", html! { "The examination stopped; the log says why." })),
                Some(report) => {
                    @if report.ok {
                        (frame::told("good", html! { "Nothing keeps the appliance from working on this machine." }))
                    } @else {
                        (frame::told("bad", html! { "Something keeps the appliance from working: see below." }))
                    }
                    section class="card" {
                        (frame::table("Findings", &["", "what", "found", "what mends it"], html! {
                            @for check in &report.checks {
                                tr {
                                    td {
                                        @match check.state {
                                            Health::Failed => (frame::badge("bad", "failed")),
                                            Health::Good => (frame::badge("good", "good")),
                                            Health::Warning => (frame::badge("warn", "warning")),
                                        }
                                    }
                                    th scope="row" { (check.name) }
                                    td class="long" { (check.found) }
                                    td class="long" { (check.fix.as_deref().unwrap_or("")) }
                                }
                            }
                        }))
                        p class="muted small" { "The same as " code { "penstock doctor" } ", as the control daemon sees it." }
                    }
                },
            }
        },
    )
}
