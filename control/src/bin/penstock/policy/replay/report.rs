//! Rows and totals: what is counted, and its form as JSON.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use penstock_core::policy::{Decision, Verdict};
use penstock_core::sni::Sni;
use serde::Serialize;

use super::frame::Ends;

/// What a flow runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Transport {
    Quic,
    Tcp,
}

/// Why a flow has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unread {
    /// The capture began after it.
    BeginningNotSeen,
    /// No byte of the client was captured.
    Empty,
    /// There was no room to hold it.
    NoRoom,
    /// Its ClientHello is not whole in the capture.
    Unfinished,
}

/// Flows that are treated alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Group {
    pub(super) verdict: &'static str,
    pub(super) reason: &'static str,
    /// The name in the ClientHello.
    pub(super) host: Option<String>,
    /// Where they go, when no name tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<SocketAddr>,
    /// What is wrong with a ClientHello that is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reject: Option<&'static str>,
    pub(super) transport: Transport,
    pub(super) profile: Option<String>,
    pub(super) mode: &'static str,
    pub(super) connectors: Vec<&'static str>,
}

/// Flows without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct UnreadGroup {
    pub(super) why: Unread,
    pub(super) transport: Transport,
    pub(super) destination: SocketAddr,
}

/// A group with its counts.
#[derive(Debug, Serialize)]
pub(super) struct Row<G> {
    #[serde(flatten)]
    pub(super) group: G,
    pub(super) flows: u64,
    /// Different inside hosts.
    pub(super) sources: usize,
}

/// Flows by what becomes of them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) deny: u64,
    pub(super) inspect: u64,
    pub(super) pass: u64,
    pub(super) unread: u64,
}

/// What is found, while it is gathered.
#[derive(Default)]
pub(super) struct Tally {
    decided: Groups<Group>,
    unread: Groups<UnreadGroup>,
    pub(super) totals: Totals,
}

/// Rows of one kind; with one more, flows count only in the totals.
const ROWS_MAX: usize = 65_536;

struct Groups<G> {
    rows: BTreeMap<G, (u64, BTreeSet<IpAddr>)>,
    left_out: u64,
}

impl<G> Default for Groups<G> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), left_out: 0 }
    }
}

/// Where a verdict is from.
pub(super) struct Flow<'a> {
    pub(super) ends: Ends,
    pub(super) transport: Transport,
    pub(super) name: Option<&'a Sni>,
    pub(super) reject: Option<&'static str>,
}

impl Tally {
    pub(super) fn decided(&mut self, flow: &Flow<'_>, decision: &Decision) {
        match decision.verdict {
            Verdict::Deny => self.totals.deny += 1,
            Verdict::Inspect => self.totals.inspect += 1,
            Verdict::Pass => self.totals.pass += 1,
        }
        let group = Group {
            verdict: decision.verdict.label(),
            reason: decision.reason.label(),
            host: flow.name.map(ToString::to_string),
            destination: flow.name.is_none().then_some(flow.ends.destination),
            reject: flow.reject,
            transport: flow.transport,
            profile: decision.profile().map(str::to_owned),
            mode: decision.mode.label(),
            connectors: decision.connectors.iter().map(|id| id.label()).collect(),
        };
        self.decided.add(group, flow.ends.source.ip());
    }

    pub(super) fn unread(&mut self, ends: Ends, transport: Transport, why: Unread) {
        self.totals.unread += 1;
        self.unread.add(UnreadGroup { why, transport, destination: ends.destination }, ends.source.ip());
    }

    /// Rows with and without verdicts, and how many flows stand in no row.
    pub(super) fn rows(self) -> (Vec<Row<Group>>, Vec<Row<UnreadGroup>>, u64) {
        let left_out = self.decided.left_out + self.unread.left_out;
        let mut decided = self.decided.rows();
        decided.sort_by_key(|row| (row.group.verdict, Reverse(row.flows)));
        let mut unread = self.unread.rows();
        unread.sort_by_key(|row| (row.group.why, Reverse(row.flows)));
        (decided, unread, left_out)
    }
}

impl<G: Ord> Groups<G> {
    fn add(&mut self, group: G, source: IpAddr) {
        if self.rows.len() == ROWS_MAX && !self.rows.contains_key(&group) {
            self.left_out += 1;
            return;
        }
        let (flows, sources) = self.rows.entry(group).or_default();
        *flows += 1;
        sources.insert(source);
    }

    fn rows(self) -> Vec<Row<G>> {
        let rows = self.rows.into_iter();
        rows.map(|(group, (flows, sources))| Row { group, flows, sources: sources.len() }).collect()
    }
}

impl Unread {
    /// In words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::BeginningNotSeen => "the capture began after it",
            Self::Empty => "the client sent nothing",
            Self::NoRoom => "there was no room to hold it",
            Self::Unfinished => "its ClientHello is not whole",
        }
    }
}

impl Transport {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Quic => "quic",
            Self::Tcp => "tcp",
        }
    }
}
