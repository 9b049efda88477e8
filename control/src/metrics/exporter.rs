//! Writes `/metrics` through a Prometheus registry: the fleet's families, control's own, and the process's.

use std::sync::{Arc, Mutex, PoisonError};

use penstock_core::metrics::{
    BUILD_INFO, CATALOGUE, CERTIFICATE_EXPIRY_SECONDS, EXPORT_EVENTS_TOTAL, EXPORT_FAILURES_TOTAL, EXPORT_LOST_TOTAL,
    EXPORT_PENDING_EVENTS, Kind, LINK_DISPLACED_TOTAL, LINK_UP, POLICY_AGE_SECONDS,
};
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder, proto};

use super::aggregate;
use crate::export::Status;
use crate::publish::NodeSamples;

/// Renders the metrics page.
pub(crate) struct Exporter {
    registry: Registry,
    view: Arc<Mutex<View>>,
}

/// When a certificate ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    /// `root`, `next_root`, `old_root`, `issuer` or `link_authority`.
    pub(crate) kind: &'static str,
    pub(crate) unix_seconds: i64,
}

/// What is known at the moment of a scrape.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) nodes: Vec<NodeSamples>,
    pub(crate) expiries: Vec<Expiry>,
    pub(crate) exports: Vec<Status>,
    /// See [`LINK_DISPLACED_TOTAL`].
    pub(crate) link_displaced: u64,
}

/// The registry's way to the view.
struct FleetCollector {
    descs: Vec<Desc>,
    view: Arc<Mutex<View>>,
}

/// Metrics that control answers for, whatever a node may report.
const OWN: &[&str] = &[
    LINK_UP.name,
    LINK_DISPLACED_TOTAL.name,
    POLICY_AGE_SECONDS.name,
    CERTIFICATE_EXPIRY_SECONDS.name,
    BUILD_INFO.name,
    EXPORT_EVENTS_TOTAL.name,
    EXPORT_FAILURES_TOTAL.name,
    EXPORT_LOST_TOTAL.name,
    EXPORT_PENDING_EVENTS.name,
];

impl Exporter {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let view = Arc::new(Mutex::default());
        let registry = Registry::new();
        registry.register(Box::new(FleetCollector::new(Arc::clone(&view))?))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self { registry, view })
    }

    /// All families that have series.
    pub(crate) fn gather(&self, view: View) -> Vec<proto::MetricFamily> {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
        self.registry.gather()
    }

    /// The page, in the text format of Prometheus.
    pub(crate) fn render(&self, view: View) -> Result<String, prometheus::Error> {
        let families = self.gather(view);
        let mut page = TextEncoder::new().encode_to_string(&families)?;
        // The registry leaves out families without series. Their names are part of the contract all the same.
        for metric in CATALOGUE.iter().filter(|metric| !families.iter().any(|family| family.name() == metric.name)) {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            page.push_str(&format!("# HELP {0} {1}\n# TYPE {0} {kind}\n", metric.name, metric.help));
        }
        Ok(page)
    }
}

impl FleetCollector {
    fn new(view: Arc<Mutex<View>>) -> Result<Self, prometheus::Error> {
        let descs = CATALOGUE
            .iter()
            .map(|metric| {
                let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
                Desc::new(metric.name.to_owned(), metric.help.to_owned(), labels, std::collections::HashMap::new())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { descs, view })
    }
}

impl Collector for FleetCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families = aggregate::families(&view.nodes, OWN);
        families.push(aggregate::family(&LINK_UP, link_up(&view.nodes)));
        families.push(aggregate::family(&LINK_DISPLACED_TOTAL, vec![displaced(view.link_displaced)]));
        families.push(aggregate::family(&POLICY_AGE_SECONDS, policy_ages(&view.nodes)));
        families.push(aggregate::family(
            &CERTIFICATE_EXPIRY_SECONDS,
            view.expiries
                .iter()
                .map(|expiry| aggregate::gauge(&[("kind", expiry.kind)], seconds(expiry.unix_seconds)))
                .collect(),
        ));
        families.extend(exports(&view.exports));
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        families.push(aggregate::family(&BUILD_INFO, vec![aggregate::gauge(&version, 1.0)]));
        families
    }
}

/// Exact up to 2^53 events.
#[expect(clippy::cast_precision_loss, reason = "no appliance counts 2^53 events")]
fn exports(exports: &[Status]) -> [proto::MetricFamily; 4] {
    let series = |one: fn(&[(&str, &str)], f64) -> proto::Metric, count: fn(&Status) -> u64| {
        exports.iter().map(|export| one(&[("export", &export.name)], count(export) as f64)).collect()
    };
    [
        aggregate::family(&EXPORT_EVENTS_TOTAL, series(aggregate::counter, |export| export.events)),
        aggregate::family(&EXPORT_FAILURES_TOTAL, series(aggregate::counter, |export| export.failures)),
        aggregate::family(&EXPORT_LOST_TOTAL, series(aggregate::counter, |export| export.lost)),
        aggregate::family(&EXPORT_PENDING_EVENTS, series(aggregate::gauge, |export| export.pending)),
    ]
}

/// Exact up to 2^53 connections.
#[expect(clippy::cast_precision_loss, reason = "no control counts 2^53 connections")]
fn displaced(count: u64) -> proto::Metric {
    aggregate::counter(&[], count as f64)
}

