//! Warnings that take knowledge of the vendors: what a restriction is often believed to do, and does not.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::compile::Plan;
use super::findings::Findings;
use super::pattern::HostPattern;
use super::profile::ProfilePlan;
use super::restriction::Restriction;
use super::{FindingCode, Mode};
use crate::catalogue::{ConnectorId, connector};

/// AI vendors whose own accounts Microsoft's second version is taken to cover.
const AI: [ConnectorId; 2] = [ConnectorId::AnthropicClaude, ConnectorId::OpenaiChatgpt];
/// Applications that offer "Continue with Google".
const GOOGLE_LOGIN: [ConnectorId; 8] = [
    ConnectorId::AnthropicClaude,
    ConnectorId::Asana,
    ConnectorId::Atlassian,
    ConnectorId::Dropbox,
    ConnectorId::Notion,
    ConnectorId::OpenaiChatgpt,
    ConnectorId::Slack,
    ConnectorId::Zoom,
];
const GOOGLE_SIGN_IN: &str = "accounts.google.com";

/// Looks the whole plan over.
pub(super) fn check(plan: &Plan<'_>, findings: &mut Findings) {
    for restriction in &plan.restrictions {
        warn_of_own_tenant(restriction, findings);
    }
    for profile in plan.profiles.iter().filter(|profile| profile.mode == Mode::Enforce) {
        warn_of_open_ai(profile, plan, findings);
        warn_of_google_login(profile, plan, findings);
    }
    warn_of_both_versions(plan, findings);
}

/// The connectors of a profile, each with its restriction.
fn connectors_of<'plan>(
    profile: &'plan ProfilePlan<'_>,
    plan: &'plan Plan<'_>,
) -> impl Iterator<Item = (ConnectorId, &'plan Restriction<'plan>)> {
    let restrictions = profile.restrictions.iter().filter_map(|&place| plan.restrictions.get(place));
    restrictions.filter_map(|restriction| Some((restriction.connector?.id, restriction)))
}

fn uses(profile: &ProfilePlan<'_>, plan: &Plan<'_>, id: ConnectorId) -> bool {
    connectors_of(profile, plan).any(|(used, _)| used == id)
}

fn is_denied(host: &str, plan: &Plan<'_>) -> bool {
    HostPattern::parse(host).is_ok_and(|host| plan.denied.iter().any(|rule| rule.value.covers(&host)))
}

/// Ids and domains cannot be told to be one tenant without asking Microsoft, so only a list of ids says that it is missing.
fn warn_of_own_tenant(restriction: &Restriction<'_>, findings: &mut Findings) {
    if restriction.connector.is_none_or(|connector| connector.id != ConnectorId::MicrosoftEntra) {
        return;
    }
    let value =
        |name: &str| restriction.headers.iter().find(|header| &*header.name == name).map(|header| &*header.value);
    let (Some(tenants), Some(own)) = (value("Restrict-Access-To-Tenants"), value("Restrict-Access-Context")) else {
        return;
    };
    if tenants.is_empty() || tenants.split(',').any(|tenant| tenant == own || tenant.contains('.')) {
        return;
    }
    findings
        .warning(restriction.name.at, format!("the own tenant, {own}, is not among the permitted ones"))
        .code(FindingCode::OwnTenantMissing)
        .help(format!("add \"{own}\" to permitted_tenants, or your own people cannot sign in"));
}

fn warn_of_open_ai(profile: &ProfilePlan<'_>, plan: &Plan<'_>, findings: &mut Findings) {
    let mut entra = connectors_of(profile, plan).filter(|(id, _)| *id == ConnectorId::MicrosoftEntraV2);
    let Some((_, second_version)) = entra.next() else { return };
    let is_open = |id: &&ConnectorId| {
        let hosts = connector(**id).hosts;
        !uses(profile, plan, **id) && !hosts.first().is_some_and(|host| is_denied(host, plan))
    };
    let open: Vec<&ConnectorId> = AI.iter().filter(is_open).collect();
    if open.is_empty() {
        return;
    }
    let titles: Vec<&str> = open.iter().map(|id| connector(**id).vendor).collect();
    let ids: Vec<String> = open.iter().map(|id| format!("\"{id}\"")).collect();
    let name = profile.name.value;
    findings
        .warning(
            second_version.name.at,
            format!(
                "in profile {name:?} it holds for Microsoft accounts alone: sign-in at {} by e-mail or Google is open",
                titles.join(" and ")
            ),
        )
        .code(FindingCode::Trv2LeavesAiOpen)
        .help(format!("add a restriction with connector {}, or deny the hosts", ids.join(" and one with ")));
}

fn warn_of_google_login(profile: &ProfilePlan<'_>, plan: &Plan<'_>, findings: &mut Findings) {
    if uses(profile, plan, ConnectorId::GoogleWorkspace) || is_denied(GOOGLE_SIGN_IN, plan) {
        return;
    }
    let Some((id, restriction)) = connectors_of(profile, plan).find(|(id, _)| GOOGLE_LOGIN.contains(id)) else {
        return;
    };
    let (title, name) = (connector(id).vendor, profile.name.value);
    findings
        .warning(
            restriction.name.at,
            format!("profile {name:?} restricts {title} and leaves \"Continue with Google\" open to personal accounts"),
        )
        .code(FindingCode::GoogleLoginOpen)
        .help(format!(
            "add a restriction with connector \"google-workspace\" and only_hosts = [\"{GOOGLE_SIGN_IN}\"] to the profile"
        ));
}

/// Within one profile it is an error; in two it is a migration, which should come to its end.
fn warn_of_both_versions(plan: &Plan<'_>, findings: &mut Findings) {
    let active = || plan.profiles.iter().filter(|profile| profile.mode != Mode::Off);
    let first = active().find(|profile| uses(profile, plan, ConnectorId::MicrosoftEntra));
    let second = active().find(|profile| uses(profile, plan, ConnectorId::MicrosoftEntraV2));
    let (Some(first), Some(second)) = (first, second) else { return };
    if first.name.value == second.name.value {
        return;
    }
    let (first, second_name) = (first.name.value, second.name.value);
    findings
        .warning(
            second.name.at,
            format!("profile {first:?} sends Microsoft's first version and {second_name:?} the second: which tenants a user may enter depends on the assignment"),
        )
        .code(FindingCode::EntraVersionsMixed)
        .help("finish the migration: penstock policy migrate --to v2 --policy-id GUID FILE");
}
