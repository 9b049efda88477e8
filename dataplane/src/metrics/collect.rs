//! Reading the cells into the link's samples: summed over shards, except where `shard` is a label.

use std::sync::Arc;

use penstock_core::metrics::{self as catalogue, Kind, Metric};
use penstock_link::{Histogram as HistogramSample, Sample, sample};

use super::cell::{Counter, Gauge, Histogram};
use super::labels::LabelSet;
use super::shard::{ProcessCells, ShardCells};

/// Every time series that the data plane has; counters and histograms that were never touched are left out. Shards are
/// read while they count, so sums of different metrics may be an event apart.
pub(crate) fn collect(shards: &[Arc<ShardCells>], process: &ProcessCells) -> Vec<Sample> {
    let mut samples = Samples { shards, samples: Vec::new() };
    samples.counter(&catalogue::FLOWS_TOTAL, |cells| &cells.flows);
    samples.gauge(&catalogue::FLOWS_ACTIVE, |cells| &cells.flows_active);
    samples.counter(&catalogue::RELAY_BYTES_TOTAL, |cells| &cells.relay_bytes);
    samples.counter(&catalogue::HANDSHAKES_TOTAL, |cells| &cells.handshakes);
    samples.histogram(&catalogue::HANDSHAKE_SECONDS, |cells| &cells.handshake_seconds);
    samples.counter(&catalogue::HANDSHAKE_OVERLAPS_TOTAL, |cells| &cells.handshake_overlaps);
    samples.histogram(&catalogue::SNIFF_SECONDS, |cells| &cells.sniff_seconds);
    samples.counter(&catalogue::REQUESTS_TOTAL, |cells| &cells.requests);
    samples.counter(&catalogue::DENIALS_TOTAL, |cells| &cells.denials);
    samples.counter(&catalogue::HEADERS_STRIPPED_TOTAL, |cells| &cells.headers_stripped);
    samples.counter(&catalogue::COVERAGE_GAPS_TOTAL, |cells| &cells.coverage_gaps);
    samples.counter(&catalogue::FAULTS_TOTAL, |cells| &cells.faults);
    samples.counter(&catalogue::LEAF_CACHE_HITS_TOTAL, |cells| &cells.leaf_cache_hits);
    samples.counter(&catalogue::LEAF_MINTED_TOTAL, |cells| &cells.leaf_minted);
    samples.gauge_by_shard(&catalogue::POLICY_EPOCH, |cells| &cells.policy_epoch);
    samples.gauge_by_shard(&catalogue::RING_OPERATIONS_IN_FLIGHT, |cells| &cells.ring_operations_in_flight);
    samples.gauge_by_shard(&catalogue::PIPES_IN_USE, |cells| &cells.pipes_in_use);
    samples.counter(&catalogue::UDP_DATAGRAMS_TOTAL, |cells| &cells.udp_datagrams);
    samples.gauge_by_shard(&catalogue::UDP_FLOWS, |cells| &cells.udp_flows);
    samples.process(process);
    samples.samples
}

struct Samples<'a> {
    shards: &'a [Arc<ShardCells>],
    samples: Vec<Sample>,
}

