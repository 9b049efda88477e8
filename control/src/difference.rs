//! What changes between two policies: which hosts are inspected, and who gets another verdict at which of them.
//!
//! Sources are compared by the ranges between all networks that either document names: within one of them every address is
//! treated alike, but for cohorts of a partial rollout. Users are compared where a document names them or their group.
//!
//! Called by the admin API and by `penstock policy diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use penstock_core::policy::{Explanation, FlowFacts, Snapshot, explain};
use penstock_core::sni::Sni;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The difference.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Difference {
    /// Patterns that only the new policy inspects.
    pub hosts_added: Vec<String>,
    /// Patterns that only the old policy inspected.
    pub hosts_removed: Vec<String>,
    /// Verdicts and headers that change.
    pub verdicts_changed: Vec<Change>,
    /// Changes that are not listed.
    pub left_out: usize,
    /// Whether an assignment covers only part of its sources: then single sources may differ from what is said of their
    /// range.
    pub partial_rollout: bool,
}

/// A host at which some sources or users get another verdict.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Change {
    /// A pattern that either policy names.
    pub host: String,
    /// Ranges of sources; `everybody else` stands for all that neither document names.
    pub sources: Vec<String>,
    /// A user, or `group:NAME`; absent for whoever is nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<String>,
    /// What they got.
    pub before: String,
    /// What they get.
    pub after: String,
}

/// Changes that are listed.
const CHANGES_MAX: usize = 1_000;
/// Ranges and users that are compared; beyond, only the first.
const RANGES_MAX: usize = 512;
const USERS_MAX: usize = 256;
/// Somebody who is in the group that is asked about, and nobody else.
const MEMBER: &str = "a member";

/// A range of sources that are treated alike.
struct Range {
    shown: String,
    first: IpAddr,
}

/// Compares two policies, as decided at that moment (Unix time, milliseconds), for these inside hosts; for all when none is
/// named.
pub fn difference(before: &Snapshot, after: &Snapshot, only: &[IpAddr], unix_ms: u64) -> Difference {
    let (old, new) = (hosts(before), hosts(after));
    let ranges = match only {
        [] => ranges(before, after),
        only => only.iter().map(|first| Range { shown: first.to_string(), first: *first }).collect(),
    };
    let named: BTreeSet<&str> = before.users().chain(after.users()).collect();
    let users = std::iter::once(None).chain(named.into_iter().map(Some)).take(USERS_MAX);
    let users: Vec<Option<&str>> = users.collect();
    let both = |host: &str| Sni::parse(sample(host).as_bytes()).ok();
    let mut changes = Vec::new();
    let mut left_out = 0;
    let named_hosts: BTreeSet<String> = before.named_hosts().chain(after.named_hosts()).collect();
    for host in named_hosts {
        let Some(name) = both(&host) else { continue };
        let mut nobody: BTreeMap<IpAddr, (String, String)> = BTreeMap::new();
        for user in &users {
            let mut by_outcome: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
            for range in &ranges {
                let ask = |snapshot| outcome(snapshot, &name, range.first, *user, unix_ms);
                let pair = (ask(before), ask(after));
                match user {
                    None => drop(nobody.insert(range.first, pair.clone())),
                    // What is said of everybody is not said again of each.
                    Some(_) if nobody.get(&range.first) == Some(&pair) => continue,
                    Some(_) => {}
                }
                if pair.0 != pair.1 {
                    by_outcome.entry(pair).or_default().push(range.shown.clone());
                }
            }
            for ((before, after), sources) in by_outcome {
                if changes.len() >= CHANGES_MAX {
                    left_out += 1;
                    continue;
                }
                changes.push(Change { host: host.clone(), sources, user: user.map(str::to_owned), before, after });
            }
        }
    }
    Difference {
        hosts_added: new.difference(&old).cloned().collect(),
        hosts_removed: old.difference(&new).cloned().collect(),
        verdicts_changed: changes,
        left_out,
        partial_rollout: before.is_partial() || after.is_partial(),
    }
}

fn hosts(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.inspected_hosts().map(str::to_owned).collect()
}

/// A name that the pattern covers.
fn sample(host: &str) -> String {
    let name = host.strip_prefix("*.").map_or_else(|| host.to_owned(), |suffix| format!("www.{suffix}"));
    name.replace('*', "x")
}

