//! The overview: what flows, what is refused, what fails, and whether everything is in its place.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::audit::timestamp;
use penstock_core::metrics::{
    AUDIT_DROPPED_TOTAL, COVERAGE_GAPS_TOTAL, DENIALS_TOTAL, FAULTS_TOTAL, FLOWS_ACTIVE, FLOWS_TOTAL,
    HANDSHAKE_SECONDS, HANDSHAKES_TOTAL, HEADERS_STRIPPED_TOTAL, POLICY_EPOCH, REQUESTS_TOTAL, SNIFF_SECONDS,
};

use super::chart::Chart;
use super::figures::{Figures, count, duration};
use super::{filter, frame};
use crate::access::Identity;
use crate::admin::{Admin, Problem};
use crate::audit::moment;
use crate::ca::RotationFacts;
use crate::publish::Everywhere;
use crate::store::EventQuery;

pub(super) async fn page(State(admin): State<Admin>, identity: Identity) -> Result<Response, Problem> {
    let now_ms = moment::now_ms();
    let since_ms = now_ms.saturating_sub(DAY_MS);
    let query = EventQuery { since_ms: Some(since_ms), ..filter::denials() };
    let chart = Chart::of(&admin, query, since_ms, now_ms).await?;
    Ok(frame::page(
        &identity,
        "/",
        "Overview",
        html! {
            div hx-get="/overview/figures" hx-trigger="every 5s" hx-swap="innerHTML" { (everything(&admin).await) }
            section class="card" {
                h2 { "Refused sign-ins, last 24 hours" }
                (chart.draw())
                p { a href="/report?since=24h&status=denied,would_deny" { "Show them in the report" } }
            }
        },
    ))
}

/// What changes from second to second.
pub(super) async fn figures(State(admin): State<Admin>) -> Response {
    frame::fragment(everything(&admin).await)
}

async fn everything(admin: &Admin) -> Markup {
    let figures = Figures::new(admin.publisher.fleet().samples(PATIENCE).await);
    let everywhere = admin.presence.view().await;
    html! {
        (state(admin, &everywhere))
        (tiles(&figures))
        div class="columns" {
            (latency(&figures))
            (refusals(&figures))
            (faults(&figures))
        }
        (nodes(&everywhere, &figures))
    }
}

/// In words: is everything as it should be?
fn state(admin: &Admin, Everywhere { nodes, is_complete }: &Everywhere) -> Markup {
    let active = admin.publisher.active();
    let epoch = active.as_ref().map(|active| active.epoch());
    let behind: Vec<&str> =
        nodes.iter().filter(|node| Some(node.epoch) != epoch).map(|node| node.node.as_str()).collect();
    let away: Vec<&str> = nodes.iter().filter(|node| !node.attached).map(|node| node.node.as_str()).collect();
    html! {
        ul class="state" {
            @match &active {
                Some(active) => li {
                    (frame::badge("good", "policy")) " epoch " strong { (active.epoch()) } " by " (active.revision.author)
                    ", " (frame::moment(&timestamp(active.revision.time_ms)))
                },
                None => li { (frame::badge("bad", "policy")) " none is in force: " a href="/policy" { "write one" } },
            }
            @if nodes.is_empty() {
                li { (frame::badge("bad", "link")) " no data plane has attached" }
            } @else if away.is_empty() {
                li { (frame::badge("good", "link")) " " (nodes.len()) " data plane(s) attached" }
            } @else {
                li { (frame::badge("bad", "link")) " away: " (away.join(", ")) }
            }
            @if !is_complete { li { (frame::badge("warn", "link")) " data planes of other controls cannot be looked up" } }
            @if !behind.is_empty() { li { (frame::badge("warn", "epoch")) " behind: " (behind.join(", ")) } }
            @for (kind, unix_seconds) in expiries(admin) { (expiry(kind, unix_seconds)) }
        }
    }
}

fn expiries(admin: &Admin) -> Vec<(&'static str, i64)> {
    let mut expiries = vec![("root", admin.authority.root_not_after())];
    expiries.extend(admin.authority.rotation().map(|rotation| match rotation {
        RotationFacts::Announced { next, .. } => ("next root", next.not_after),
        RotationFacts::Switched { old, .. } => ("old root", old.not_after),
    }));
    expiries.extend(admin.publisher.active().map(|active| ("issuer", active.issuer.not_after)));
    expiries
}

fn expiry(kind: &str, unix_seconds: i64) -> Markup {
    let end_ms = u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000);
    let left_ms = end_ms.saturating_sub(moment::now_ms());
    let state = if left_ms == 0 { "bad" } else { "good" };
    let left = if left_ms > 2 * DAY_MS {
        format!("{} days", left_ms / DAY_MS)
    } else {
        format!("{} hours", left_ms / 3_600_000)
    };
    html! { li { (frame::badge(state, kind)) " ends in " (left) ", " (frame::moment(&timestamp(end_ms))) } }
}