impl Samples<'_> {
    fn counter<L: LabelSet>(&mut self, metric: &Metric, cells: impl Fn(&ShardCells) -> &Counter<L>) {
        debug_assert_eq!((metric.labels.len(), metric.kind), (L::KEYS, Kind::Counter), "{}", metric.name);
        for index in 0..L::COUNT {
            let sum: u64 = self.shards.iter().map(|shard| cells(shard).at(index)).fold(0, u64::wrapping_add);
            if sum > 0 {
                self.number(metric, words(L::labels_at(index)), sum as f64);
            }
        }
    }

    fn gauge<L: LabelSet>(&mut self, metric: &Metric, cells: impl Fn(&ShardCells) -> &Gauge<L>) {
        debug_assert_eq!((metric.labels.len(), metric.kind), (L::KEYS, Kind::Gauge), "{}", metric.name);
        for index in 0..L::COUNT {
            let sum: i64 = self.shards.iter().map(|shard| cells(shard).at(index)).sum();
            self.number(metric, words(L::labels_at(index)), sum as f64);
        }
    }

    fn gauge_by_shard(&mut self, metric: &Metric, cells: impl Fn(&ShardCells) -> &Gauge<()>) {
        debug_assert_eq!((metric.labels, metric.kind), (&["shard"][..], Kind::Gauge), "{}", metric.name);
        for (index, shard) in self.shards.iter().enumerate() {
            let value = cells(shard).at(0);
            self.number(metric, vec![index.to_string()], value as f64);
        }
    }

    fn histogram<L: LabelSet>(&mut self, metric: &Metric, cells: impl Fn(&ShardCells) -> &Histogram<L>) {
        for index in 0..L::COUNT {
            let sum = self.shards.iter().map(|shard| cells(shard).at(index)).reduce(add);
            self.observations(metric, words(L::labels_at(index)), sum);
        }
    }

    fn process(&mut self, process: &ProcessCells) {
        let in_rings: u64 = self.shards.iter().map(|shard| shard.audit_dropped.at(0)).fold(0, u64::wrapping_add);
        let dropped = in_rings + process.audit_spool_dropped.at(0) + process.audit_unreadable.at(0);
        self.number(&catalogue::AUDIT_EVENTS_TOTAL, Vec::new(), process.audit_events.at(0) as f64);
        self.number(&catalogue::AUDIT_DROPPED_TOTAL, Vec::new(), dropped as f64);
        self.number(&catalogue::SIGNER_UP, Vec::new(), process.signer_up.at(0) as f64);
        let memory = [
            (&catalogue::MEMORY_RESIDENT_BYTES, &process.memory_resident_bytes),
            (&catalogue::MEMORY_CEILING_BYTES, &process.memory_ceiling_bytes),
        ];
        for (metric, bytes) in memory {
            self.number(metric, Vec::new(), bytes.at(0) as f64);
        }
        self.number(&catalogue::LINK_UP, Vec::new(), process.link_up.at(0) as f64);
        self.observations(&catalogue::POLICY_INSTALL_SECONDS, Vec::new(), Some(process.policy_install_seconds.at(0)));
        for index in 0..<(super::PolicyRefusal,)>::COUNT {
            let count = process.policy_refused.at(index);
            if count != 0 {
                let labels = words(<(super::PolicyRefusal,)>::labels_at(index));
                self.number(&catalogue::POLICY_REFUSED_TOTAL, labels, count as f64);
            }
        }
        for index in 0..<(super::CertificateKind,)>::COUNT {
            let ends = process.certificate_expiry.at(index);
            if ends != 0 {
                let labels = words(<(super::CertificateKind,)>::labels_at(index));
                self.number(&catalogue::CERTIFICATE_EXPIRY_SECONDS, labels, ends as f64);
            }
        }
        self.number(&catalogue::BUILD_INFO, vec![env!("CARGO_PKG_VERSION").to_owned()], 1.0);
    }

    fn number(&mut self, metric: &Metric, labels: Vec<String>, value: f64) {
        let value = Some(sample::Value::Number(value));
        self.push(metric, labels, value);
    }

    fn observations(&mut self, metric: &Metric, labels: Vec<String>, observed: Option<(Vec<u64>, f64)>) {
        let Some((counts, sum)) = observed.filter(|(counts, _sum)| counts.iter().any(|count| *count > 0)) else {
            return;
        };
        self.push(metric, labels, Some(sample::Value::Histogram(HistogramSample { counts, sum })));
    }

    fn push(&mut self, metric: &Metric, labels: Vec<String>, value: Option<sample::Value>) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        self.samples.push(Sample { name: metric.name.to_owned(), labels, value });
    }
}

fn words(labels: Vec<&'static str>) -> Vec<String> {
    labels.into_iter().map(str::to_owned).collect()
}

