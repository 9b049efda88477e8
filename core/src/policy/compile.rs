//! From the text of a document to a snapshot, with everything that is wrong said at once.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use toml::de::DeTable;

use super::assemble::assemble;
use super::connect::{ConnectRule, read_ports};
use super::document::{Document, Placed, Section};
use super::engine::EngineRule;
use super::evasion::Evasion;
use super::exception::Exception;
use super::findings::Findings;
use super::host_rule;
use super::lint;
use super::named::NamedNetworks;
use super::pac::Pac;
use super::pattern::{HostPattern, Scope};
use super::plain::PlainHttp;
use super::profile::{ProfilePlan, read_assignment};
use super::restriction::Restriction;
use super::snapshot::{Assignment, Defaults, Stamp};
use super::{Diagnostic, FindingCode, Snapshot, Verdict};
use crate::limits::{
    POLICY_ASSIGNMENTS_MAX, POLICY_BYPASSES_MAX, POLICY_CONNECT_RULES_MAX, POLICY_DOCUMENT_BYTES_MAX,
    POLICY_ENGINE_HOSTS_MAX, POLICY_EXCEPTIONS_MAX, POLICY_INNER_WILDCARDS_MAX, POLICY_INSPECTED_HOSTS_MAX,
    POLICY_PAC_GROUPS_MAX, POLICY_PROFILES_MAX, POLICY_RESTRICTIONS_MAX,
};

/// Compiles `text`. `file` names it in diagnostics; `seed` keeps clients from guessing where names fall in the table.
///
/// # Errors
///
/// Everything that is wrong with the document, warnings included, in the order of the text.
pub fn compile(file: &str, text: &str, epoch: Option<u64>, seed: u64) -> Result<Snapshot, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    if text.len() > POLICY_DOCUMENT_BYTES_MAX {
        findings.error(0, format!("the document is longer than {POLICY_DOCUMENT_BYTES_MAX} bytes"));
        return Err(findings.into_diagnostics(file, ""));
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            findings.error(error.span().map_or(0, |span| span.start), error.message()).code(FindingCode::Syntax);
        }
        return Err(findings.into_diagnostics(file, text));
    }
    let document = Document::read(text, root.get_ref(), &mut findings);
    let plan = Plan::read(&document, &mut findings);
    lint::check(&plan, &document, &mut findings);
    let has_errors = findings.has_errors();
    let diagnostics = findings.into_diagnostics(file, text);
    if has_errors {
        return Err(diagnostics);
    }
    let digest = digest(text);
    let expiries = Exception::expiries(&plan.exceptions, file, text);
    Ok(assemble(plan, seed, Stamp { epoch, digest, warnings: diagnostics, expiries }))
}

/// SHA-256 in hex.
pub(super) fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The document, checked: what the snapshot is assembled from.
#[derive(Debug)]
pub(super) struct Plan<'doc> {
    pub(super) restrictions: Vec<Restriction<'doc>>,
    pub(super) profiles: Vec<ProfilePlan<'doc>>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) engines: Vec<EngineRule>,
    pub(super) excluded: Vec<Placed<HostPattern>>,
    pub(super) denied: Vec<Placed<HostPattern>>,
    pub(super) defaults: Defaults,
    pub(super) connects: Vec<ConnectRule>,
    pub(super) pac: Pac,
    pub(super) plain_http: PlainHttp,
    pub(super) evasion: Evasion,
    pub(super) sites: NamedNetworks,
    pub(super) users: NamedNetworks,
    pub(super) exceptions: Vec<Exception>,
}

