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
    samples.counter(&catalogue::RELAY_BYTES_TOTAL, |cells| &cells.relay_bytes);
    samples.counter(&catalogue::HANDSHAKES_TOTAL, |cells| &cells.handshakes);
    samples.histogram(&catalogue::HANDSHAKE_SECONDS, |cells| &cells.handshake_seconds);
    samples.histogram(&catalogue::SNIFF_SECONDS, |cells| &cells.sniff_seconds);
    samples.counter(&catalogue::FAULTS_TOTAL, |cells| &cells.faults);
    samples.counter(&catalogue::LEAF_CACHE_HITS_TOTAL, |cells| &cells.leaf_cache_hits);
    samples.counter(&catalogue::LEAF_MINTED_TOTAL, |cells| &cells.leaf_minted);
    samples.gauge_by_shard(&catalogue::POLICY_EPOCH, |cells| &cells.policy_epoch);
    samples.gauge_by_shard(&catalogue::RING_OPERATIONS_IN_FLIGHT, |cells| &cells.ring_operations_in_flight);
    samples.gauge_by_shard(&catalogue::PIPES_IN_USE, |cells| &cells.pipes_in_use);
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
        let in_rings: u64 = self.shards.iter().map(|shard| shard.audit_dropped.at(0)).sum();
        let dropped = in_rings + process.audit_spool_dropped.at(0) + process.audit_unreadable.at(0);
        self.number(&catalogue::AUDIT_EVENTS_TOTAL, Vec::new(), process.audit_events.at(0) as f64);
        self.number(&catalogue::AUDIT_DROPPED_TOTAL, Vec::new(), dropped as f64);
        self.number(&catalogue::LINK_UP, Vec::new(), process.link_up.at(0) as f64);
        self.observations(&catalogue::POLICY_INSTALL_SECONDS, Vec::new(), Some(process.policy_install_seconds.at(0)));
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
