//! Warnings about restrictions and assignments that no flow ever reaches, or that some reach too seldom.

use alloc::format;

use super::compile::Plan;
use super::document::Document;
use super::findings::Findings;
use super::restriction::Restriction;
use super::snapshot::Assignment;
use super::{FindingCode, Mode};

/// Looks the whole plan over.
pub(super) fn check(plan: &Plan<'_>, document: &Document<'_>, findings: &mut Findings) {
    for (index, restriction) in plan.restrictions.iter().enumerate() {
        let is_used = |mode| plan.profiles.iter().any(|one| one.mode == mode && one.restrictions.contains(&index));
        if is_used(Mode::Enforce) || is_used(Mode::ReportOnly) {
            warn_of_denied(restriction, plan, findings);
        }
        if is_used(Mode::Enforce) {
            warn_of_bypassed(restriction, plan, findings);
        }
    }
    // Beside an error an assignment may be missing.
    if plan.assignments.len() == document.assignments.len() {
        warn_of_shadowed(plan, document, findings);
    }
}

/// The deny list comes before every restriction.
fn warn_of_denied(restriction: &Restriction<'_>, plan: &Plan<'_>, findings: &mut Findings) {
    for host in &restriction.hosts {
        let Some(rule) = plan.denied.iter().find(|rule| rule.value.covers(host)) else { continue };
        let name = restriction.name.value;
        findings
            .warning(rule.at, format!("\"{}\" is denied, so restriction {name:?} never reaches \"{host}\"", rule.value))
            .code(FindingCode::HostDenied)
            .help("remove the rule from [deny], or narrow the restriction down with only_hosts");
        return;
    }
}

fn warn_of_bypassed(restriction: &Restriction<'_>, plan: &Plan<'_>, findings: &mut Findings) {
    for bypass in &plan.evasion.bypasses {
        let Some(host) = restriction.hosts.iter().find(|host| bypass.hosts.iter().any(|rule| rule.overlaps(host)))
        else {
            continue;
        };
        let name = restriction.name.value;
        findings
            .warning(bypass.at, format!("the bypass lets its clients reach \"{host}\" without restriction {name:?}"))
            .code(FindingCode::HostBypassed)
            .help(
                "give the client the root certificate, or deny it the host; keep a bypass short and for few machines",
            );
    }
}

/// An assignment of which every flow is taken by an earlier one.
fn warn_of_shadowed(plan: &Plan<'_>, document: &Document<'_>, findings: &mut Findings) {
    for (index, later) in plan.assignments.iter().enumerate() {
        let earlier = plan.assignments.iter().take(index);
        let Some(shadow) = earlier.into_iter().position(|earlier| takes_all_of(earlier, later)) else { continue };
        let Some(section) = document.assignments.get(index) else { continue };
        findings
            .warning(section.at, format!("assignment {} takes every flow before this one", shadow + 1))
            .code(FindingCode::AssignmentShadowed)
            .help("the first assignment that matches wins: put the narrower one first");
    }
}

fn takes_all_of(earlier: &Assignment, later: &Assignment) -> bool {
    let sources = match (&earlier.sources, &later.sources) {
        (None, _) => true,
        (Some(earlier), Some(later)) => earlier.covers(later),
        (Some(_), None) => false,
    };
    let sites = match (&earlier.sites, &later.sites) {
        (None, _) => true,
        (Some(earlier), Some(later)) => later.iter().all(|site| earlier.contains(site)),
        (Some(_), None) => false,
    };
    sources && sites && earlier.users.is_none() && earlier.rollout_percent >= 100
}
