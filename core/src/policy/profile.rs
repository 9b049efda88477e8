//! Profiles and assignments: which restrictions stand together, how they act, and for whom.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

use super::document::{Placed, Section};
use super::findings::Findings;
use super::named::NamedNetworks;
use super::pattern::HostPattern;
use super::restriction::Restriction;
use super::snapshot::Assignment;
use super::source::{GROUP_PREFIX, SourceSet, UserSet};
use super::suggest::did_you_mean;
use super::{FindingCode, Mode};
use crate::catalogue::{ConnectorId, StripNames};

/// A checked profile.
#[derive(Debug)]
pub(super) struct ProfilePlan<'doc> {
    pub(super) name: Placed<&'doc str>,
    pub(super) mode: Mode,
    /// Indices into the restrictions, in the profile's order.
    pub(super) restrictions: Vec<usize>,
}

impl<'doc> ProfilePlan<'doc> {
    /// Reads `[[profile]]`. `None` when it has no name.
    pub(super) fn read(
        section: &Section<'doc>,
        restrictions: &[Restriction<'_>],
        findings: &mut Findings,
    ) -> Option<Self> {
        section.refuse_unknown_keys(&["name", "mode", "restrictions"], section.title(), findings);
        let name = section.required_string("name", findings);
        let mode = read_mode(section, findings);
        if !section.has("restrictions") {
            findings.error(section.at, "[[profile]] has no \"restrictions\"");
        }
        let mut chosen: Vec<usize> = Vec::new();
        for word in section.strings("restrictions", findings).map(|list| list.value).unwrap_or_default() {
            let Some(index) = restrictions.iter().position(|restriction| restriction.name.value == word.value) else {
                let known = restrictions.iter().map(|restriction| restriction.name.value);
                findings
                    .error(word.at, format!("there is no restriction {:?}", word.value))
                    .code(FindingCode::Unknown)
                    .help_if(did_you_mean(word.value, known));
                continue;
            };
            if chosen.contains(&index) {
                findings.warning(word.at, format!("restriction {:?} is listed twice", word.value)).help("remove one");
            } else {
                refuse_conflicts(word, index, &chosen, restrictions, findings);
                chosen.push(index);
            }
        }
        name.map(|name| Self { name, mode: mode.unwrap_or(Mode::Off), restrictions: chosen })
    }
}

fn read_mode(section: &Section<'_>, findings: &mut Findings) -> Option<Mode> {
    let word = section.required_string("mode", findings)?;
    let mode = Mode::parse(word.value);
    if mode.is_none() {
        let known = Mode::ALL.iter().map(|mode| mode.label());
        let help = did_you_mean(word.value, known).unwrap_or_else(|| "enforce, report-only or off".into());
        findings.error(word.at, format!("there is no mode {:?}", word.value)).code(FindingCode::Unknown).help(help);
    }
    mode
}

/// Says which of the restrictions that were chosen before cannot stand beside the one at `index`.
fn refuse_conflicts(
    word: Placed<&str>,
    index: usize,
    chosen: &[usize],
    restrictions: &[Restriction<'_>],
    findings: &mut Findings,
) {
    let Some(new) = restrictions.get(index) else { return };
    for other in chosen.iter().filter_map(|&other| restrictions.get(other)) {
        let Some(reason) = conflict(new, other) else { continue };
        let versions = [new, other].map(|one| one.connector.map(|connector| connector.id));
        let mixed = versions.contains(&Some(ConnectorId::MicrosoftEntra))
            && versions.contains(&Some(ConnectorId::MicrosoftEntraV2));
        let code = if mixed { FindingCode::EntraVersionsMixed } else { FindingCode::RestrictionConflict };
        let (new, other) = (word.value, other.name.value);
        findings
            .error(word.at, format!("restrictions {other:?} and {new:?} cannot stand in one profile: {reason}"))
            .code(code)
            .help("choose one of them, or put them into profiles of their own");
    }
}

/// Why the catalogue, or the wire, does not bear the two together.
fn conflict(new: &Restriction<'_>, other: &Restriction<'_>) -> Option<String> {
    let (new_connector, other_connector) = (new.connector?, other.connector?);
    if let Some(documented) = new_connector.conflicts.iter().find(|conflict| conflict.with == other_connector.id) {
        return Some(documented.reason.into());
    }
    Some(format!("both set {} on \"{}\"", shared_header(new, other)?, shared_host(new, other)?))
}

/// A header that both set, under the folding that a vendor's front end may apply.
fn shared_header<'set>(new: &'set Restriction<'_>, other: &Restriction<'_>) -> Option<&'set str> {
    let names = StripNames::same;
    let set = new.headers.iter().find(|new| other.headers.iter().any(|other| names(&new.name, &other.name)))?;
    Some(&set.name)
}