/// Adds two readings of one histogram.
fn add((mut counts, sum): (Vec<u64>, f64), (others, other_sum): (Vec<u64>, f64)) -> (Vec<u64>, f64) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
    (counts, sum + other_sum)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use penstock_core::catalogue::{ConnectorId, DenialCode};
    use penstock_core::flow::{Direction, Fault, FaultKind, Leg, Phase, RelayPath};
    use penstock_core::metrics::CATALOGUE;
    use penstock_core::policy::{EngineKind, Mode, Reason, Verdict};
    use penstock_core::quic::DatagramOutcome;

    use super::*;
    use crate::metrics::{CertificateKind, Http, Overlap, PolicyRefusal, Resumed};

    fn shards(count: usize) -> Vec<Arc<ShardCells>> {
        (0..count).map(|_| Arc::new(ShardCells::new())).collect()
    }

    /// Touches every cell group once.
    fn touch(cells: &ShardCells, process: &ProcessCells) {
        cells.flows.add((Verdict::Pass, Reason::NotListed), 1);
        cells.relay_bytes.add((Direction::Egress, RelayPath::Splice), 10);
        cells.handshakes.add((Leg::Upstream, EngineKind::Rustls, Resumed::from(true)), 1);
        cells.handshake_seconds.observe((Leg::Upstream,), 0.001);
        cells.handshake_overlaps.add((Overlap::Confirmed,), 1);
        cells.sniff_seconds.observe((), 0.001);
        cells.requests.add((ConnectorId::Slack, Http::One, Mode::Enforce), 1);
        cells.denials.add(DenialCode::Aadsts500021, 1);
        cells.headers_stripped.add(ConnectorId::Slack, 2);
        cells.coverage_gaps.add(ConnectorId::Slack, 1);
        cells.faults.add(Fault::upstream(Phase::Dial, FaultKind::Deadline), 1);
        cells.leaf_cache_hits.add((), 1);
        cells.leaf_minted.add((), 1);
        cells.udp_datagrams.add((DatagramOutcome::Held,), 1);
        process.policy_install_seconds.observe((), 0.2);
        process.policy_refused.add((PolicyRefusal::Behind,), 1);
        process.certificate_expiry.set((CertificateKind::Issuer,), 1_800_000_000);
    }

    fn value(samples: &[Sample], name: &str, labels: &[&str]) -> Option<sample::Value> {
        samples
            .iter()
            .find(|sample| sample.name == name && sample.labels == labels)
            .and_then(|sample| sample.value.clone())
    }

    #[test]
    fn every_metric_of_the_catalogue_is_collected_with_its_labels() {
        let (shards, process) = (shards(2), ProcessCells::new());
        touch(&shards[1], &process);
        let samples = collect(&shards, &process);
        let names: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        // Exports are control's, and so are how old a policy is and which links it ended.
        let controls = [catalogue::POLICY_AGE_SECONDS.name, catalogue::LINK_DISPLACED_TOTAL.name];
        let is_own = |metric: &&Metric| !metric.labels.contains(&"export") && !controls.contains(&metric.name);
        let own = CATALOGUE.iter().filter(is_own);
        assert_eq!(names, own.map(|metric| metric.name).collect());
        for sample in &samples {
            let metric = CATALOGUE.iter().find(|metric| metric.name == sample.name).unwrap();
            assert_eq!(sample.labels.len(), metric.labels.len(), "{}", sample.name);
            assert!(sample.labels.iter().all(|label| !label.is_empty()), "{sample:?}");
            let is_histogram = matches!(sample.value, Some(sample::Value::Histogram(_)));
            assert_eq!(is_histogram, matches!(metric.kind, Kind::Histogram(_)), "{}", sample.name);
            if let (Some(sample::Value::Histogram(histogram)), Kind::Histogram(bounds)) = (&sample.value, metric.kind) {
                assert_eq!(histogram.counts.len(), bounds.len() + 1);
            }
        }
        let unique: BTreeSet<_> = samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
        assert_eq!(unique.len(), samples.len(), "a time series stands twice");
    }

    #[test]
    fn shards_are_summed_except_where_shard_is_a_label() {
        let (shards, process) = (shards(3), ProcessCells::new());
        for (index, cells) in shards.iter().enumerate() {
            cells.flows.add((Verdict::Pass, Reason::NotListed), 1 + index as u64);
            cells.handshake_seconds.observe((Leg::Downstream,), 0.5);
            cells.policy_epoch.set((), 40 + index as u64);
            cells.flows_active.add((Verdict::Pass,), 1);
        }
        let samples = collect(&shards, &process);
        let number = |name, labels: &[&str]| value(&samples, name, labels);
        assert_eq!(number("penstock_flows_total", &["pass", "not_listed"]), Some(sample::Value::Number(6.0)));
        assert_eq!(number("penstock_flows_active", &["pass"]), Some(sample::Value::Number(3.0)));
        assert_eq!(number("penstock_policy_epoch", &["0"]), Some(sample::Value::Number(40.0)));
        assert_eq!(number("penstock_policy_epoch", &["2"]), Some(sample::Value::Number(42.0)));
        let Some(sample::Value::Histogram(histogram)) = number("penstock_handshake_seconds", &["downstream"]) else {
            panic!("no histogram");
        };
        assert_eq!((histogram.counts.iter().sum::<u64>(), histogram.sum), (3, 1.5));
    }

    #[test]
    fn untouched_counters_are_left_out_and_drops_of_all_kinds_are_one_metric() {
        let (shards, process) = (shards(2), ProcessCells::new());
        let samples = collect(&shards, &process);
        assert!(samples.iter().all(|sample| sample.name != "penstock_flows_total"));
        assert!(value(&samples, "penstock_certificate_expiry_seconds", &["issuer"]).is_none());
        shards[0].audit_dropped.add((), 1);
        shards[1].audit_dropped.add((), 2);
        process.audit_spool_dropped.add((), 4);
        process.audit_unreadable.add((), 8);
        let samples = collect(&shards, &process);
        assert_eq!(value(&samples, "penstock_audit_dropped_total", &[]), Some(sample::Value::Number(15.0)));
    }
}
