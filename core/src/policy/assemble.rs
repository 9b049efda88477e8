//! Builds the snapshot from a checked plan: the host table, and one header edit for each set of restrictions that a
//! host of a profile can have.

use alloc::string::ToString as _;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::compile::Plan;
use super::engine::EngineTable;
use super::exception::Relief;
use super::header_edit::SetHeader;
use super::host_rule;
use super::index::{HostIndex, HostMarks, InspectedNumber};
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
    let builder = Builder { plan: &plan, patterns: &patterns, names: &names };
    let profiles = plan.profiles.iter().map(|profile| builder.profile(profile)).collect();

    let always_excluded = host_rule::patterns(never_inspect().map(|note| note.host));
    let excluded = always_excluded.iter().map(|pattern| (pattern, HostMarks::EXCLUDED));
    let inspected = patterns.iter().zip(0_u16..).map(|(&pattern, number)| (pattern, HostMarks::inspected(number)));
    let listed = listed_marks(&plan);
    let steered = patterns.iter().copied().chain(plan.denied.iter().map(|rule| &rule.value)).cloned().collect();
    Snapshot {
        stamp,
        profiles,
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
        exceptions: plan.exceptions,
        listed_hosts: plan.denied.iter().chain(&plan.excluded).map(|rule| rule.value.to_string().into()).collect(),
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

/// What profiles are built from.
struct Builder<'plan> {
    plan: &'plan Plan<'plan>,
    /// In the order of their numbers.
    patterns: &'plan [&'plan HostPattern],
    names: &'plan Arc<StripNames>,
}

/// The edits of one profile, each once.
type Built = Vec<(Vec<usize>, Arc<HeaderEdit>)>;

impl Builder<'_> {
    fn profile(&self, plan: &ProfilePlan<'_>) -> Profile {
        let restrictions = &self.plan.restrictions;
        let name: Arc<str> = plan.name.value.into();
        let mut built: Built = Vec::new();
        let mut edit = |set: &[usize]| match built.iter().find(|(known, _)| known == set) {
            Some((_, edit)) => Arc::clone(edit),
            None => {
                let edit = Arc::new(build_edit(plan.mode, set, restrictions, self.names).of_profile(&name));
                built.push((set.to_vec(), Arc::clone(&edit)));
                edit
            }
        };
        let sets: Vec<Vec<usize>> = self.patterns.iter().map(|pattern| self.covering(plan, pattern)).collect();
        let mut edits: Vec<_> = sets.iter().map(|set| (!set.is_empty()).then(|| edit(set))).collect();
        let mut left: Vec<(Vec<usize>, usize)> = Vec::new();
        let mut reliefs = Vec::new();
        for (place, set) in sets.iter().enumerate() {
            for (exception, lifted) in self.plan.exceptions.iter().enumerate() {
                let rest: Vec<usize> =
                    set.iter().copied().filter(|index| !lifted.restrictions.contains(index)).collect();
                if rest.len() == set.len() {
                    continue;
                }
                let known = left.iter().find(|(known, _)| *known == rest).map(|(_, place)| *place);
                let instead = (!rest.is_empty()).then(|| known.unwrap_or(edits.len()));
                if let Some(new) = instead.filter(|_| known.is_none()) {
                    edits.push(Some(edit(&rest)));
                    left.push((rest, new));
                }
                // Were there ever more sets than numbers, the restriction would stay.
                match instead.map(InspectedNumber::of_place) {
                    Some(None) => {}
                    numbered => reliefs.push(Relief { place, exception, instead: numbered.flatten() }),
                }
            }
        }
        let no_edit = Arc::new(build_edit(plan.mode, &[], restrictions, self.names).of_profile(&name));
        Profile { name, mode: plan.mode, edits, reliefs, no_edit }
    }

    /// A pattern stands for all wider ones: a name under it gets the headers of every restriction that covers it.
    fn covering(&self, plan: &ProfilePlan<'_>, pattern: &HostPattern) -> Vec<usize> {
        let covers = |index: &usize| {
            let hosts = self.plan.restrictions.get(*index).map_or(&[][..], |restriction| &restriction.hosts);
            hosts.iter().any(|host| host.covers(pattern))
        };
        plan.restrictions.iter().copied().filter(covers).collect()
    }
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