fn shared_host<'set>(new: &'set Restriction<'_>, other: &Restriction<'_>) -> Option<&'set HostPattern> {
    new.hosts.iter().find(|new| other.hosts.iter().any(|other| new.overlaps(other)))
}

/// Reads `[[assignment]]`. `None` when it names no profile that there is.
pub(super) fn read_assignment(
    section: &Section<'_>,
    profiles: &[ProfilePlan<'_>],
    sites: &NamedNetworks,
    findings: &mut Findings,
) -> Option<Assignment> {
    section.refuse_unknown_keys(
        &["profile", "sources", "sites", "users", "rollout_percent"],
        section.title(),
        findings,
    );
    if !["sources", "sites", "users"].iter().any(|key| section.has(key)) {
        findings
            .error(section.at, "[[assignment]] has neither \"sources\" nor \"sites\" nor \"users\"")
            .help("for everybody, write sources = [\"0.0.0.0/0\", \"::/0\"]");
    }
    let sources = section.strings("sources", findings).map(|list| read_sources(&list, findings));
    let sites = section.strings("sites", findings).map(|list| read_sites(&list, sites, findings));
    let users = section.strings("users", findings).map(|list| read_users(&list, findings));
    let rollout_percent = read_percent(section, findings);
    let word = section.required_string("profile", findings)?;
    let profile = profiles.iter().position(|profile| profile.name.value == word.value);
    if profile.is_none() {
        let known = profiles.iter().map(|profile| profile.name.value);
        findings
            .error(word.at, format!("there is no profile {:?}", word.value))
            .code(FindingCode::Unknown)
            .help_if(did_you_mean(word.value, known));
    }
    Some(Assignment { profile: profile?, sources, sites, users, rollout_percent })
}

pub(super) fn read_sources(list: &Placed<Vec<Placed<&str>>>, findings: &mut Findings) -> SourceSet {
    if list.value.is_empty() {
        findings.error(list.at, "\"sources\" is empty, so nobody would be covered");
    }
    let networks: Vec<IpNet> = list.value.iter().filter_map(|&text| read_network(text, findings)).collect();
    SourceSet::new(&networks)
}

/// A network, or an address as a network of one.
pub(super) fn read_network(text: Placed<&str>, findings: &mut Findings) -> Option<IpNet> {
    if let Ok(address) = text.value.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    let Ok(network) = text.value.parse::<IpNet>() else {
        findings
            .error(text.at, format!("{:?} is no network", text.value))
            .help("write an address and a prefix length: \"10.0.0.0/8\"");
        return None;
    };
    if network.addr() != network.network() {
        let meant = network.trunc();
        findings
            .error(text.at, format!("{:?} has bits beyond its prefix", text.value))
            .help(format!("write \"{meant}\", or \"{}\" for the one address", network.addr()));
        return None;
    }
    Some(network)
}

fn read_sites(list: &Placed<Vec<Placed<&str>>>, sites: &NamedNetworks, findings: &mut Findings) -> Vec<usize> {
    if list.value.is_empty() {
        findings.error(list.at, "\"sites\" is empty, so the assignment would cover nobody");
    }
    let mut places = Vec::new();
    for word in &list.value {
        match sites.place_of(word.value) {
            Some(place) => places.push(place),
            None => findings
                .error(word.at, format!("there is no [[site]] {:?}", word.value))
                .code(FindingCode::Unknown)
                .help_if(did_you_mean(word.value, sites.names())),
        }
    }
    places
}

fn read_users(list: &Placed<Vec<Placed<&str>>>, findings: &mut Findings) -> UserSet {
    if list.value.is_empty() {
        findings.error(list.at, "\"users\" is empty, so the assignment would cover nobody");
    }
    let mut users = UserSet::default();
    for user in &list.value {
        users.read(*user, findings);
    }
    users
}

impl UserSet {
    /// Adds a user, or a group.
    pub(super) fn read(&mut self, user: Placed<&str>, findings: &mut Findings) {
        let name = user.value.strip_prefix(GROUP_PREFIX).unwrap_or(user.value);
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) || name.trim() != name {
            findings
                .error(user.at, format!("{:?} is no user", user.value))
                .help("write a user's name, or \"group:NAME\" for all users of a group");
        } else {
            self.insert(user.value);
        }
    }
}

fn read_percent(section: &Section<'_>, findings: &mut Findings) -> u8 {
    const WHAT: &str = "a whole number from 0 to 100";
    let Some(given) = section.integer("rollout_percent", WHAT, findings) else {
        return 100;
    };
    let percent = u8::try_from(given.value).ok().filter(|&percent| percent <= 100);
    if percent.is_none() {
        findings.error(given.at, format!("\"rollout_percent\" must be {WHAT}, not {}", given.value));
    }
    percent.unwrap_or(100)
}
