//! A compiled policy: immutable, shared by all shards, replaced whole.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::connect::ConnectRule;
use super::engine::EngineTable;
use super::evasion::Evasion;
use super::exception::{Exception, Relief};
use super::index::HostIndex;
use super::named::NamedNetworks;
use super::pac::Pac;
use super::plain::PlainHttp;
use super::source::{SourceSet, UserSet, in_rollout};
use super::{Diagnostic, HeaderEdit, Mode, Verdict, compile};
use crate::sni::Sni;

/// A compiled policy. Flows keep the one that they started with.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) stamp: Stamp,
    pub(super) defaults: Defaults,
    pub(super) profiles: Vec<Profile>,
    pub(super) assignments: Vec<Assignment>,
    pub(super) hosts: HostIndex,
    pub(super) engines: EngineTable,
    pub(super) evasion: Evasion,
    /// Patterns that some profile inspects, in order.
    pub(super) inspected_hosts: Vec<Box<str>>,
    pub(super) connects: Vec<ConnectRule>,
    pub(super) pac: Pac,
    pub(super) plain_http: PlainHttp,
    pub(super) sites: NamedNetworks,
    pub(super) users: NamedNetworks,
    pub(super) exceptions: Vec<Exception>,
    /// Patterns that the document denies or excludes, in its order.
    pub(super) listed_hosts: Vec<Box<str>>,
    /// The edit of flows without a profile.
    pub(super) no_edit: Arc<HeaderEdit>,
}

/// What is known of the document beside what it says.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) epoch: Option<u64>,
    /// In hex.
    pub(super) digest: String,
    pub(super) warnings: Vec<Diagnostic>,
    /// What is to be said of each exception once it is over.
    pub(super) expiries: Vec<Diagnostic>,
}

/// What the document says of flows that no rule names.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    pub(super) no_sni: Verdict,
    pub(super) not_tls: Verdict,
    pub(super) connect_ports: Vec<u16>,
}

/// A set of restrictions with a mode.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) name: Arc<str>,
    pub(super) mode: Mode,
    /// The edit for each number of [`HostMarks::inspected`](super::index::HostMarks); `None` where this profile does not
    /// inspect the host. Behind those of the host table stand the edits that exceptions leave.
    pub(super) edits: Vec<Option<Arc<HeaderEdit>>>,
    /// In the order of their places, then of the exceptions.
    pub(super) reliefs: Vec<Relief>,
    /// The edit of flows of the profile that are not inspected.
    pub(super) no_edit: Arc<HeaderEdit>,
}

/// Who gets a profile.
#[derive(Debug)]
pub(super) struct Assignment {
    /// Index into [`Snapshot::profiles`].
    pub(super) profile: usize,
    /// `None` for all sources.
    pub(super) sources: Option<SourceSet>,
    /// Places in [`Snapshot::sites`]; `None` for all sites and for sources without one.
    pub(super) sites: Option<Vec<usize>>,
    /// `None` for all users and for flows without one.
    pub(super) users: Option<UserSet>,
    pub(super) rollout_percent: u8,
}

impl Snapshot {
    /// The number under which it was published, if it was.
    pub const fn epoch(&self) -> Option<u64> {
        self.stamp.epoch
    }

    /// SHA-256 of the document's text, in hex: equal documents have equal digests.
    pub fn digest(&self) -> &str {
        &self.stamp.digest
    }

    /// Whether this is what `text` compiles to, but for the epoch and the seed.
    pub fn is_of(&self, text: &str) -> bool {
        self.stamp.digest == compile::digest(text)
    }

    /// Ports that CONNECT may name whatever the host.
    pub fn connect_ports(&self) -> &[u16] {
        &self.defaults.connect_ports
    }

    /// The host patterns that any profile inspects, in enforce or report-only: names, and `*.suffix` for all names
    /// below.
    pub fn inspected_hosts(&self) -> impl Iterator<Item = &str> {
        self.inspected_hosts.iter().map(|pattern| &**pattern)
    }

