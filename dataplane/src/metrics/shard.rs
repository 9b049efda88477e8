//! Which cells there are: one field per metric of the catalogue that the data plane counts.

use penstock_core::catalogue::{ConnectorId, DenialCode};
use penstock_core::flow::{Direction, Fault, Leg, RelayPath};
use penstock_core::metrics::LATENCY_BUCKETS;
use penstock_core::policy::{EngineKind, Mode, Reason, Verdict};
use penstock_core::quic::DatagramOutcome;

use super::cell::{Counter, Gauge, Histogram};
use super::labels::{CertificateKind, Http, Overlap, PolicyRefusal, Resumed};

/// What one shard counts. Only its own thread writes.
pub(crate) struct ShardCells {
    pub(crate) flows: Counter<(Verdict, Reason)>,
    pub(crate) flows_active: Gauge<(Verdict,)>,
    pub(crate) relay_bytes: Counter<(Direction, RelayPath)>,
    pub(crate) handshakes: Counter<(Leg, EngineKind, Resumed)>,
    pub(crate) handshake_seconds: Histogram<(Leg,)>,
    pub(crate) handshake_overlaps: Counter<(Overlap,)>,
    pub(crate) sniff_seconds: Histogram<()>,
    pub(crate) requests: Counter<(ConnectorId, Http, Mode)>,
    pub(crate) denials: Counter<DenialCode>,
    pub(crate) headers_stripped: Counter<ConnectorId>,
    pub(crate) coverage_gaps: Counter<ConnectorId>,
    pub(crate) faults: Counter<Fault>,
    pub(crate) leaf_cache_hits: Counter<()>,
    pub(crate) leaf_minted: Counter<()>,
    pub(crate) policy_epoch: Gauge<()>,
    pub(crate) audit_dropped: Counter<()>,
    pub(crate) ring_operations_in_flight: Gauge<()>,
    pub(crate) pipes_in_use: Gauge<()>,
    pub(crate) udp_datagrams: Counter<(DatagramOutcome,)>,
    pub(crate) udp_flows: Gauge<()>,
}

/// What the process counts beside its shards. Each field has one writing thread, named here.
pub(crate) struct ProcessCells {
    /// Background thread (link).
    pub(crate) link_up: Gauge<()>,
    /// Background thread (signer).
    pub(crate) signer_up: Gauge<()>,
    /// Background thread (link).
    pub(crate) policy_install_seconds: Histogram<()>,
    /// Background thread (link).
    pub(crate) policy_refused: Counter<(PolicyRefusal,)>,
    /// Background thread (link).
    pub(crate) certificate_expiry: Gauge<(CertificateKind,)>,
    /// Background thread.
    pub(crate) memory_resident_bytes: Gauge<()>,
    /// Background thread.
    pub(crate) memory_ceiling_bytes: Gauge<()>,
    /// Background thread (link): lines of the spool that could not be read.
    pub(crate) audit_unreadable: Counter<()>,
    /// Audit writer: events that stand in the spool.
    pub(crate) audit_events: Counter<()>,
    /// Audit writer: events that the spool did not take.
    pub(crate) audit_spool_dropped: Counter<()>,
}

impl ShardCells {
    pub(crate) fn new() -> Self {
        Self {
            flows: Counter::new(),
            flows_active: Gauge::new(),
            relay_bytes: Counter::new(),
            handshakes: Counter::new(),
            handshake_seconds: Histogram::new(LATENCY_BUCKETS),
            handshake_overlaps: Counter::new(),
            sniff_seconds: Histogram::new(LATENCY_BUCKETS),
            requests: Counter::new(),
            denials: Counter::new(),
            headers_stripped: Counter::new(),
            coverage_gaps: Counter::new(),
            faults: Counter::new(),
            leaf_cache_hits: Counter::new(),
            leaf_minted: Counter::new(),
            policy_epoch: Gauge::new(),
            audit_dropped: Counter::new(),
            ring_operations_in_flight: Gauge::new(),
            pipes_in_use: Gauge::new(),
            udp_datagrams: Counter::new(),
            udp_flows: Gauge::new(),
        }
    }
}

impl ProcessCells {
    pub(crate) fn new() -> Self {
        Self {
            link_up: Gauge::new(),
            signer_up: Gauge::new(),
            policy_install_seconds: Histogram::new(LATENCY_BUCKETS),
            policy_refused: Counter::new(),
            certificate_expiry: Gauge::new(),
            memory_resident_bytes: Gauge::new(),
            memory_ceiling_bytes: Gauge::new(),
            audit_unreadable: Counter::new(),
            audit_events: Counter::new(),
            audit_spool_dropped: Counter::new(),
        }
    }
}
