//! Checks of the host rules that an operator writes: what a rule may look like, and what it may not reach.
//!
//! Every finding says what to write instead. Who may be inspected is the catalogue's to say first; these checks keep a
//! policy from widening that by accident.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::FindingCode;
use super::document::{Placed, Section};
use super::findings::Findings;
use super::pattern::{HostPattern, PatternReject, Scope};
use crate::catalogue::{
    Connector, ConnectorId, HostNote, connector, connectors, is_public_suffix, never_inspect, reserved_domain,
};
use crate::sni::SniReject;

/// Reads a rule of any list but those of hosts to inspect.
pub(super) fn read(rule: Placed<&str>, findings: &mut Findings) -> Option<HostPattern> {
    let pattern = read_pattern(rule, findings)?;
    if pattern.scope() == Scope::Below
        && let Some(note) = reaching(&pattern, refused_rules(), |pattern, note| pattern.covers(note))
    {
        let hosts = connector(ConnectorId::MicrosoftEntra).hosts.join(", ");
        findings
            .warning(rule.at, format!("\"{pattern}\" is seldom what is meant: {}", note.reason))
            .code(FindingCode::LoginWildcard)
            .help(format!("the hosts of the sign-in are {hosts}"));
    }
    Some(pattern)
}

fn read_pattern(rule: Placed<&str>, findings: &mut Findings) -> Option<HostPattern> {
    let pattern = match HostPattern::parse(rule.value) {
        Ok(pattern) => pattern,
        Err(reject) => {
            let (message, help) = describe(rule.value, reject);
            findings.error(rule.at, message).help_if(help);
            return None;
        }
    };
    if let Some(suffix) = public_suffix(&pattern) {
        findings
            .error(rule.at, format!("\"{pattern}\" covers everybody's names: {suffix} is a public suffix"))
            .help("name the registered domains below it one by one");
        return None;
    }
    if let Some(domain) = reserved_domain(pattern.name()) {
        findings
            .warning(rule.at, format!("\"{pattern}\" looks invented: nobody can register a name under .{domain}"))
            .code(FindingCode::InventedName)
            .help("write a name that there is, or remove the rule");
    }
    Some(pattern)
}

/// Reads a list of such rules.
pub(super) fn read_list(section: &Section<'_>, key: &str, findings: &mut Findings) -> Vec<Placed<HostPattern>> {
    let rules = section.strings(key, findings).map(|list| list.value).unwrap_or_default();
    let read = |rule: Placed<&str>| read(rule, findings).map(|value| Placed { at: rule.at, value });
    rules.into_iter().filter_map(read).collect()
}

/// Reads a rule that makes `connector` inspect a host.
pub(super) fn read_inspected(
    rule: Placed<&str>,
    connector: &Connector,
    findings: &mut Findings,
) -> Option<HostPattern> {
    // The vendor's own list may stand at a public suffix: googleapis.com is one, and all below it is Google's.
    let listed = connector.known_hosts().any(|host| host.eq_ignore_ascii_case(rule.value));
    let pattern = if listed { HostPattern::parse(rule.value).ok() } else { read_pattern(rule, findings) }?;
    if pattern.scope() == Scope::Inner {
        findings
            .error(rule.at, format!("\"{pattern}\": a host to inspect is a name or \"*.suffix\""))
            .help("the CA is constrained to these hosts, and a certificate cannot express a wildcard inside a name");
        return None;
    }
    if let Some(note) = reaching(&pattern, refused_rules(), |pattern, note| pattern.covers(note)) {
        findings
            .error(rule.at, format!("\"{pattern}\" may not be inspected: {}", note.reason))
            .code(FindingCode::LoginWildcard);
        return None;
    }
    if let Some(note) = reaching(&pattern, never_inspect(), |pattern, note| note.covers(pattern)) {
        findings.error(rule.at, format!("\"{pattern}\" is never inspected: {}", note.reason));
        return None;
    }
    Some(pattern)
}

/// Patterns that cover a host that must never be inspected.
fn refused_rules() -> impl Iterator<Item = &'static HostNote> {
    connectors().flat_map(|connector| connector.refused_rules)
}