/// Without any node the link is down: an alert on `== 0` must fire also before the first one attached.
fn link_up(nodes: &[NodeSamples]) -> Vec<proto::Metric> {
    if nodes.is_empty() {
        return vec![aggregate::gauge(&[], 0.0)];
    }
    nodes
        .iter()
        .map(|node| {
            let labels = node.label(nodes).map(|label| ("node", label));
            aggregate::gauge(labels.as_slice(), f64::from(u8::from(node.attached)))
        })
        .collect()
}

/// Control answers for it: a node that is cut off tells nobody its own.
#[expect(clippy::cast_precision_loss, reason = "no policy is 2^53 seconds old")]
fn policy_ages(nodes: &[NodeSamples]) -> Vec<proto::Metric> {
    let age = |node: &NodeSamples| {
        let labels = node.label(nodes).map(|label| ("node", label));
        node.policy_age_seconds.map(|seconds| aggregate::gauge(labels.as_slice(), seconds as f64))
    };
    nodes.iter().filter_map(age).collect()
}

/// Exact up to 2^53 seconds, which is past the end of any certificate.
#[expect(clippy::cast_precision_loss, reason = "a moment in Unix seconds is far below 2^53")]
fn seconds(unix_seconds: i64) -> f64 {
    unix_seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_link::sample::Value;
    use penstock_link::{Histogram, Sample};

    fn node(name: &str, samples: Vec<Sample>) -> NodeSamples {
        let (node, samples) = (name.to_owned(), samples.into());
        NodeSamples { node, attached: true, is_draining: false, policy_age_seconds: Some(0), samples }
    }

    fn number(name: &str, labels: &[&str], value: f64) -> Sample {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Sample { name: name.to_owned(), labels, value: Some(Value::Number(value)) }
    }

    #[test]
    fn every_name_of_the_catalogue_is_on_the_page_even_before_a_node_attached() {
        let page = Exporter::new().unwrap().render(View::default()).unwrap();
        for metric in CATALOGUE {
            assert!(page.contains(&format!("# TYPE {} ", metric.name)), "{}", metric.name);
        }
        assert!(page.contains("\npenstock_link_up 0\n"), "{page}");
        assert!(page.contains("process_open_fds"), "{page}");
    }

    #[test]
    fn the_node_label_appears_only_where_several_nodes_report() {
        let exporter = Exporter::new().unwrap();
        let flows = || vec![number("penstock_flows_total", &["pass", "not_listed"], 3.0)];
        let page = exporter.render(View { nodes: vec![node("a", flows())], ..View::default() }).unwrap();
        assert!(page.contains("penstock_flows_total{reason=\"not_listed\",verdict=\"pass\"} 3\n"), "{page}");
        let page =
            exporter.render(View { nodes: vec![node("a", flows()), node("b", flows())], ..View::default() }).unwrap();
        assert!(page.contains("penstock_flows_total{node=\"b\",reason=\"not_listed\",verdict=\"pass\"} 3\n"), "{page}");
        assert!(page.contains("penstock_link_up{node=\"a\"} 1\n"), "{page}");
    }

    #[test]
    fn histograms_become_cumulative_and_samples_that_do_not_fit_are_left_out() {
        let mut counts = vec![0; penstock_core::metrics::LATENCY_BUCKETS.len() + 1];
        counts[0] = 2;
        counts[1] = 1;
        *counts.last_mut().unwrap() = 4;
        let value = Some(Value::Histogram(Histogram { counts, sum: 1.5 }));
        let samples = vec![
            Sample { name: "penstock_handshake_seconds".to_owned(), labels: vec!["upstream".to_owned()], value },
            number("penstock_handshake_seconds", &["downstream"], 1.0),
            number("penstock_flows_total", &["pass"], 3.0),
            number("penstock_unheard_of_total", &[], 3.0),
            number("penstock_link_up", &[], 0.0),
        ];
        let page =
            Exporter::new().unwrap().render(View { nodes: vec![node("a", samples)], ..View::default() }).unwrap();
        assert!(page.contains("penstock_handshake_seconds_bucket{leg=\"upstream\",le=\"0.0001\"} 3\n"), "{page}");
        assert!(page.contains("penstock_handshake_seconds_count{leg=\"upstream\"} 7\n"), "{page}");
        assert!(!page.contains("downstream") && !page.contains("unheard") && !page.contains("penstock_flows_total{"));
        assert!(page.contains("\npenstock_link_up 1\n") && page.contains("\npenstock_leaf_minted_total 0\n"), "{page}");
    }

    #[test]
    fn a_node_that_is_cut_off_has_an_age_and_one_that_never_had_a_policy_has_none() {
        let mut away = node("a", Vec::new());
        (away.attached, away.policy_age_seconds) = (false, Some(90));
        let mut fresh = node("b", Vec::new());
        fresh.policy_age_seconds = None;
        let page = Exporter::new().unwrap().render(View { nodes: vec![away, fresh], ..View::default() }).unwrap();
        assert!(page.contains("penstock_policy_age_seconds{node=\"a\"} 90\n"), "{page}");
        assert!(!page.contains("penstock_policy_age_seconds{node=\"b\"}"), "{page}");
    }

    #[test]
    fn expiries_carry_their_kind() {
        let expiries = vec![Expiry { kind: "root", unix_seconds: 1_795_305_599 }];
        let page = Exporter::new().unwrap().render(View { expiries, ..View::default() }).unwrap();
        assert!(page.contains("penstock_certificate_expiry_seconds{kind=\"root\"} 1795305599\n"), "{page}");
    }
}