fn tiles(figures: &Figures) -> Markup {
    let flows = |verdict| figures.of(&FLOWS_TOTAL, "verdict", verdict);
    let tiles = [
        ("Flows open", figures.total(&FLOWS_ACTIVE), ""),
        ("Inspected", flows("inspect"), ""),
        ("Passed", flows("pass"), ""),
        ("Denied by policy", flows("deny"), ""),
        ("Requests inspected", figures.total(&REQUESTS_TOTAL), ""),
        ("Refused by vendors", figures.total(&DENIALS_TOTAL), ""),
        ("Handshakes", figures.total(&HANDSHAKES_TOTAL), ""),
        ("Client headers replaced", figures.total(&HEADERS_STRIPPED_TOTAL), ""),
        ("Faults", figures.total(&FAULTS_TOTAL), "warn"),
        ("Coverage gaps", figures.total(&COVERAGE_GAPS_TOTAL), "warn"),
        ("Audit events lost", figures.total(&AUDIT_DROPPED_TOTAL), "bad"),
    ];
    html! {
        dl class="tiles" {
            @for (name, number, kind) in tiles {
                div class=[(number > 0.0 && !kind.is_empty()).then_some(kind)] { dt { (name) } dd { (count(number)) } }
            }
        }
        p class="muted small" { "Counted by the data planes since they were started." }
    }
}

fn latency(figures: &Figures) -> Markup {
    let rows = [
        ("Handshake with clients", figures.quantiles(&HANDSHAKE_SECONDS, Some("downstream"))),
        ("Handshake with origins", figures.quantiles(&HANDSHAKE_SECONDS, Some("upstream"))),
        ("Whole ClientHello", figures.quantiles(&SNIFF_SECONDS, None)),
    ];
    html! {
        section class="card" {
            h2 { "Latency" }
            (frame::table("Latency", &["", "half under", "95 % under", "99 % under"], html! {
                @for (name, quantiles) in rows {
                    tr {
                        th scope="row" { (name) }
                        @match quantiles {
                            Some(quantiles) => @for quantile in quantiles { td class="number" { (duration(quantile)) } },
                            None => td colspan="3" class="muted" { "none yet" },
                        }
                    }
                }
            }))
        }
    }
}

fn refusals(figures: &Figures) -> Markup {
    let refusals = figures.by_all(&DENIALS_TOTAL, &["connector", "code"]);
    html! {
        section class="card" {
            h2 { "Refused by vendors" }
            @if refusals.is_empty() { p class="muted" { "None yet." } } @else {
                (frame::table("Refusals", &["connector", "code", "count"], counted(&refusals)))
            }
        }
    }
}

fn faults(figures: &Figures) -> Markup {
    let faults = figures.by_all(&FAULTS_TOTAL, &["leg", "phase", "kind"]);
    html! {
        section class="card" {
            h2 { "Faults" }
            @if faults.is_empty() { p class="muted" { "None yet." } } @else {
                (frame::table("Faults", &["leg", "phase", "kind", "count"], counted(&faults)))
            }
        }
    }
}

fn counted(rows: &[(Vec<String>, f64)]) -> Markup {
    html! {
        @for (key, number) in rows.iter().take(ROWS_MAX) {
            tr { @for part in key { td { (part) } } td class="number" { (count(*number)) } }
        }
    }
}

fn nodes(Everywhere { nodes, .. }: &Everywhere, figures: &Figures) -> Markup {
    let shards = figures.by(&POLICY_EPOCH, "shard");
    html! {
        section class="card" {
            h2 { "Data planes" }
            @if nodes.is_empty() { p class="muted" { "None has attached." } } @else {
                (frame::table("Data planes", &["node", "link", "since", "version", "shards", "proxy", "epoch"], html! {
                    @for node in nodes {
                        tr {
                            th scope="row" { (node.node) }
                            td {
                                @if node.attached { (frame::badge("good", "up")) } @else { (frame::badge("bad", "away")) }
                                @if let Some(control) = &node.control { " at " (control) }
                            }
                            td { (frame::moment(&node.since)) }
                            td { (node.version) }
                            td class="number" { (node.shards) }
                            td { (node.proxy) }
                            td class="number" {
                                (node.epoch)
                                @if let Some(refused) = &node.refused {
                                    " " (frame::badge("bad", "refused")) " epoch " (refused.epoch) ": " (refused.reason)
                                }
                            }
                        }
                    }
                }))
                @if !shards.is_empty() && nodes.len() == 1 {
                    p class="muted small" {
                        "Epoch by shard: "
                        @for (index, (shard, epoch)) in shards.iter().enumerate() {
                            @if index > 0 { ", " } (shard) ": " (count(*epoch))
                        }
                    }
                }
            }
        }
    }
}

/// How long a page waits for the data planes before it shows what they said last.
const PATIENCE: Duration = Duration::from_millis(500);
const DAY_MS: u64 = 86_400_000;
/// Rows of a small table.
const ROWS_MAX: usize = 12;
