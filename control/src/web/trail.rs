//! The trail: who did what.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::html;

use super::frame;
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem, TrailFilters, trail_page};

pub(super) async fn page(
    State(admin): State<Admin>,
    identity: Identity,
    Query(filters): Query<TrailFilters>,
) -> Result<Response, Problem> {
    let (who, act) = (filters.who.clone().unwrap_or_default(), filters.act.clone().unwrap_or_default());
    let view = trail_page(&admin, filters).await?;
    let headings = ["time", "who", "role", "from", "act", "outcome", "on what"];
    Ok(frame::page(
        &identity,
        "/trail",
        "Trail",
        html! {
            form class="card filters" method="get" action="/trail" {
                div class="fields" {
                    label { "Who" input name="who" value=(who) placeholder="a user, token:ID, token:file"; }
                    label {
                        "Act"
                        select name="act" {
                            option value="" { "any" }
                            @for known in Act::ALL {
                                @if known.is_recorded() {
                                    option value=(known.label()) selected[known.label() == act] { (known.label().replace('_', " ")) }
                                }
                            }
                        }
                    }
                }
                div class="bar" { button class="main" { "Show" } }
            }
            section class="card" {
                @if view.entries.is_empty() { p class="muted" { "No entry matches." } } @else {
                    (frame::table("Trail", &headings, html! {
                        @for entry in &view.entries {
                            @let kind = match entry.outcome.as_str() { "done" => "good", "refused" => "warn", _ => "bad" };
                            tr {
                                td { (frame::moment(&entry.time)) }
                                th scope="row" { (entry.who) }
                                td { (entry.role.as_deref().unwrap_or("")) }
                                td { (entry.address) }
                                td { (entry.act.replace('_', " ")) }
                                td { (frame::badge(kind, &entry.outcome)) }
                                td class="long" { (entry.subject) }
                            }
                        }
                    }))
                }
                @if let Some(next) = view.next {
                    p {
                        a class="button" href={ "/trail?before=" (next) "&who=" (frame::escaped(&who)) "&act=" (frame::escaped(&act)) } {
                            "Older entries"
                        }
                    }
                }
            }
        },
    ))
}
