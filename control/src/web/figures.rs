//! The data planes' metrics as figures for people: sums, shares and quantiles over all nodes.

use std::collections::BTreeMap;

use penstock_core::metrics::{Kind, Metric};
use penstock_link::Sample;
use penstock_link::sample::Value;

use crate::publish::NodeSamples;

/// What the nodes said last.
pub(super) struct Figures {
    nodes: Vec<NodeSamples>,
}

impl Figures {
    pub(super) fn new(nodes: Vec<NodeSamples>) -> Self {
        Self { nodes }
    }

    /// The sum over every series of a counter or gauge.
    pub(super) fn total(&self, metric: &Metric) -> f64 {
        self.numbers(metric).map(|(_, number)| number).fold(0.0, |sum, number| sum + number)
    }

    /// Sums by one label, largest first.
    pub(super) fn by(&self, metric: &Metric, label: &str) -> Vec<(String, f64)> {
        self.by_all(metric, &[label]).into_iter().map(|(mut key, sum)| (key.swap_remove(0), sum)).collect()
    }

    /// Sums by several labels, largest first.
    pub(super) fn by_all(&self, metric: &Metric, labels: &[&str]) -> Vec<(Vec<String>, f64)> {
        let places: Vec<usize> =
            labels.iter().filter_map(|label| metric.labels.iter().position(|known| known == label)).collect();
        let mut sums: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for (values, number) in self.numbers(metric) {
            let key = places.iter().map(|place| values.get(*place).cloned().unwrap_or_default()).collect();
            *sums.entry(key).or_default() += number;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        sums
    }

    /// The sum of the series with one value of one label.
    pub(super) fn of(&self, metric: &Metric, label: &str, value: &str) -> f64 {
        self.by(metric, label)
            .into_iter()
            .filter(|(found, _)| found == value)
            .fold(0.0, |sum, (_, number)| sum + number)
    }

    /// Durations below which a half, 95 and 99 of a hundred stayed, in seconds, as exact as the buckets are; none when there
    /// were none. Only of series with this first label, when one is given.
    pub(super) fn quantiles(&self, metric: &Metric, first_label: Option<&str>) -> Option<[f64; 3]> {
        let Kind::Histogram(bounds) = metric.kind else { return None };
        let mut counts = vec![0_u64; bounds.len() + 1];
        for sample in self.samples(metric) {
            let is_wanted = first_label.is_none_or(|wanted| sample.labels.first().is_some_and(|label| label == wanted));
            if let Some(Value::Histogram(histogram)) = &sample.value
                && is_wanted
            {
                counts.iter_mut().zip(&histogram.counts).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            }
        }
        let all: u64 = counts.iter().sum();
        (all > 0).then(|| [50, 95, 99].map(|percent| quantile(bounds, &counts, all, percent)))
    }

    fn numbers<'a>(&'a self, metric: &'a Metric) -> impl Iterator<Item = (&'a [String], f64)> {
        self.samples(metric).filter_map(|sample| match &sample.value {
            Some(Value::Number(number)) => Some((sample.labels.as_slice(), *number)),
            _ => None,
        })
    }

    fn samples<'a>(&'a self, metric: &'a Metric) -> impl Iterator<Item = &'a Sample> {
        self.nodes.iter().flat_map(|node| node.samples.iter()).filter(|sample| sample.name == metric.name)
    }
}

/// The upper bound of the bucket that holds the quantile; of the last, which has none, the bound before it.
fn quantile(bounds: &[f64], counts: &[u64], all: u64, percent: u64) -> f64 {
    let rank = all.saturating_mul(percent).div_ceil(100);
    let mut seen = 0_u64;
    let bucket = counts.iter().position(|count| {
        seen = seen.saturating_add(*count);
        seen >= rank
    });
    bucket.and_then(|index| bounds.get(index)).or_else(|| bounds.last()).copied().unwrap_or(0.0)
}

/// A count for people: digits in groups of three.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut told = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            told.push('\u{202f}');
        }
        told.push(digit);
    }
    told
}

/// A duration for people.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 0.001 {
        return format!("{:.0} µs", seconds * 1e6);
    }
    if seconds < 1.0 {
        return format!("{} ms", seconds * 1e3);
    }
    format!("{seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_core::metrics::{FLOWS_TOTAL, HANDSHAKE_SECONDS, LATENCY_BUCKETS};
    use penstock_link::Histogram;

    fn node(samples: Vec<Sample>) -> NodeSamples {
        let (node, samples) = ("a".to_owned(), samples.into());
        NodeSamples { node, attached: true, is_draining: false, policy_age_seconds: Some(0), samples }
    }

    fn sample(metric: &Metric, labels: &[&str], value: Value) -> Sample {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Sample { name: metric.name.to_owned(), labels, value: Some(value) }
    }

    #[test]
    fn sums_go_over_nodes_and_labels() {
        let flows = |verdict: &str, number| sample(&FLOWS_TOTAL, &[verdict, "any"], Value::Number(number));
        let figures =
            Figures::new(vec![node(vec![flows("pass", 5.0), flows("deny", 1.0)]), node(vec![flows("pass", 2.0)])]);
        assert_eq!(figures.by(&FLOWS_TOTAL, "verdict"), [("pass".to_owned(), 7.0), ("deny".to_owned(), 1.0)]);
        assert!((figures.total(&FLOWS_TOTAL) - 8.0).abs() < 1e-9);
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut counts = vec![0; LATENCY_BUCKETS.len() + 1];
        (counts[4], counts[7]) = (90, 10);
        let value = Value::Histogram(Histogram { counts, sum: 1.0 });
        let figures = Figures::new(vec![node(vec![sample(&HANDSHAKE_SECONDS, &["upstream"], value)])]);
        assert_eq!(figures.quantiles(&HANDSHAKE_SECONDS, Some("upstream")), Some([0.001, 0.01, 0.01]));
        assert_eq!(figures.quantiles(&HANDSHAKE_SECONDS, Some("downstream")), None);
        assert_eq!(
            (count(1_234_567.0), duration(0.000_25)),
            ("1\u{202f}234\u{202f}567".to_owned(), "250 µs".to_owned())
        );
    }
}