/// The ranges between all ends of networks, in order, and one address that neither document names.
fn ranges(before: &Snapshot, after: &Snapshot) -> Vec<Range> {
    let named: Vec<(IpAddr, IpAddr)> = before.source_ranges().chain(after.source_ranges()).collect();
    let mut ranges = Vec::new();
    for v4 in [true, false] {
        let of_family = || named.iter().filter(|(first, _)| first.is_ipv4() == v4);
        let starts = of_family().map(|(first, _)| *first);
        let cuts: BTreeSet<IpAddr> = starts.chain(of_family().filter_map(|(_, last)| next(*last))).collect();
        let cuts: Vec<IpAddr> = cuts.into_iter().collect();
        for (place, first) in cuts.iter().enumerate() {
            if !of_family().any(|range| range.0 <= *first && *first <= range.1) {
                continue;
            }
            let until = cuts.get(place + 1).and_then(|cut| previous(*cut));
            let last = until.or_else(|| of_family().map(|range| range.1).max()).unwrap_or(*first);
            let shown = if *first == last { first.to_string() } else { format!("{first}-{last}") };
            ranges.push(Range { shown, first: *first });
        }
    }
    ranges.truncate(RANGES_MAX);
    let elsewhere = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"];
    let is_free = |address: &IpAddr| !named.iter().any(|(first, last)| first <= address && address <= last);
    let free = elsewhere.iter().filter_map(|text| text.parse().ok()).find(is_free);
    ranges.extend(free.map(|first| Range { shown: "everybody else".to_owned(), first }));
    ranges
}

fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn previous(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => u128::from(address).checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

/// Everything of a decision that a user would notice, in one line.
fn outcome(snapshot: &Snapshot, name: &Sni, source: IpAddr, user: Option<&str>, unix_ms: u64) -> String {
    let group = user.and_then(|user| user.strip_prefix("group:"));
    let groups: Vec<String> = group.map(str::to_owned).into_iter().collect();
    let user = if group.is_some() { Some(MEMBER) } else { user };
    let facts = FlowFacts { user, groups: &groups, sni: Some(name), unix_ms: Some(unix_ms), ..FlowFacts::of(source) };
    let Explanation { verdict, reason, set, would_set, .. } = explain(snapshot, &facts);
    let headers = set.iter().chain(&would_set).map(|header| format!(" {}={}", header.name, header.value));
    let mode = if would_set.is_empty() { "" } else { ", report-only" };
    format!("{verdict} ({reason}{mode}){}", headers.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_core::policy::compile;

    const POLICY: &str = r#"
[[restriction]]
name = "claude"
connector = "anthropic-claude"
only_hosts = ["claude.ai"]
organization_ids = ["11111111-2222-3333-4444-555555555555"]
[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["claude"]
[[assignment]]
profile = "staff"
sources = ["10.0.0.0/8"]
"#;

    fn compare(after: &str) -> Difference {
        let compiled = |text| compile("p", text, None, 1).unwrap_or_else(|found| panic!("{found:#?}"));
        difference(&compiled(POLICY), &compiled(after), &[], 1_795_305_600_000)
    }

    #[test]
    fn nothing_changes_when_only_words_do() {
        let same = compare(&POLICY.replace("\"staff\"", "\"everybody\""));
        assert!(same.verdicts_changed.is_empty() && same.hosts_added.is_empty() && same.left_out == 0, "{same:?}");
    }

    #[test]
    fn the_sources_whose_verdict_changes_are_named_by_range() {
        let after = POLICY.replace("10.0.0.0/8", "10.0.0.0/9\", \"192.168.0.0/24");
        let told = compare(&after).verdicts_changed;
        let ranges: Vec<_> =
            told.iter().map(|change| (change.sources.join(" "), change.before.starts_with("inspect"))).collect();
        assert_eq!(
            ranges,
            [("10.128.0.0-10.255.255.255".to_owned(), true), ("192.168.0.0-192.168.0.255".to_owned(), false)]
                .into_iter()
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect::<Vec<_>>(),
            "{told:?}"
        );
    }

    #[test]
    fn users_groups_hosts_and_values_are_compared() {
        let exception = "[[exception]]\nwho = [\"alice\", \"group:auditors\"]\nwhy = \"a case\"\nuntil = 2026-12-31\nrestrictions = [\"claude\"]\n";
        let told = compare(&format!("{POLICY}{exception}[deny]\nhosts = [\"poe.contoso.com\"]\n"));
        let who: Vec<_> =
            told.verdicts_changed.iter().map(|change| (change.host.as_str(), change.user.as_deref())).collect();
        assert_eq!(
            who,
            [("claude.ai", Some("alice")), ("claude.ai", Some("group:auditors")), ("poe.contoso.com", None)]
        );
        assert_eq!(told.verdicts_changed[0].after, "pass (exception)");

        let value = compare(&POLICY.replace("555555555555", "666666666666"));
        assert!(value.verdicts_changed[0].after.contains("666666666666"), "{value:?}");
        let hosts = compare(&POLICY.replace("[\"claude.ai\"]", "[\"*.claude.ai\"]"));
        assert_eq!(
            (hosts.hosts_added, hosts.hosts_removed),
            (vec!["*.claude.ai".to_owned()], vec!["claude.ai".to_owned()])
        );
        assert!(compare(&format!("{POLICY}rollout_percent = 10\n")).partial_rollout);
    }
}
