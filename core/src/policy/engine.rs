//! The TLS engines of inspected hosts: the `[[engine]]` sections of the document.

use alloc::format;
use alloc::vec::Vec;

use serde::Serialize;

use super::document::{Placed, Section};
use super::findings::Findings;
use super::host_rule;
use super::pattern::HostPattern;
use super::suggest::did_you_mean;
use crate::flow::Leg;
use crate::labelled;
use crate::sni::Sni;

labelled! {
    /// The TLS implementation of a leg.
    pub enum EngineKind {
        /// BoringSSL.
        Boring = "boring",
        /// rustls with aws-lc-rs.
        Rustls = "rustls",
    }
}

/// Which engine serves each leg of an inspected flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Engines {
    /// Towards the origin.
    pub upstream: EngineKind,
    /// Towards the client.
    pub downstream: EngineKind,
    /// Whether the origin may speak TLS 1.0 and 1.1, static RSA and CBC. Only BoringSSL can.
    pub legacy: bool,
}

impl Default for Engines {
    fn default() -> Self {
        Self { upstream: EngineKind::Rustls, downstream: EngineKind::Rustls, legacy: false }
    }
}

impl Engines {
    /// The engine of one leg.
    pub const fn of(self, leg: Leg) -> EngineKind {
        match leg {
            Leg::Downstream => self.downstream,
            Leg::Upstream => self.upstream,
        }
    }
}

/// Engines as they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ShownEngines {
    /// An [`EngineKind`].
    pub upstream: &'static str,
    /// An [`EngineKind`].
    pub downstream: &'static str,
    /// Whether the origin may speak TLS 1.0 and 1.1, static RSA and CBC.
    pub legacy: bool,
}

impl From<Engines> for ShownEngines {
    fn from(engines: Engines) -> Self {
        let Engines { upstream, downstream, legacy } = engines;
        Self { upstream: upstream.label(), downstream: downstream.label(), legacy }
    }
}

/// A checked `[[engine]]` section.
#[derive(Debug)]
pub(super) struct EngineRule {
    pub(super) hosts: Vec<Placed<HostPattern>>,
    pub(super) engines: Engines,
}

impl EngineRule {
    pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Self {
        section.refuse_unknown_keys(&["hosts", "upstream", "downstream", "legacy"], section.title(), findings);
        if !section.has("hosts") {
            findings.error(section.at, format!("{} has no \"hosts\"", section.title()));
        }
        let hosts = section.strings("hosts", findings);
        if hosts.as_ref().is_some_and(|list| list.value.is_empty()) {
            findings.error(section.at_of("hosts"), "\"hosts\" names no host");
        }
        let hosts = hosts.map(|list| list.value).unwrap_or_default();
        let read = |host: Placed<&str>| host_rule::read(host, findings).map(|value| Placed { at: host.at, value });
        let hosts = hosts.into_iter().filter_map(read).collect();
        let mut engines = Engines::default();
        for (key, engine) in [("upstream", &mut engines.upstream), ("downstream", &mut engines.downstream)] {
            if let Some(word) = section.string(key, findings) {
                *engine = read_kind(key, word, findings).unwrap_or(*engine);
            }
        }
        engines.legacy = section.boolean("legacy", findings).unwrap_or_default();
        if engines.legacy && engines.upstream != EngineKind::Boring {
            findings
                .error(section.at_of("legacy"), "\"legacy\" needs upstream = \"boring\"")
                .help("rustls speaks no TLS below 1.2, no static RSA and no CBC");
        }
        Self { hosts, engines }
    }
}

fn read_kind(key: &str, word: Placed<&str>, findings: &mut Findings) -> Option<EngineKind> {
    let kind = EngineKind::ALL.iter().copied().find(|kind| kind.label() == word.value);
    if kind.is_none() {
        let words = EngineKind::ALL.iter().map(|kind| kind.label());
        findings
            .error(word.at, format!("\"{key}\" is \"boring\" or \"rustls\", not {:?}", word.value))
            .help_if(did_you_mean(word.value, words));
    }
    kind
}

/// The rules in the document's order, for flows that are inspected: few, and tried one after the other.
#[derive(Debug, Default)]
pub(super) struct EngineTable(Vec<(HostPattern, Engines)>);

impl EngineTable {
    pub(super) fn new(rules: Vec<EngineRule>) -> Self {
        let entries = rules.into_iter().flat_map(|rule| {
            let engines = rule.engines;
            rule.hosts.into_iter().map(move |host| (host.value, engines))
        });
        Self(entries.collect())
    }

    /// What the first rule that covers `name` says.
    pub(super) fn find(&self, name: &Sni) -> Engines {
        let rule = self.0.iter().find(|(pattern, _)| pattern.covers_name(name.as_str()));
        rule.map_or_else(Engines::default, |(_, engines)| *engines)
    }
}
