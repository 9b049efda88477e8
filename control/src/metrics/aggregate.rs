//! Turns the nodes' reports into metric families of the catalogue.
//!
//! The catalogue alone says which metrics, types, help texts and label keys there are: a sample that does not fit it is
//! left out. The label `node` is added only where several nodes report, or an old data plane drains.

use penstock_core::metrics::{CATALOGUE, Kind, Metric};
use penstock_link::sample::Value;
use penstock_link::{Histogram, Sample};
use prometheus::proto;

use crate::publish::NodeSamples;

/// Families of the catalogue, but for those that control itself answers for (`own`).
pub(super) fn families(nodes: &[NodeSamples], own: &[&str]) -> Vec<proto::MetricFamily> {
    CATALOGUE
        .iter()
        .filter(|metric| !own.contains(&metric.name))
        .map(|metric| family(metric, series(metric, nodes)))
        .collect()
}

/// A family of one metric.
pub(super) fn family(metric: &Metric, series: Vec<proto::Metric>) -> proto::MetricFamily {
    let mut family = proto::MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => proto::MetricType::COUNTER,
        Kind::Gauge => proto::MetricType::GAUGE,
        Kind::Histogram(_) => proto::MetricType::HISTOGRAM,
    });
    family.set_metric(series);
    family
}

/// A counter's series.
pub(super) fn counter(labels: &[(&str, &str)], value: f64) -> proto::Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = proto::Metric::from_label(label_pairs(labels));
    metric.set_counter(counter);
    metric
}

/// A gauge's series.
pub(super) fn gauge(labels: &[(&str, &str)], value: f64) -> proto::Metric {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    let mut metric = proto::Metric::from_label(label_pairs(labels));
    metric.set_gauge(gauge);
    metric
}

fn series(metric: &Metric, nodes: &[NodeSamples]) -> Vec<proto::Metric> {
    let mut series = Vec::new();
    for node in nodes {
        let node_label = node.label(nodes);
        let mut found = node.samples.iter().filter(|sample| sample.name == metric.name).peekable();
        // A counter without labels that nobody touched is 0, not absent, so that a rate is there from the first event.
        if found.peek().is_none() && metric.labels.is_empty() {
            series.extend(one(metric, node_label, &untouched(metric)));
        }
        series.extend(found.filter_map(|sample| one(metric, node_label, sample)));
    }
    series
}

fn untouched(metric: &Metric) -> Sample {
    let value = match metric.kind {
        Kind::Counter | Kind::Gauge => Value::Number(0.0),
        Kind::Histogram(bounds) => Value::Histogram(Histogram { counts: vec![0; bounds.len() + 1], sum: 0.0 }),
    };
    Sample { name: metric.name.to_owned(), labels: Vec::new(), value: Some(value) }
}

/// One time series; None when the sample does not fit the catalogue's entry.
fn one(metric: &Metric, node: Option<&str>, sample: &Sample) -> Option<proto::Metric> {
    if sample.labels.len() != metric.labels.len() {
        return None;
    }
    let mut labels: Vec<(&str, &str)> =
        metric.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
    labels.extend(node.map(|node| ("node", node)));
    let mut series = proto::Metric::from_label(label_pairs(&labels));
    match (metric.kind, sample.value.as_ref()?) {
        (Kind::Counter, Value::Number(number)) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*number);
            series.set_counter(counter);
        }
        (Kind::Gauge, Value::Number(number)) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*number);
            series.set_gauge(gauge);
        }
        (Kind::Histogram(bounds), Value::Histogram(reported)) => series.set_histogram(histogram(bounds, reported)?),
        _ => return None,
    }
    Some(series)
}

/// Prometheus' buckets are cumulative, the link's are not.
fn histogram(bounds: &[f64], reported: &Histogram) -> Option<proto::Histogram> {
    if reported.counts.len() != bounds.len() + 1 {
        return None;
    }
    let mut cumulative = 0_u64;
    let mut buckets = Vec::with_capacity(bounds.len());
    for (bound, count) in bounds.iter().zip(&reported.counts) {
        cumulative = cumulative.saturating_add(*count);
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        buckets.push(bucket);
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(cumulative.saturating_add(reported.counts.last().copied().unwrap_or(0)));
    histogram.set_sample_sum(reported.sum);
    Some(histogram)
}

/// The text format wants label names sorted, as the registry's own collectors do.
fn label_pairs(labels: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels
        .into_iter()
        .map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value.to_owned());
            pair
        })
        .collect()
}
