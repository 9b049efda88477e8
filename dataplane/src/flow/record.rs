//! One flow as its task holds it: the control handle, its shard, the snapshot it started with, and what was learned
//! about it on the way, for metrics and audit.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use penstock_core::policy::{Decision, FlowFacts, Snapshot, Verdict};
use penstock_core::proxy::{Authority, Host};
use penstock_core::sni::Sni;

use super::FlowControl;
use super::sniff::SniffedHello;
use crate::audit::unix_now_ms;
use crate::auth::Who;
use crate::ingress::Entrance;
use crate::shard::mailbox::Installed;
use crate::shard::{Shard, Ticket};

/// A flow. It keeps the snapshot that it started with, whatever is installed later.
pub(crate) struct Flow {
    pub(crate) control: Rc<FlowControl>,
    pub(crate) entrance: Entrance,
    pub(crate) shard: Rc<Shard>,
    pub(crate) installed: Arc<Installed>,
    /// Its place among the flows; `None` where the process has too many.
    pub(crate) ticket: Cell<Option<Ticket>>,
    pub(crate) learned: RefCell<Learned>,
}

/// What is known about a flow; grows as it is read.
#[derive(Default)]
pub(crate) struct Learned {
    /// Who opened the connection to a balancer whose PROXY protocol header is believed.
    pub(crate) source: Option<SocketAddr>,
    pub(crate) authority: Option<Authority>,
    /// What was dialled; `None` before.
    pub(crate) destination: Option<Destination>,
    /// The product token of the proxy request's User-Agent.
    pub(crate) agent: Option<String>,
    /// The user, when the listener asks for credentials or a balancer tells.
    pub(crate) who: Option<Arc<Who>>,
    /// The client has said who it is, rightly or not.
    pub(crate) presented: bool,
    pub(crate) sni: Option<Sni>,
    /// Fingerprint of the ClientHello; read only for flows that reach the audit.
    pub(crate) ja4: Option<String>,
    pub(crate) decision: Option<Decision>,
}

/// An upstream's address, and the hosts that are known to have it.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    pub(crate) address: IpAddr,
    pub(crate) hosts: Vec<Sni>,
}

/// Counts a flow as active for as long as it lives.
pub(super) struct Active<'a> {
    flow: &'a Flow,
    verdict: Verdict,
}

impl<'a> Active<'a> {
    pub(super) fn enter(flow: &'a Flow, verdict: Verdict) -> Self {
        flow.shard.cells.flows_active.add((verdict,), 1);
        Self { flow, verdict }
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.flow.shard.cells.flows_active.add((self.verdict,), -1);
    }
}

impl Flow {
    /// The inside host: the peer, or whom the balancer there speaks for.
    pub(crate) fn source(&self) -> IpAddr {
        self.client().ip()
    }

    /// The same with its port.
    pub(crate) fn client(&self) -> SocketAddr {
        self.learned.borrow().source.unwrap_or(self.control.source)
    }

    /// Asks the flow's snapshot, with what is known so far; `sni` and `tls` are the sniffer's findings.
    pub(crate) fn decide(&self, sni: Option<&Sni>, tls: bool) -> Decision {
        self.ask(FlowFacts { sni, tls, ..FlowFacts::of(self.source()) }, Snapshot::decide)
    }

    /// The same on a ClientHello.
    pub(crate) fn decide_hello(&self, hello: &SniffedHello) -> Decision {
        let facts = FlowFacts::of(self.source());
        let (sni, ech, multiplexed) = (hello.sni.as_ref(), hello.has_ech, hello.multiplexed);
        self.ask(FlowFacts { sni, ech, multiplexed, ..facts }, Snapshot::decide)
    }

    /// The same about a request for plain HTTP.
    pub(crate) fn decide_plain(&self) -> Decision {
        self.ask(FlowFacts { tls: false, ..FlowFacts::of(self.source()) }, Snapshot::decide_plain)
    }

    fn ask(&self, facts: FlowFacts<'_>, decide: impl FnOnce(&Snapshot, &FlowFacts<'_>) -> Decision) -> Decision {
        let learned = self.learned.borrow();
        let authority = learned.authority.as_ref();
        let literal = match authority.map(|authority| &authority.host) {
            Some(Host::Address(address)) => Some(*address),
            Some(Host::Name(_)) | None => None,
        };
        let (who, destination) = (learned.who.as_deref(), learned.destination.as_ref());
        let facts = FlowFacts {
            user: who.map(|who| who.user.as_str()),
            groups: who.map_or(&[], |who| &who.groups),
            port: authority.map(|authority| authority.port),
            authority: authority.and_then(|authority| authority.host.name()),
            destination: destination.map(|destination| destination.address).or(literal),
            destination_hosts: destination.map_or(&[], |destination| &destination.hosts),
            unix_ms: Some(unix_now_ms()),
            ..facts
        };
        decide(&self.installed.snapshot, &facts)
    }
}
