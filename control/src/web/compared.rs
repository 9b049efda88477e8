//! Two policies beside each other: what changes in the text, and what inside hosts would notice.

use maud::{Markup, html};
use penstock_core::policy::Snapshot;

use super::frame;
use crate::audit::moment;
use crate::difference::{Change, Difference, difference};
use crate::unified;

/// A policy to compare.
pub(super) struct Version<'a> {
    /// What the difference calls it.
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) snapshot: &'a Snapshot,
}

/// What there is between two of them.
pub(super) struct Compared {
    /// Empty when the texts are the same.
    unified: String,
    difference: Difference,
}

impl Compared {
    pub(super) fn of(old: &Version<'_>, new: &Version<'_>) -> Self {
        Self {
            unified: unified::diff(old.name, old.text, new.name, new.text),
            difference: difference(old.snapshot, new.snapshot, &[], moment::now_ms()),
        }
    }

    pub(super) fn draw(&self) -> Markup {
        let Difference { hosts_added, hosts_removed, verdicts_changed, left_out, partial_rollout } = &self.difference;
        html! {
            section class="card" {
                h2 { "What changes in the text" }
                @if self.unified.is_empty() { p class="muted" { "Nothing." } } @else { (lines(&self.unified)) }
            }
            section class="card" {
                h2 { "What changes for inside hosts" }
                @if hosts_added.is_empty() && hosts_removed.is_empty() && verdicts_changed.is_empty() {
                    p class="muted" { "Nothing, for any source, user or group that either names." }
                }
                ul {
                    @for host in hosts_added { li { (frame::badge("good", "inspected now")) " " (host) } }
                    @for host in hosts_removed { li { (frame::badge("warn", "inspected no more")) " " (host) } }
                }
                @if !verdicts_changed.is_empty() { (changes(verdicts_changed)) }
                @if *left_out > 0 { p class="muted" { (left_out) " more are not listed." } }
                @if *partial_rollout {
                    p class="muted" { "An assignment covers only part of its sources: single ones may differ from their range." }
                }
            }
        }
    }
}

fn lines(unified: &str) -> Markup {
    html! {
        pre class="diff" tabindex="0" role="region" aria-label="Changes of the text" {
            @for line in unified.lines() {
                @let kind = match line.as_bytes().first() {
                    Some(b'+') => "added",
                    Some(b'-') => "removed",
                    Some(b'@') => "muted",
                    _ => "kept",
                };
                span class=(kind) { (line) "\n" }
            }
        }
    }
}

fn changes(changes: &[Change]) -> Markup {
    frame::table(
        "Verdicts",
        &["host", "for", "before", "after"],
        html! {
            @for change in changes {
                tr {
                    th scope="row" { (change.host) }
                    td {
                        @if let Some(user) = &change.user { (user) ", " }
                        @for source in change.sources.iter().take(SOURCES_SHOWN) { div class="small" { (source) } }
                        @if change.sources.len() > SOURCES_SHOWN { div class="small muted" { "and " (change.sources.len() - SOURCES_SHOWN) " more" } }
                    }
                    td class="long" { (change.before) }
                    td class="long" { (change.after) }
                }
            }
        },
    )
}

/// Ranges of sources that are named for one change.
const SOURCES_SHOWN: usize = 6;
