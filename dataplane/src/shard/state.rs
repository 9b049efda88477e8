//! What the flows of one shard share. It belongs to one thread; nothing in it is locked.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use penstock_core::limits;
use penstock_core::sni::Sni;

use super::Clock;
use super::flow_table::FlowTable;
use super::mints::Mints;
use super::orders::Orders;
use super::pinned::PinnedClients;
use super::pools::PipePool;
use super::pressure::Pressure;
use super::pulse::Pulse;
use super::quota::{OpenFlows, Quota};
use super::recent::Recent;
use super::wear::{Wear, Worn};
use crate::audit::AuditRing;
use crate::auth::{Gate, Workers};
use crate::config::Config;
use crate::ingress::udp::UdpFlows;
use crate::metrics::ShardCells;
use crate::resolve::{ConnectorAddresses, Lookups, Resolver};
use crate::shard::mailbox::Installed;
use crate::signer::SignerHandle;
use crate::tls::{TlsShard, TlsShared};

/// What a shard's state is made from, on its own thread.
pub(crate) struct ShardSeed {
    pub(crate) index: u16,
    pub(crate) config: Arc<Config>,
    pub(crate) cells: Arc<ShardCells>,
    pub(crate) audit: AuditRing,
    pub(crate) lookups: Lookups,
    pub(crate) addresses: ConnectorAddresses,
    pub(crate) pinned: PinnedClients,
    pub(crate) tls: Arc<TlsShared>,
    pub(crate) auth: Option<Workers>,
    pub(crate) open_flows: OpenFlows,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) signer: SignerHandle,
    pub(crate) worn: Worn,
    pub(crate) pressure: Arc<Pressure>,
}

/// A shard, as its flows see it.
pub(crate) struct Shard {
    pub(crate) index: u16,
    pub(crate) config: Arc<Config>,
    pub(crate) cells: Arc<ShardCells>,
    pub(crate) audit: AuditRing,
    pub(crate) resolver: Resolver,
    pub(crate) addresses: ConnectorAddresses,
    pub(crate) pinned: PinnedClients,
    /// Sources and names of flows that the audit hears of once in a while.
    pub(crate) reported: RefCell<Recent<(IpAddr, Option<Sni>)>>,
    /// Sources over a limit of flows of which the audit has heard.
    pub(crate) refused: RefCell<Recent<IpAddr>>,
    pub(crate) tls: RefCell<TlsShard>,
    /// Leaves that are being signed.
    pub(crate) orders: Orders,
    pub(crate) mints: RefCell<Mints>,
    /// Of a listener that asks for credentials.
    pub(crate) gate: Option<Gate>,
    pub(crate) flows: FlowTable,
    pub(crate) quota: Rc<Quota>,
    pub(crate) pipes: PipePool,
    pub(crate) udp: RefCell<UdpFlows>,
    /// For reads whose bytes are written at once; never borrowed across an await.
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(super) clock: Rc<Clock>,
    pub(super) draining: Cell<bool>,
    /// Until when the log need not hear again that nothing can be accepted.
    starvation_told_until_ms: Cell<u64>,
    /// Accepts that wait on a listener, or have a connection that is no flow yet.
    pub(super) accepts: Cell<usize>,
    pub(super) pulse: Arc<Pulse>,
    pub(crate) wear: Wear,
    pub(crate) pressure: Arc<Pressure>,
    installed: RefCell<Option<Arc<Installed>>>,
}

impl Shard {
    pub(super) fn new(seed: ShardSeed) -> anyhow::Result<Self> {
        let clock = Rc::new(Clock::new());
        let shards = usize::from(seed.config.shards.get());
        let tls = TlsShard::new(seed.tls).map_err(|kind| anyhow::anyhow!("cannot set TLS up: {kind}"))?;
        Ok(Self {
            index: seed.index,
            quota: Quota::new(seed.config.limits, seed.open_flows),
            mints: RefCell::new(Mints::new(seed.config.mints)),
            config: seed.config,
            audit: seed.audit,
            resolver: Resolver::new(seed.lookups),
            addresses: seed.addresses,
            pinned: seed.pinned,
            reported: RefCell::new(Recent::new(limits::REPORTED_FLOWS_MAX, REPORT_SPAN_MS)),
            refused: RefCell::new(Recent::new(limits::REFUSED_SOURCES_MAX, limits::REFUSED_REPORT_MS)),
            tls: RefCell::new(tls),
            orders: Orders::new(seed.signer),
            gate: seed.auth.map(Gate::new).transpose().map_err(anyhow::Error::msg)?,
            flows: FlowTable::new(seed.index, Rc::clone(&clock)),
            pipes: PipePool::new(Arc::clone(&seed.cells), shards),
            udp: RefCell::new(UdpFlows::default()),
            cells: seed.cells,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            clock,
            draining: Cell::new(false),
            starvation_told_until_ms: Cell::new(0),
            accepts: Cell::new(0),
            pulse: seed.pulse,
            wear: Wear::new(seed.worn),
            pressure: seed.pressure,
            installed: RefCell::new(None),
        })
    }

    /// The snapshot and issuer in force; `None` before the first has arrived.
    pub(crate) fn installed(&self) -> Option<Arc<Installed>> {
        self.installed.borrow().clone()
    }

    /// Milliseconds since the shard started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Whether the log is to hear that nothing can be accepted: once in a while, not at each try.
    pub(super) fn tells_of_starvation(&self) -> bool {
        let now_ms = self.now_ms();
        let tells = now_ms >= self.starvation_told_until_ms.get();
        if tells {
            self.starvation_told_until_ms.set(now_ms + limits::REFUSED_REPORT_MS);
        }
        tells
    }

    /// Puts a snapshot and its issuer in force for flows that start from now on.
    pub(super) fn install(&self, installed: Arc<Installed>) {
        if self.index == 0 {
            // One shard speaks for all. Names of the operator's table need no DNS.
            let hosts = &self.config.upstream.hosts;
            self.addresses.follow(installed.snapshot.inspected_names().filter(|name| hosts.find(name).is_none()));
        }
        let epoch = installed.snapshot.epoch().unwrap_or(0);
        self.tls.borrow_mut().install_issuer(Arc::clone(&installed.issuer), epoch);
        self.cells.policy_epoch.set((), epoch);
        *self.installed.borrow_mut() = Some(installed);
    }
}

/// Between two audit events on flows of one source under one name that only have a suspicious address.
const REPORT_SPAN_MS: u64 = 3_600_000;
/// One read of a copied flow: large enough to show that a flow is busy, small enough to stay in the cache.
const SCRATCH_BYTES: usize = 32 * 1024;