    /// What the CA's issuer is constrained to: the inspected hosts, and the public names under which ECH is rejected.
    pub fn minted_hosts(&self) -> impl Iterator<Item = &str> {
        let inspects = !self.inspected_hosts.is_empty();
        self.inspected_hosts().chain(self.evasion.rejected_names().filter(move |_| inspects))
    }

    /// Whether some profile inspects `name`.
    pub fn inspects(&self, name: &Sni) -> bool {
        let marks = self.hosts.find(name.as_str());
        marks.inspected.is_some() && !marks.excluded
    }

    /// The seconds for which `client` is passed to `host` uninspected once it has refused the minted leaf; `None` when no
    /// bypass covers it, which is the rule.
    pub fn bypass_seconds(&self, source: IpAddr, ja4: &str, host: &Sni) -> Option<u32> {
        self.evasion.bypass_seconds(source, ja4, host.as_str())
    }

    /// The inspected hosts that the document names exactly.
    pub fn inspected_names(&self) -> impl Iterator<Item = Sni> {
        let exact = |pattern: &str| Sni::parse(pattern.as_bytes()).ok();
        self.inspected_hosts().filter(|pattern| !pattern.contains('*')).filter_map(exact)
    }

    /// The profiles by name, in the document's order.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, Mode)> {
        self.profiles.iter().map(|profile| (&*profile.name, profile.mode))
    }

    /// Every host pattern that the document inspects, denies or excludes.
    pub fn named_hosts(&self) -> impl Iterator<Item = String> {
        self.inspected_hosts.iter().chain(&self.listed_hosts).map(|pattern| pattern.to_string())
    }

    /// First and last address of every network that the document names for flows.
    pub fn source_ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let assigned = self.assignments.iter().filter_map(|assignment| assignment.sources.as_ref());
        let excepted = self.exceptions.iter().map(|exception| exception.covered().0);
        assigned.chain(excepted).flat_map(SourceSet::ranges).chain(self.sites.ranges()).chain(self.users.ranges())
    }

    /// Every user, and every group as `group:NAME`, that an assignment or an exception names.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        let assigned = self.assignments.iter().filter_map(|assignment| assignment.users.as_ref());
        let excepted = self.exceptions.iter().map(|exception| exception.covered().1);
        assigned.chain(excepted).flat_map(UserSet::names)
    }

    /// Whether some assignment covers only a part of its sources or users.
    pub fn is_partial(&self) -> bool {
        self.assignments.iter().any(|assignment| assignment.rollout_percent < 100)
    }

    /// Changes nothing: for requests that the appliance forwards and does not inspect.
    pub const fn no_edit(&self) -> &Arc<HeaderEdit> {
        &self.no_edit
    }

    /// What the compiler found doubtful.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.stamp.warnings
    }

    /// The profile of the first assignment that covers the source and user. A source of a `[[user]]` is that user's where
    /// nothing better tells who it is.
    pub(super) fn profile_for(&self, source: IpAddr, user: Option<&str>, groups: &[String]) -> Option<&Profile> {
        let user = user.or_else(|| self.users.find(source));
        let site = self.sites.find(source).and_then(|name| self.sites.place_of(name));
        let covers = |assignment: &&Assignment| {
            let Some(profile) = self.profiles.get(assignment.profile) else {
                return false;
            };
            assignment.sources.as_ref().is_none_or(|sources| sources.contains(source))
                && assignment.sites.as_ref().is_none_or(|sites| site.is_some_and(|site| sites.contains(&site)))
                && assignment.users.as_ref().is_none_or(|users| user.is_some_and(|user| users.covers(user, groups)))
                && in_rollout(assignment.rollout_percent, &profile.name, user, source)
        };
        self.assignments.iter().find(covers).and_then(|assignment| self.profiles.get(assignment.profile))
    }
}
