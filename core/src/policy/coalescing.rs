//! Warnings about hosts that pass beside inspected ones of the same site. Where both have one address and one certificate, a
//! browser sends requests for the second over its connection to the first (RFC 9113 section 9.1.1), where nothing is read.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::compile::Plan;
use super::evasion::AddressMode;
use super::findings::Findings;
use super::pattern::{HostPattern, Scope};
use super::restriction::Restriction;
use super::{FindingCode, Mode};
use crate::catalogue;

/// An inspected host, by its site.
type Inspected<'plan> = (&'plan str, &'plan HostPattern, &'plan Restriction<'plan>);

/// Looks the whole plan over.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    let enforced = |index: &usize| {
        plan.profiles.iter().any(|profile| profile.mode == Mode::Enforce && profile.restrictions.contains(index))
    };
    let restrictions = plan.restrictions.iter().enumerate().filter(|(index, _)| enforced(index));
    let hosts = restrictions.flat_map(|(_, restriction)| restriction.hosts.iter().map(move |host| (host, restriction)));
    let mut inspected: Vec<Inspected<'_>> =
        hosts.filter_map(|(host, restriction)| Some((site(host)?, host, restriction))).collect();
    inspected.sort_by_key(|(site, host, _)| (*site, host.scope() != Scope::Exact, *host));
    for rule in &plan.excluded {
        warn_of_exclusion(rule.at, &rule.value, &inspected, findings);
    }
    warn_of_mode(plan, &inspected, findings);
}

/// An exclusion beside what is left of a restriction. One that takes whole hosts out of it is told elsewhere.
fn warn_of_exclusion(at: usize, rule: &HostPattern, inspected: &[Inspected<'_>], findings: &mut Findings) {
    let Some(site) = site(rule) else { return };
    let first = inspected.partition_point(|(known, ..)| *known < site);
    let same_site = inspected.get(first..).unwrap_or_default().iter().take_while(|(known, ..)| *known == site);
    let mut beside = None;
    for (_, host, restriction) in same_site {
        if rule.covers(host) {
            return;
        }
        beside = beside.or(Some((host, restriction)));
    }
    let Some((host, restriction)) = beside else { return };
    let name = restriction.name.value;
    findings
        .warning(
            at,
            format!(
                "\"{rule}\" passes and \"{host}\" of restriction {name:?} is of the same site: where they share address and certificate, browsers send requests for \"{host}\" over their connection to the other, past the restriction"
            ),
        )
        .code(FindingCode::CoalescingPossible)
        .help(instead(rule, restriction));
}

/// Inspecting it gives it a certificate of its own, which covers nothing else.
fn instead(rule: &HostPattern, restriction: &Restriction<'_>) -> String {
    if restriction.hosts.iter().any(|host| host.covers(rule)) {
        return format!("remove the exclusion, so that \"{rule}\" is inspected too, or put it on [deny]");
    }
    if rule.scope() == Scope::Inner {
        return "name the hosts in extra_hosts of that restriction, so that they are inspected too, or put them on [deny]"
            .into();
    }
    let name = restriction.name.value;
    format!(
        "inspect it too, with extra_hosts = [\"{rule}\"] in restriction {name:?} in place of the exclusion, or put it on [deny]"
    )
}

/// A mode that lets such hosts pass without naming them.
fn warn_of_mode(plan: &Plan<'_>, inspected: &[Inspected<'_>], findings: &mut Findings) {
    let mode = plan.evasion.connector_addresses;
    if inspected.is_empty() || matches!(mode.value, AddressMode::Deny | AddressMode::Separate) {
        return;
    }
    findings
        .warning(
            mode.at,
            format!(
                "with \"{}\", hosts that no rule names pass at addresses of inspected hosts of their own site, and browsers may send requests for those over their connections",
                mode.value.label()
            ),
        )
        .code(FindingCode::CoalescingPossible)
        .help("write connector_addresses = \"separate\", which is the default, or \"deny\"");
}

/// The site that all names of a pattern are of, if it is one.
fn site(pattern: &HostPattern) -> Option<&str> {
    let fixed = match pattern.scope() {
        Scope::Below | Scope::Exact => pattern.name(),
        Scope::Inner => pattern.name().rsplit_once('*')?.1.split_once('.')?.1,
    };
    catalogue::site(fixed)
}