/// The first note whose host stands in `relation` to the pattern.
fn reaching(
    pattern: &HostPattern,
    mut notes: impl Iterator<Item = &'static HostNote>,
    relation: impl Fn(&HostPattern, &HostPattern) -> bool,
) -> Option<&'static HostNote> {
    notes.find(|note| HostPattern::parse(note.host).is_ok_and(|host| relation(pattern, &host)))
}

/// Hosts of `connector` as patterns. What the catalogue's tests have checked parses.
pub(super) fn patterns(hosts: impl IntoIterator<Item = &'static str>) -> Vec<HostPattern> {
    hosts.into_iter().filter_map(|host| HostPattern::parse(host).ok()).collect()
}

/// The public suffix that a rule cannot leave, if there is one.
fn public_suffix(pattern: &HostPattern) -> Option<&str> {
    let fixed = match pattern.scope() {
        Scope::Exact => return None,
        Scope::Below => pattern.name(),
        Scope::Inner => pattern.name().rsplit_once('*')?.1.split_once('.')?.1,
    };
    is_public_suffix(fixed).then_some(fixed)
}

fn describe(rule: &str, reject: PatternReject) -> (String, Option<String>) {
    let reason = match reject {
        PatternReject::Everything => "it would cover every host",
        PatternReject::Name(SniReject::Address) => "it is an address, and rules are about names",
        PatternReject::Name(SniReject::Character) => {
            return (
                format!("{rule:?} is no host rule: it holds a character that host names do not have"),
                advice(rule),
            );
        }
        PatternReject::Name(SniReject::Empty | SniReject::EmptyLabel) => "a label is empty",
        PatternReject::Name(SniReject::LabelTooLong | SniReject::TooLong) => "it is longer than a host name can be",
    };
    (format!("{rule:?} is no host rule: {reason}"), None)
}

/// What to write for a URL, a host with a port, or a name in another script.
fn advice(rule: &str) -> Option<String> {
    if !rule.is_ascii() {
        return Some("write names in their ASCII form, as xn--...".to_string());
    }
    let host = rule.split_once("://").map_or(rule, |(_, rest)| rest);
    let host = host.split(['/', ':', '?', '#']).next()?.trim();
    let plain = HostPattern::parse(host).ok()?;
    Some(format!("write the name alone: \"{plain}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(rule: &str) -> bool {
        let mut findings = Findings::default();
        read(Placed { at: 0, value: rule }, &mut findings).is_some()
    }

    #[test]
    fn rules_at_or_above_a_public_suffix_are_refused() {
        for rule in [
            "*.com",
            "*.co.uk",
            "*.uk",
            "*.github.io",
            "*.kawasaki.jp",
            "*.ck",
            "*",
            "*.*",
            "*.*.com",
            "login-*.com",
            "*bank.co.uk",
            "a.*.com",
            "*.COM.",
        ] {
            assert!(!accepted(rule), "{rule}");
        }
        for rule in [
            "com",
            "*.example.com",
            "*.bank.example",
            "login-*.example.com",
            "*.corp",
            "*.city.kawasaki.jp",
            "*.me.github.io",
            "x.*.example.co.uk",
        ] {
            assert!(accepted(rule), "{rule}");
        }
    }

    #[test]
    fn a_rule_that_is_no_name_says_what_to_write() {
        let advise = |rule: &str| {
            let mut findings = Findings::default();
            assert_eq!(read(Placed { at: 0, value: rule }, &mut findings), None, "{rule}");
            findings.into_diagnostics("f", rule).remove(0).help
        };
        assert_eq!(advise("https://bank.example/login").as_deref(), Some("write the name alone: \"bank.example\""));
        assert_eq!(advise("bank.example:443").as_deref(), Some("write the name alone: \"bank.example\""));
        assert_eq!(advise("bänk.example").as_deref(), Some("write names in their ASCII form, as xn--..."));
        assert_eq!(advise("10.0.0.1"), None);
        assert_eq!(advise(""), None);
        assert_eq!(advise("a..b"), None);
    }
}
