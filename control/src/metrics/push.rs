//! Pushes the families of `/metrics` to a collector, for those who do not scrape: OTLP metrics as JSON (OpenTelemetry
//! Protocol 1.5), cumulative since this process began to push.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_core::limits::METRICS_PUSH_SECONDS_MIN;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::audit::moment;
use crate::config::MetricsPush;
use crate::export::Collector;

/// Pushes for ever, what `gather` gives at each moment.
pub(crate) async fn push(settings: MetricsPush, gather: impl AsyncFn() -> Vec<MetricFamily>) {
    let every = Duration::from_secs(settings.interval_seconds.max(METRICS_PUSH_SECONDS_MIN));
    let to = settings.collector.label();
    let collector = Collector::new(settings.collector);
    let start_ms = moment::now_ms();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last_error = None;
    loop {
        ticks.tick().await;
        let message = message(&gather().await, start_ms, moment::now_ms());
        let error = match timeout(every, collector.post(&message)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", every.as_secs())),
        };
        if error != last_error {
            match &error {
                Some(error) => tracing::warn!(to, error, "metrics are not taken"),
                None => tracing::info!(to, "metrics are taken"),
            }
        }
        last_error = error;
    }
}

/// An ExportMetricsServiceRequest, as protobuf's JSON mapping has it.
fn message(families: &[MetricFamily], start_ms: u64, now_ms: u64) -> Value {
    let times = Times { start: nanoseconds(start_ms), now: nanoseconds(now_ms) };
    let metrics: Vec<Value> = families.iter().filter_map(|family| metric(family, &times)).collect();
    let service = json!({ "key": "service.name", "value": { "stringValue": "penstock" } });
    let scope = json!({ "name": "penstock", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [service] },
        "scopeMetrics": [{ "scope": scope, "metrics": metrics }],
    }] })
}

/// Nanoseconds as text: JSON's numbers do not hold 64 bits.
struct Times {
    start: String,
    now: String,
}

fn nanoseconds(ms: u64) -> String {
    format!("{ms}000000")
}

fn metric(family: &MetricFamily, times: &Times) -> Option<Value> {
    let mut told = json!({ "name": family.name(), "description": family.help() });
    let series = family.get_metric();
    if series.is_empty() {
        return None;
    }
    let points =
        |of: fn(&Metric) -> Value| -> Vec<Value> { series.iter().map(|one| point(one, of(one), times)).collect() };
    let (kind, data) = match family.get_field_type() {
        MetricType::COUNTER => {
            let points = points(|one| json!({ "asDouble": one.get_counter().get_value() }));
            ("sum", json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points }))
        }
        MetricType::GAUGE => {
            ("gauge", json!({ "dataPoints": points(|one| json!({ "asDouble": one.get_gauge().get_value() })) }))
        }
        MetricType::HISTOGRAM => {
            ("histogram", json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points(histogram) }))
        }
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    told.as_object_mut()?.insert(kind.to_owned(), data);
    Some(told)
}

fn point(series: &Metric, mut value: Value, times: &Times) -> Value {
    let labels: BTreeMap<&str, &str> = series.get_label().iter().map(|label| (label.name(), label.value())).collect();
    let attributes: Vec<Value> =
        labels.into_iter().map(|(key, text)| json!({ "key": key, "value": { "stringValue": text } })).collect();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("attributes".to_owned(), attributes.into());
        fields.insert("startTimeUnixNano".to_owned(), times.start.as_str().into());
        fields.insert("timeUnixNano".to_owned(), times.now.as_str().into());
    }
    value
}

/// OTLP's buckets are not cumulative, Prometheus' are; the last one has no bound in either.
fn histogram(series: &Metric) -> Value {
    let histogram = series.get_histogram();
    let mut below = 0;
    let mut counts = Vec::new();
    let mut bounds = Vec::new();
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        counts.push(bucket.cumulative_count().saturating_sub(below).to_string());
        bounds.push(bucket.upper_bound());
        below = bucket.cumulative_count();
    }
    let count = histogram.get_sample_count();
    counts.push(count.saturating_sub(below).to_string());
    json!({
        "count": count.to_string(),
        "sum": histogram.get_sample_sum(),
        "bucketCounts": counts,
        "explicitBounds": bounds,
    })
}

/// AGGREGATION_TEMPORALITY_CUMULATIVE.
const CUMULATIVE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::core::Collector as _;
    use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

    #[test]
    fn families_become_sums_gauges_and_histograms() {
        let flows = IntCounterVec::new(Opts::new("flows_total", "Flows."), &["verdict", "reason"]).unwrap();
        flows.with_label_values(&["pass", "free"]).inc_by(7);
        let active = IntGauge::new("active", "Now.").unwrap();
        active.set(3);
        let seconds = Histogram::with_opts(HistogramOpts::new("seconds", "Long.").buckets(vec![0.1, 1.0])).unwrap();
        for value in [0.05, 0.5, 0.7, 9.0] {
            seconds.observe(value);
        }
        let empty = IntCounterVec::new(Opts::new("empty_total", "None."), &["a"]).unwrap();
        let families = [flows.collect(), active.collect(), seconds.collect(), empty.collect()].concat();
        let message = message(&families, 1_000, 2_000);
        let metrics = message.pointer("/resourceMetrics/0/scopeMetrics/0/metrics").unwrap().as_array().unwrap();
        assert_eq!(metrics.len(), 3, "{message}");
        let sum = metrics[0].pointer("/sum/dataPoints/0").unwrap();
        assert_eq!((&sum["asDouble"], &sum["startTimeUnixNano"]), (&7.0.into(), &"1000000000".into()));
        assert_eq!(sum["attributes"][0]["key"], "reason");
        assert_eq!(metrics[0]["sum"]["isMonotonic"], true);
        assert_eq!(metrics[1].pointer("/gauge/dataPoints/0/asDouble").unwrap(), 3.0);
        let histogram = metrics[2].pointer("/histogram/dataPoints/0").unwrap();
        assert_eq!(histogram["bucketCounts"], json!(["1", "2", "1"]));
        assert_eq!((&histogram["explicitBounds"], &histogram["count"]), (&json!([0.1, 1.0]), &"4".into()));
    }
}
