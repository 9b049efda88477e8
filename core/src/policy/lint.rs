//! Warnings about a policy that is legal and probably not what was meant: what is unused, what can be walked around, what
//! is never reached.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::compile::Plan;
use super::document::{Document, Placed};
use super::findings::Findings;
use super::pattern::{HostPattern, Scope};
use super::restriction::Restriction;
use super::{FindingCode, Mode};
use super::{coalescing, knowledge, reach};

/// Looks the whole plan over.
pub(super) fn check(plan: &Plan<'_>, document: &Document<'_>, findings: &mut Findings) {
    // Beside an error, what looks unused is mostly what the error kept from being used.
    if !findings.has_errors() {
        warn_of_unused(plan, document, findings);
    }
    for (index, restriction) in plan.restrictions.iter().enumerate() {
        if is_enforced(plan, index) {
            warn_of_undenied(restriction, &plan.denied, findings);
        }
    }
    for rule in &plan.excluded {
        warn_of_exclusion(rule, plan, findings);
    }
    reach::check(plan, document, findings);
    knowledge::check(plan, findings);
    coalescing::check(plan, findings);
    if !findings.has_errors() {
        for rule in plan.engines.iter().flat_map(|rule| &rule.hosts) {
            warn_of_idle_engine(rule, plan, findings);
        }
    }
}

/// An engine for a host that no restriction inspects, and whose TLS therefore does not end here.
fn warn_of_idle_engine(rule: &Placed<HostPattern>, plan: &Plan<'_>, findings: &mut Findings) {
    let mut inspected = plan.restrictions.iter().flat_map(|restriction| &restriction.hosts);
    if rule.value.scope() != Scope::Inner && !inspected.any(|host| host.overlaps(&rule.value)) {
        findings
            .warning(rule.at, format!("no restriction inspects \"{}\": its engine is never used", rule.value))
            .code(FindingCode::Unused)
            .help("remove the host from the engine, or inspect it");
    }
}

fn warn_of_unused(plan: &Plan<'_>, document: &Document<'_>, findings: &mut Findings) {
    for (index, restriction) in plan.restrictions.iter().enumerate() {
        if !plan.profiles.iter().any(|profile| profile.restrictions.contains(&index)) {
            findings
                .warning(restriction.name.at, format!("no profile uses restriction {:?}", restriction.name.value))
                .code(FindingCode::Unused)
                .help("list it in a profile, or remove it");
        }
    }
    for (index, profile) in plan.profiles.iter().enumerate() {
        if profile.restrictions.is_empty() && profile.mode != Mode::Off {
            findings
                .warning(profile.name.at, format!("profile {:?} restricts nothing", profile.name.value))
                .help("name restrictions, or write mode = \"off\"");
        }
        if !plan.assignments.iter().any(|assignment| assignment.profile == index) {
            findings
                .warning(profile.name.at, format!("no assignment uses profile {:?}", profile.name.value))
                .code(FindingCode::Unused)
                .help("assign it, or remove it");
        }
    }
    if document.assignments.is_empty() {
        findings
            .warning(0, "without an [[assignment]] every flow passes")
            .help("give a profile to sources: [[assignment]] with profile and sources");
    }
}

fn is_enforced(plan: &Plan<'_>, restriction: usize) -> bool {
    plan.profiles.iter().any(|profile| profile.mode == Mode::Enforce && profile.restrictions.contains(&restriction))
}

/// Hosts that the vendor would have blocked, and that therefore pass without any header.
fn warn_of_undenied(restriction: &Restriction<'_>, denied: &[Placed<HostPattern>], findings: &mut Findings) {
    let Some(connector) = restriction.connector else { return };
    let open = connector.deny_advice.iter().filter(|note| {
        HostPattern::parse(note.host).is_ok_and(|host| !denied.iter().any(|rule| rule.value.covers(&host)))
    });
    let open: Vec<_> = open.collect();
    let Some(first) = open.first() else { return };
    let hosts: Vec<String> = open.iter().map(|note| format!("\"{}\"", note.host)).collect();
    let hosts = hosts.join(", ");
    findings
        .warning(
            restriction.name.at,
            format!("restriction {:?} can be walked around: {}", restriction.name.value, first.reason),
        )
        .code(FindingCode::WayAround)
        .help(format!("consider [deny] hosts = [{hosts}]"));
}

/// An exclusion that takes a whole inspected host, or every name of an inspected suffix, out of a restriction.
fn warn_of_exclusion(rule: &Placed<HostPattern>, plan: &Plan<'_>, findings: &mut Findings) {
    let switched_off = plan.restrictions.iter().find_map(|restriction| {
        let host = restriction.hosts.iter().find(|host| rule.value.covers(host))?;
        Some((restriction.name.value, host))
    });
    if let Some((restriction, host)) = switched_off {
        let message = format!("\"{}\" switches restriction {restriction:?} off for \"{host}\"", rule.value);
        findings
            .warning(rule.at, message)
            .code(FindingCode::HostExcluded)
            .help("remove the exclusion, or the host from the restriction (only_hosts)");
    }
}
