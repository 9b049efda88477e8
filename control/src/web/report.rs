//! The report: sign-ins and what became of them, filtered, as a table, as a chart, as files.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::audit::{Event, Status};
use penstock_core::catalogue::connectors;
use serde_json::Value;

use super::chart::Chart;
use super::filter::{Filter, NAMED};
use super::frame;
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem, Source, unmasking};
use crate::audit::{mask, moment};

/// What a table may show, in its order; the first so many unless others are chosen.
const COLUMNS: [(&str, &str); 16] = [
    ("time", "Time"),
    ("status", "Status"),
    ("user", "User"),
    ("source", "Source"),
    ("connector", "Connector"),
    ("sni", "Host"),
    ("target_tenant", "Target tenant"),
    ("code", "Code"),
    ("client", "Client"),
    ("application", "Application"),
    ("profile", "Profile"),
    ("method", "Method"),
    ("path", "Path"),
    ("username", "User name"),
    ("vendor_request_id", "Vendor request"),
    ("node", "Node"),
];
const COLUMNS_SHOWN: usize = 9;

pub(super) async fn page(
    State(admin): State<Admin>,
    identity: Identity,
    source: Source,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let chosen: Vec<String> =
        query.iter().filter(|(name, _)| name == "column").map(|(_, value)| value.clone()).collect();
    let filter = Filter::new(BTreeMap::from_iter(query)).or("since", "24h");
    let now_ms = moment::now_ms();
    let query = filter.query(now_ms)?;
    let user = Some(filter.text("user")).filter(|user| !user.is_empty());
    let is_clear = filter.text("unmask") == "true" || user.is_some();
    if is_clear {
        unmasking(&admin, &identity, source, user).await?;
    }
    let start_ms = query.since_ms.unwrap_or(now_ms);
    let chart = Chart::of(&admin, query.clone(), start_ms, query.until_ms.unwrap_or(now_ms)).await?;
    let mut found = admin.events.events(query).await?;
    if !is_clear {
        found.events.iter_mut().for_each(mask);
    }
    let next = found.last.filter(|_| found.more);
    let columns: Vec<(&str, &str)> = COLUMNS
        .iter()
        .enumerate()
        .filter(|(index, (key, _))| match chosen.is_empty() {
            true => *index < COLUMNS_SHOWN,
            false => chosen.iter().any(|chosen| chosen == key),
        })
        .map(|(_, column)| *column)
        .collect();
    Ok(frame::page(
        &identity,
        "/report",
        "Report",
        html! {
            (form(&identity, &filter, &columns))
            section class="card" { h2 { "Refusals over time" } (chart.draw()) }
            section class="card" {
                div class="bar" {
                    h2 { "Events" }
                    a class="button" href={ "/api/v1/events?" (filter.link(&[("format", "csv"), ("limit", "10000")])) }
                        download="penstock-events.csv" { "CSV" }
                a class="button" href={ "/api/v1/report?" (filter.link(&[("format", "csv"), ("limit", "10000")])) }
                    download="penstock-report.csv" { "Sign-ins only, CSV" }
                    a class="button" href={ "/api/v1/events?" (filter.link(&[("format", "json"), ("limit", "10000")])) }
                        download="penstock-events.json" { "JSON" }
                }
                (rows(&found.events, &columns))
                @if let Some(next) = next {
                    p { a class="button" href={ "/report?" (older(&filter, &chosen, next)) } { "Older events" } }
                }
            }
        },
    ))
}

fn older(filter: &Filter, chosen: &[String], next: u64) -> String {
    let next = next.to_string();
    let mut more: Vec<(&str, &str)> = vec![("cursor", &next)];
    more.extend(chosen.iter().map(|column| ("column", column.as_str())));
    filter.link(&more)
}

fn rows(events: &[Event], columns: &[(&str, &str)]) -> Markup {
    let headings: Vec<&str> = columns.iter().map(|(_, heading)| *heading).collect();
    html! {
        @if events.is_empty() { p class="muted" { "No event matches." } } @else {
            (frame::table("Events", &headings, html! {
                @for event in events {
                    @let value = serde_json::to_value(event).unwrap_or_default();
                    tr { @for (key, _) in columns { (cell(key, &value)) } }
                }
            }))
        }
    }
}

/// A cell of an event's row.
fn cell(key: &str, event: &Value) -> Markup {
    let text = event.get(key).and_then(Value::as_str).unwrap_or("");
    html! {
        td {
            @match key {
                "time" => (frame::moment(text)),
                "status" => (frame::status(text)),
                _ => (text),
            }
        }
    }
}

fn form(identity: &Identity, filter: &Filter, shown: &[(&str, &str)]) -> Markup {
    html! {
        form class="card filters" method="get" action="/report" {
            div class="fields" {
                label { "Since" input name="since" value=(filter.text("since")) placeholder="24h, 7d, 2026-11-21"; }
                label { "Until" input name="until" value=(filter.text("until")) placeholder="now"; }
                @for (name, heading) in NAMED {
                    @if name != "user" || identity.may(Act::Unmask) { (field(name, heading, filter.text(name))) }
                }
            }
            @if identity.may(Act::Unmask) {
                label class="check" {
                    input type="checkbox" name="unmask" value="true" checked[filter.text("unmask") == "true"];
                    "Show names of people (told in the trail)"
                }
            }
            details {
                summary { "Columns" }
                div class="checks" {
                    @for (key, heading) in COLUMNS {
                        label class="check" {
                            input type="checkbox" name="column" value=(key)
                                checked[shown.iter().any(|(shown, _)| *shown == key)];
                            (heading)
                        }
                    }
                }
            }
            div class="bar" {
                button class="main" { "Show" }
                a class="button quiet" href="/report" { "Reset" }
            }
        }
    }
}

fn field(name: &str, heading: &str, value: &str) -> Markup {
    let choices: Vec<&str> = match name {
        "status" => Status::ALL.iter().map(|status| status.label()).collect(),
        "connector" => connectors().map(|connector| connector.id.label()).collect(),
        _ => Vec::new(),
    };
    let is_listed = value.is_empty() || choices.contains(&value);
    html! {
        label {
            (heading)
            @if choices.is_empty() {
                input name=(name) value=(value);
            } @else {
                select name=(name) {
                    option value="" { "any" }
                    // Several at once come from a link, such as the overview's.
                    @if !is_listed { option value=(value) selected { (value.replace(',', " or ")) } }
                    @for choice in choices {
                        option value=(choice) selected[choice == value] { (choice.replace('_', " ")) }
                    }
                }
            }
        }
    }
}
