//! Builds the snapshot from a checked plan: the host table, and one header edit for each set of restrictions that a
//! host of a profile can have.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::compile::Plan;
use super::engine::EngineTable;
use super::header_edit::SetHeader;
use super::host_rule;
use super::index::{HostIndex, HostMarks};
use super::pattern::HostPattern;
use super::profile::ProfilePlan;
use super::restriction::Restriction;
use super::snapshot::{Profile, Snapshot, Stamp};
use super::{HeaderEdit, Mode};
use crate::catalogue::{ConnectorId, StripNames, never_inspect};

/// Builds the snapshot of `plan`.
pub(super) fn assemble(plan: Plan<'_>, seed: u64, stamp: Stamp) -> Snapshot {
    let patterns = inspected_patterns(&plan);
    let names = Arc::new(StripNames::new(supplied_names(&plan.restrictions)));
    let profiles = plan.profiles.iter().map(|profile| build_profile(profile, &plan.restrictions, &patterns, &names));

    let always_excluded = host_rule::patterns(never_inspect().map(|note| note.host));
    let excluded = always_excluded.iter().map(|pattern| (pattern, HostMarks::EXCLUDED));
    let inspected = patterns.iter().zip(0_u16..).map(|(&pattern, number)| (pattern, HostMarks::inspected(number)));
    let listed = listed_marks(&plan);
    let steered = patterns.iter().copied().chain(plan.denied.iter().map(|rule| &rule.value)).cloned().collect();
    Snapshot {
        stamp,
        profiles: profiles.collect(),
        hosts: HostIndex::new(seed, excluded.chain(inspected).chain(listed)),
        inspected_hosts: patterns.iter().map(|pattern| pattern.to_string().into()).collect(),
        no_edit: Arc::new(HeaderEdit::with_names(names, Mode::Off, &[], Vec::new())),
        engines: EngineTable::new(plan.engines),
        assignments: plan.assignments,
        defaults: plan.defaults,
        connects: plan.connects,
        pac: plan.pac.steering(steered),
        plain_http: plan.plain_http,
        evasion: plan.evasion,
        sites: plan.sites,
        users: plan.users,
    }
}

/// The document's own exclusions and its deny list.
fn listed_marks<'plan>(plan: &'plan Plan<'_>) -> impl Iterator<Item = (&'plan HostPattern, HostMarks)> {
    let excluded = plan.excluded.iter().map(|rule| (&rule.value, HostMarks::EXCLUDED));
    excluded.chain(plan.denied.iter().map(|rule| (&rule.value, HostMarks::DENIED)))
}

/// Every pattern that some profile inspects, once, in order: the place is the pattern's number.
fn inspected_patterns<'plan>(plan: &'plan Plan<'_>) -> Vec<&'plan HostPattern> {
    let active = plan.profiles.iter().filter(|profile| profile.mode != Mode::Off);
    let restrictions =
        active.flat_map(|profile| &profile.restrictions).filter_map(|&index| plan.restrictions.get(index));
    let mut patterns: Vec<&HostPattern> = restrictions.flat_map(|restriction| &restriction.hosts).collect();
    patterns.sort();
    patterns.dedup();
    patterns
}

/// Header names that stand in the policy, not in the catalogue.
fn supplied_names<'plan>(restrictions: &'plan [Restriction<'_>]) -> impl Iterator<Item = (&'plan str, ConnectorId)> {
    restrictions.iter().flat_map(|restriction| {
        let id = restriction.connector.map(|connector| connector.id);
        restriction.headers.iter().filter_map(move |header| Some((&*header.name, id?)))
    })
}

/// A pattern stands for all wider ones: a name under it gets the headers of every restriction that covers it.
fn build_profile(
    plan: &ProfilePlan<'_>,
    restrictions: &[Restriction<'_>],
    patterns: &[&HostPattern],
    names: &Arc<StripNames>,
) -> Profile {
    let name: Arc<str> = plan.name.value.into();
    let mut built: Vec<(Vec<usize>, Arc<HeaderEdit>)> = Vec::new();
    let edits = patterns.iter().map(|pattern| {
        let covers = |index: &usize| {
            let hosts = restrictions.get(*index).map_or(&[][..], |restriction| &restriction.hosts);
            hosts.iter().any(|host| host.covers(pattern))
        };
        let set: Vec<usize> = plan.restrictions.iter().copied().filter(covers).collect();
        if set.is_empty() {
            return None;
        }
        if let Some((_, edit)) = built.iter().find(|(known, _)| *known == set) {
            return Some(Arc::clone(edit));
        }
        let edit = Arc::new(build_edit(plan.mode, &set, restrictions, names).of_profile(&name));
        built.push((set, Arc::clone(&edit)));
        Some(edit)
    });
    let edits = edits.collect();
    let no_edit = Arc::new(build_edit(plan.mode, &[], restrictions, names).of_profile(&name));
    Profile { name, mode: plan.mode, edits, no_edit }
}

fn build_edit(mode: Mode, set: &[usize], restrictions: &[Restriction<'_>], names: &Arc<StripNames>) -> HeaderEdit {
    let chosen = || set.iter().filter_map(|&index| restrictions.get(index));
    let connectors: Vec<ConnectorId> = chosen().filter_map(|restriction| Some(restriction.connector?.id)).collect();
    let headers: Vec<SetHeader> = chosen().flat_map(|restriction| &restriction.headers).cloned().collect();
    let edit = HeaderEdit::with_names(Arc::clone(names), mode, &connectors, headers);
    let default = edit.websocket();
    // One restriction that says no is enough; else one that says yes, or one connector that needs them.
    let mut said = chosen().filter_map(|restriction| restriction.websocket);
    let websocket = match said.next() {
        Some(first) => first && said.all(|next| next),
        None => default,
    };
    edit.with_websocket(websocket)
}
