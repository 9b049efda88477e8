//! The document's sections on ways around inspection: Encrypted ClientHello, addresses of connectors' hosts, and clients
//! that refuse the minted leaf.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::document::{Document, Placed, Section};
use super::findings::Findings;
use super::host_rule;
use super::pattern::{HostPattern, Scope};
use super::profile::read_sources;
use super::source::SourceSet;
use super::suggest::did_you_mean;
use crate::catalogue::ech_public_names;
use crate::labelled;
use crate::limits::{BYPASS_SECONDS_MAX, POLICY_ECH_NAMES_MAX};

labelled! {
    /// What is done with a ClientHello that offers ECH under a public name.
    pub enum EchMode {
        /// It is refused with an alert; clients do not try again by themselves.
        Deny = "deny",
        /// It is left to the names alone.
        Pass = "pass",
        /// ECH is rejected under the public name, without new keys: the client tries again in clear (RFC 9849 section 6.1.6).
        Reject = "reject",
    }
}

labelled! {
    /// What is done with a flow to an address of an inspected host whose name says nothing of it.
    pub enum AddressMode {
        /// It is refused, whatever name it gives.
        Deny = "deny",
        /// Addresses are not looked at.
        Pass = "pass",
        /// Refused when it gives no name; passed and recorded when it gives another one.
        Report = "report",
        /// The same, but inspected as that host is when a browser would send requests for it over the flow (RFC 9113 section
        /// 9.1.1): it gives a name of the host's own site.
        Separate = "separate",
    }
}

/// The sections, checked.
#[derive(Debug)]
pub(super) struct Evasion {
    pub(super) ech: EchMode,
    /// Lower-case, sorted: the catalogue's and the document's.
    ech_public_names: Vec<Box<str>>,
    pub(super) connector_addresses: Placed<AddressMode>,
    pub(super) bypasses: Vec<Bypass>,
}

/// Clients that may go uninspected for a while once they have refused the minted leaf.
#[derive(Debug)]
pub(super) struct Bypass {
    /// Where it stands in the document.
    pub(super) at: usize,
    sources: SourceSet,
    ja4: Vec<Box<str>>,
    pub(super) hosts: Vec<HostPattern>,
    seconds: u32,
}

impl Evasion {
    /// Reads `[ech]`, `[evasion]` and `[[bypass]]`.
    pub(super) fn read(document: &Document<'_>, findings: &mut Findings) -> Self {
        let (ech, ech_public_names) = read_ech(document.ech.as_ref(), findings);
        let connector_addresses = document.evasion.as_ref().and_then(|section| {
            section.refuse_unknown_keys(&["connector_addresses"], section.title(), findings);
            let mode = read_word(section, "connector_addresses", AddressMode::ALL, AddressMode::label, findings)?;
            Some(Placed { at: section.at_of("connector_addresses"), value: mode })
        });
        Self {
            ech,
            ech_public_names,
            connector_addresses: connector_addresses.unwrap_or(Placed { at: 0, value: AddressMode::Separate }),
            bypasses: document.bypasses.iter().filter_map(|section| Bypass::read(section, findings)).collect(),
        }
    }

