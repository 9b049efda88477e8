//! The metric catalogue: name, type, unit, help and label keys of every metric of the product.
//!
//! The data plane counts in cells that are typed by these labels; the exporter, the dashboards' check and the
//! documentation go over the same table, so a name exists once.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows, from zero at process start.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets; the bounds are upper, inclusive, in the metric's unit.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name, with the `penstock_` prefix and its base unit.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Label keys, in the order of their values.
    pub labels: &'static [&'static str],
}

/// Upper bounds of latency buckets, in seconds: 50 us to 10 s.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Declares the metrics as constants and collects them into [`CATALOGUE`].
macro_rules! metrics {
    ($($constant:ident: $name:literal, $kind:expr, $help:literal, [$($label:literal),*];)+) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: $kind, help: $help, labels: &[$($label),*] };)+
        /// Every metric of the product.
        pub const CATALOGUE: &[Metric] = &[$($constant,)+];
    };
}

metrics! {
    FLOWS_TOTAL: "penstock_flows_total", Kind::Counter, "Flows that ended, by verdict and reason.", ["verdict", "reason"];
    FLOWS_ACTIVE: "penstock_flows_active", Kind::Gauge, "Flows now open, by verdict.", ["verdict"];
    RELAY_BYTES_TOTAL: "penstock_relay_bytes_total", Kind::Counter, "Bytes moved between legs.", ["direction", "path"];
    HANDSHAKES_TOTAL: "penstock_handshakes_total", Kind::Counter, "TLS handshakes completed.", ["leg", "engine", "resumed"];
    HANDSHAKE_SECONDS: "penstock_handshake_seconds", Kind::Histogram(LATENCY_BUCKETS), "Duration of TLS handshakes.", ["leg"];
    HANDSHAKE_OVERLAPS_TOTAL: "penstock_handshake_overlaps_total", Kind::Counter, "Handshakes with clients that did not wait for the origin's, by what came of it.", ["outcome"];
    SNIFF_SECONDS: "penstock_sniff_seconds", Kind::Histogram(LATENCY_BUCKETS), "Time to a whole ClientHello.", [];
    REQUESTS_TOTAL: "penstock_requests_total", Kind::Counter, "Requests on inspected flows.", ["connector", "http", "mode"];
    DENIALS_TOTAL: "penstock_denials_total", Kind::Counter, "Refusals by vendors, read from their answers.", ["connector", "code"];
    HEADERS_STRIPPED_TOTAL: "penstock_headers_stripped_total", Kind::Counter, "Client-supplied restriction headers removed.", ["connector"];
    COVERAGE_GAPS_TOTAL: "penstock_coverage_gaps_total", Kind::Counter, "Flows to inspected hosts that passed because the client had refused the certificate and a bypass covers it.", ["connector"];
    FAULTS_TOTAL: "penstock_faults_total", Kind::Counter, "Faults, by side, moment and kind.", ["leg", "phase", "kind"];
    LEAF_CACHE_HITS_TOTAL: "penstock_leaf_cache_hits_total", Kind::Counter, "Minted leaves taken from the cache.", [];
    LEAF_MINTED_TOTAL: "penstock_leaf_minted_total", Kind::Counter, "Leaves minted.", [];
    POLICY_EPOCH: "penstock_policy_epoch", Kind::Gauge, "Epoch of the snapshot in force.", ["shard"];
    POLICY_INSTALL_SECONDS: "penstock_policy_install_seconds", Kind::Histogram(LATENCY_BUCKETS), "Time from a snapshot's arrival to its use on every shard.", [];
    POLICY_AGE_SECONDS: "penstock_policy_age_seconds", Kind::Gauge, "Seconds since control knew that the data plane has the policy that it should have.", [];
    POLICY_REFUSED_TOTAL: "penstock_policy_refused_total", Kind::Counter, "Policies of a control that the data plane did not take, by why: below the epoch in force (behind), or of no use here (unusable).", ["reason"];
    AUDIT_EVENTS_TOTAL: "penstock_audit_events_total", Kind::Counter, "Audit events recorded.", [];
    AUDIT_DROPPED_TOTAL: "penstock_audit_dropped_total", Kind::Counter, "Audit events lost because a bound was reached.", [];
    RING_OPERATIONS_IN_FLIGHT: "penstock_ring_operations_in_flight", Kind::Gauge, "Operations that the kernel holds.", ["shard"];
    PIPES_IN_USE: "penstock_pipes_in_use", Kind::Gauge, "Pipes that hold bytes of a spliced flow.", ["shard"];
    UDP_DATAGRAMS_TOTAL: "penstock_udp_datagrams_total", Kind::Counter, "Datagrams that were read to decide their flow, by what became of them.", ["outcome"];
    UDP_FLOWS: "penstock_udp_flows", Kind::Gauge, "UDP flows that are remembered.", ["shard"];
    SIGNER_UP: "penstock_signer_up", Kind::Gauge, "1 while the process that holds the issuer's key answers.", [];
    MEMORY_RESIDENT_BYTES: "penstock_memory_resident_bytes", Kind::Gauge, "Memory that the data plane uses.", [];
    MEMORY_CEILING_BYTES: "penstock_memory_ceiling_bytes", Kind::Gauge, "Memory that the data plane may use; from 85 percent on it sheds.", [];
    LINK_UP: "penstock_link_up", Kind::Gauge, "1 while the data plane is connected to control.", [];
    CERTIFICATE_EXPIRY_SECONDS: "penstock_certificate_expiry_seconds", Kind::Gauge, "Unix time at which a certificate ends.", ["kind"];
    LINK_DISPLACED_TOTAL: "penstock_link_displaced_total", Kind::Counter, "Connections and sessions of data planes that control ended, because newer ones of the same name had come.", [];
    EXPORT_EVENTS_TOTAL: "penstock_export_events_total", Kind::Counter, "Audit events that an export's sink took.", ["export"];
    EXPORT_FAILURES_TOTAL: "penstock_export_failures_total", Kind::Counter, "Attempts of an export that failed and are made again.", ["export"];
    EXPORT_LOST_TOTAL: "penstock_export_lost_total", Kind::Counter, "Audit events that an export will never deliver: removed first, or refused for good.", ["export"];
    EXPORT_PENDING_EVENTS: "penstock_export_pending_events", Kind::Gauge, "Audit events that an export has yet to deliver.", ["export"];
    BUILD_INFO: "penstock_build_info", Kind::Gauge, "Always 1; the version is a label.", ["version"];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in CATALOGUE {
            assert!(metric.name.starts_with("penstock_"), "{}", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
            assert_eq!(CATALOGUE.iter().filter(|other| other.name == metric.name).count(), 1, "{}", metric.name);
        }
        assert!(LATENCY_BUCKETS.is_sorted());
    }
}
