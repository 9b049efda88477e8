//! `/metrics`: whole, parseable, labelled by node only where there are several.

use std::collections::BTreeSet;

use penstock_core::metrics::{CATALOGUE, LATENCY_BUCKETS};
use penstock_link::sample::Value;
use penstock_link::{Histogram, Sample};

use crate::control::{Control, policy, until};
use crate::node::Node;

fn samples(passed: f64) -> Vec<Sample> {
    let labels = vec!["pass".to_owned(), "not_listed".to_owned()];
    let counts = vec![1; LATENCY_BUCKETS.len() + 1];
    vec![
        Sample { name: "penstock_flows_total".to_owned(), labels, value: Some(Value::Number(passed)) },
        Sample {
            name: "penstock_sniff_seconds".to_owned(),
            labels: Vec::new(),
            value: Some(Value::Histogram(Histogram { counts, sum: 1.0 })),
        },
    ]
}

fn page(control: &Control) -> String {
    let reply = control.send("GET", "/metrics", &[], "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.header("content-type").starts_with("text/plain; version=0.0.4"));
    reply.body
}

/// Every line is a comment or `name{labels} number`, every family is declared before its samples, no series twice.
fn check(page: &str) {
    let mut families = BTreeSet::new();
    let mut series = BTreeSet::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "declared twice: {line}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name.to_owned()), "twice: {line}");
            let family = name.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| family.strip_suffix(suffix));
            assert!(families.contains(family) || base.is_some_and(|base| families.contains(base)), "{line}");
        }
    }
    for metric in CATALOGUE {
        assert!(families.contains(metric.name), "{} is missing", metric.name);
    }
}

#[test]
fn one_node_has_no_label_and_two_have() {
    let control = Control::start();
    check(&page(&control));
    assert!(page(&control).contains("\npenstock_link_up 0\n"));
    control.put_policy(&policy("contoso.com"));
    let alpha = Node::attach(&control, "alpha");
    alpha.report(samples(3.0));
    let one = until("alpha's metrics", || {
        Some(page(&control))
            .filter(|page| page.contains("penstock_flows_total{reason=\"not_listed\",verdict=\"pass\"} 3\n"))
    });
    check(&one);
    assert!(one.contains("\npenstock_link_up 1\n"), "{one}");
    assert!(one.contains("penstock_sniff_seconds_count 17\n"), "{one}");
    for line in [
        "penstock_build_info{version=",
        "penstock_certificate_expiry_seconds{kind=\"issuer\"}",
        "kind=\"root\"",
        "process_open_fds",
    ] {
        assert!(one.contains(line), "{line} is missing in {one}");
    }
    let beta = Node::attach(&control, "beta");
    beta.report(samples(4.0));
    let two = until("beta's metrics", || {
        Some(page(&control)).filter(|page| page.contains("{node=\"beta\",reason=\"not_listed\",verdict=\"pass\"} 4\n"))
    });
    check(&two);
    assert!(two.contains("{node=\"alpha\",reason=\"not_listed\",verdict=\"pass\"} 3\n"), "{two}");
    assert!(two.contains("{node=\"beta\",reason=\"not_listed\",verdict=\"pass\"} 4\n"), "{two}");
    drop(beta);
    let away =
        until("beta to be away", || Some(page(&control)).filter(|page| page.contains("link_up{node=\"beta\"} 0\n")));
    assert!(
        away.contains("{node=\"beta\",reason=\"not_listed\",verdict=\"pass\"} 4\n"),
        "what was known stays: {away}"
    );
}