    pub(super) fn is_ech_public_name(&self, name: &str) -> bool {
        self.ech_public_names.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    /// The names for which leaves are minted to reject ECH.
    pub(super) fn rejected_names(&self) -> impl Iterator<Item = &str> {
        let rejects = self.ech == EchMode::Reject;
        self.ech_public_names.iter().map(|name| &**name).filter(move |_| rejects)
    }

    /// The longest time that a bypass gives this client.
    pub(super) fn bypass_seconds(&self, source: IpAddr, ja4: &str, host: &str) -> Option<u32> {
        let covers = |bypass: &&Bypass| {
            bypass.sources.contains(source)
                && bypass.ja4.iter().any(|known| &**known == ja4)
                && bypass.hosts.iter().any(|pattern| pattern.covers_name(host))
        };
        self.bypasses.iter().filter(covers).map(|bypass| bypass.seconds).max()
    }
}

fn read_ech(section: Option<&Section<'_>>, findings: &mut Findings) -> (EchMode, Vec<Box<str>>) {
    let mut names: Vec<Box<str>> = ech_public_names().map(|note| note.host.into()).collect();
    let mut mode = EchMode::Reject;
    if let Some(section) = section {
        section.refuse_unknown_keys(&["mode", "public_names"], section.title(), findings);
        mode = read_word(section, "mode", EchMode::ALL, EchMode::label, findings).unwrap_or(mode);
        let listed = section.strings("public_names", findings).map(|list| list.value).unwrap_or_default();
        names.extend(listed.into_iter().filter_map(|name| read_public_name(name, findings)));
        if names.len() > POLICY_ECH_NAMES_MAX {
            let count = names.len();
            findings.error(
                section.at_of("public_names"),
                format!("there are {count} public names, the catalogue's included; {POLICY_ECH_NAMES_MAX} is the most"),
            );
        }
    }
    names.sort_unstable();
    names.dedup();
    (mode, names)
}

fn read_public_name(name: Placed<&str>, findings: &mut Findings) -> Option<Box<str>> {
    let pattern = host_rule::read(name, findings)?;
    if pattern.scope() != Scope::Exact {
        findings
            .error(name.at, format!("\"{pattern}\": a public name of ECH is one name"))
            .help("write the server_name of the outer ClientHello, as the audit shows it");
        return None;
    }
    Some(pattern.name().into())
}

/// A key whose value is one word of a closed set.
fn read_word<T: Copy>(
    section: &Section<'_>,
    key: &str,
    all: &'static [T],
    label: fn(T) -> &'static str,
    findings: &mut Findings,
) -> Option<T> {
    let word = section.string(key, findings)?;
    let found = all.iter().copied().find(|value| label(*value) == word.value);
    if found.is_none() {
        let words: Vec<&str> = all.iter().map(|value| label(*value)).collect();
        findings
            .error(
                word.at,
                format!("\"{key}\" of {} is one of {}, not {:?}", section.title(), words.join(", "), word.value),
            )
            .help_if(did_you_mean(word.value, words));
    }
    found
}

impl Bypass {
    /// Reads `[[bypass]]`. All three lists must be there: a bypass that is wider than one kind of client of known
    /// machines to named hosts is an exclusion, and should be written as one.
    fn read(section: &Section<'_>, findings: &mut Findings) -> Option<Self> {
        section.refuse_unknown_keys(&["sources", "ja4", "hosts", "for"], section.title(), findings);
        for key in ["sources", "ja4", "hosts"] {
            if !section.has(key) {
                findings
                    .error(section.at, format!("[[bypass]] has no \"{key}\""))
                    .help("a bypass names the machines, the client's JA4 fingerprint and the hosts; for a host alone, use [exclude]");
            }
        }
        let sources = section.strings("sources", findings).map(|list| read_sources(&list, findings));
        let ja4 = read_list(section, "ja4", read_ja4, findings);
        let hosts = read_list(section, "hosts", host_rule::read, findings);
        let seconds = match section.string("for", findings) {
            Some(text) => read_span(text, findings),
            None => Some(SECONDS_DEFAULT),
        };
        Some(Self { at: section.at, sources: sources?, ja4, hosts, seconds: seconds? })
    }
}

/// The elements of a list that must not be empty, each read by `read`.
fn read_list<T>(
    section: &Section<'_>,
    key: &str,
    read: impl Fn(Placed<&str>, &mut Findings) -> Option<T>,
    findings: &mut Findings,
) -> Vec<T> {
    let Some(list) = section.strings(key, findings) else { return Vec::new() };
    if list.value.is_empty() {
        findings.error(list.at, format!("\"{key}\" is empty, so nobody would be covered"));
    }
    list.value.into_iter().filter_map(|text| read(text, findings)).collect()
}

/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
fn read_ja4(text: Placed<&str>, findings: &mut Findings) -> Option<Box<str>> {
    let parts: Vec<&str> = text.value.split('_').collect();
    let is_hash = |part: &&str| part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let [first, hashes @ ..] = parts.as_slice() else { return None };
    if first.len() == 10 && first.is_ascii() && hashes.len() == 2 && hashes.iter().all(is_hash) {
        return Some(text.value.into());
    }
    findings.error(text.at, format!("{:?} is no JA4 fingerprint", text.value)).help(
        "take the \"client\" field of the audit event that tells the refusal: \"t13d1516h2_8daaf6152771_e5627efa2ab1\"",
    );
    None
}

/// A whole number of minutes, hours or days: `30m`, `24h`, `7d`.
fn read_span(text: Placed<&str>, findings: &mut Findings) -> Option<u32> {
    let units = [('m', 60), ('h', 3_600), ('d', 86_400)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let number: u32 = text.value.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds)
    });
    let seconds = seconds.filter(|seconds| (1..=BYPASS_SECONDS_MAX).contains(seconds));
    if seconds.is_none() {
        let days_max = BYPASS_SECONDS_MAX / 86_400;
        findings.error(
            text.at,
            format!(
                "\"for\" is a time such as \"30m\", \"24h\" or \"{days_max}d\", which is the most; not {:?}",
                text.value
            ),
        );
    }
    seconds
}

const SECONDS_DEFAULT: u32 = 86_400;