impl<'doc> Plan<'doc> {
    fn read(document: &Document<'doc>, findings: &mut Findings) -> Self {
        let restrictions: Vec<_> =
            document.restrictions.iter().filter_map(|section| Restriction::read(section, findings)).collect();
        refuse_duplicates("restriction", restrictions.iter().map(|restriction| restriction.name), findings);
        let profiles: Vec<_> = document
            .profiles
            .iter()
            .filter_map(|section| ProfilePlan::read(section, &restrictions, findings))
            .collect();
        refuse_duplicates("profile", profiles.iter().map(|profile| profile.name), findings);
        let sites = NamedNetworks::read(&document.sites, findings);
        let users = NamedNetworks::read(&document.users, findings);
        let read = |section| read_assignment(section, &profiles, &sites, findings);
        let assignments: Vec<_> = document.assignments.iter().filter_map(read).collect();
        let engines = document.engines.iter().map(|section| EngineRule::read(section, findings)).collect();
        let excluded = read_rules(document.exclude.as_ref(), "never_inspect", findings);
        let denied = read_rules(document.deny.as_ref(), "hosts", findings);
        let defaults = read_defaults(document.defaults.as_ref(), findings);
        let connects = document.connects.iter().filter_map(|section| ConnectRule::read(section, findings)).collect();
        let pac = Pac::read(document.pac.as_ref(), findings);
        let plain_http = PlainHttp::read(document.plain_http.as_ref(), findings);
        let evasion = Evasion::read(document, findings);
        let read = |section| Exception::read(section, &restrictions, findings);
        let exceptions = document.exceptions.iter().filter_map(read).collect();
        let plan = Self {
            restrictions,
            profiles,
            assignments,
            engines,
            excluded,
            denied,
            defaults,
            connects,
            pac,
            plain_http,
            evasion,
            sites,
            users,
            exceptions,
        };
        plan.check_limits(document, findings);
        plan
    }

    fn check_limits(&self, document: &Document<'_>, findings: &mut Findings) {
        let is_inner = |rule: &&Placed<HostPattern>| rule.value.scope() == Scope::Inner;
        let inner = self.excluded.iter().chain(&self.denied).filter(is_inner).count();
        let inspected: usize = self.restrictions.iter().map(|restriction| restriction.hosts.len()).sum();
        let hosts_of_engines = self.engines.iter().map(|rule| rule.hosts.len()).sum();
        for (what, count, max) in [
            ("restrictions", document.restrictions.len(), POLICY_RESTRICTIONS_MAX),
            ("profiles", document.profiles.len(), POLICY_PROFILES_MAX),
            ("assignments", document.assignments.len(), POLICY_ASSIGNMENTS_MAX),
            ("hosts of engines", hosts_of_engines, POLICY_ENGINE_HOSTS_MAX),
            ("[[connect]] rules", document.connects.len(), POLICY_CONNECT_RULES_MAX),
            ("[[pac.group]] groups", self.pac.groups.len(), POLICY_PAC_GROUPS_MAX),
            ("exceptions", document.exceptions.len(), POLICY_EXCEPTIONS_MAX),
            ("bypasses", document.bypasses.len(), POLICY_BYPASSES_MAX),
            ("hosts to inspect", inspected, POLICY_INSPECTED_HOSTS_MAX),
            ("rules with a wildcard inside a name", inner, POLICY_INNER_WILDCARDS_MAX),
        ] {
            if count > max {
                findings.error(0, format!("the document has {count} {what}; {max} is the most"));
            }
        }
    }
}

fn refuse_duplicates<'doc>(what: &str, names: impl Iterator<Item = Placed<&'doc str>>, findings: &mut Findings) {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if name.value.is_empty() || name.value.chars().any(char::is_control) {
            findings.error(name.at, format!("{:?} is no name for a {what}", name.value));
        } else if seen.contains(&name.value) {
            findings.error(name.at, format!("there is a {what} {:?} already", name.value));
        } else {
            seen.push(name.value);
        }
    }
}

fn read_rules(section: Option<&Section<'_>>, key: &str, findings: &mut Findings) -> Vec<Placed<HostPattern>> {
    let Some(section) = section else {
        return Vec::new();
    };
    section.refuse_unknown_keys(&[key], section.title(), findings);
    host_rule::read_list(section, key, findings)
}

fn read_defaults(section: Option<&Section<'_>>, findings: &mut Findings) -> Defaults {
    let mut defaults =
        Defaults { no_sni: Verdict::Pass, not_tls: Verdict::Pass, connect_ports: Vec::from([HTTPS_PORT]) };
    let Some(section) = section else {
        return defaults;
    };
    section.refuse_unknown_keys(&["no_sni", "not_tls", "connect_ports"], section.title(), findings);
    for (key, verdict) in [("no_sni", &mut defaults.no_sni), ("not_tls", &mut defaults.not_tls)] {
        let Some(word) = section.string(key, findings) else { continue };
        match word.value {
            "pass" => *verdict = Verdict::Pass,
            "deny" => *verdict = Verdict::Deny,
            other => {
                findings.error(word.at, format!("\"{key}\" is \"pass\" or \"deny\", not {other:?}"));
            }
        }
    }
    if let Some(ports) = read_ports(section, "connect_ports", findings) {
        defaults.connect_ports = ports;
    }
    defaults
}

const HTTPS_PORT: u16 = 443;
