//! Attaching, losing control, and what is told of metrics.

use penstock_core::policy::{Reason, Verdict};
use penstock_link::{from_node, sample};

use super::control::Control;
use super::node::{Place, state};

#[tokio::test]
async fn it_comes_back_to_a_control_that_died() {
    let place = Place::new();
    let node = place.node(1);
    // Nobody listens yet; then someone does, again and again.
    for round in 1..=3 {
        let mut control = Control::start(&place.socket());
        let mut attached = control.attached().await;
        assert_eq!(attached.hello.epoch, round - 1);
        attached.send(state(round)).await;
        assert_eq!(node.take().await, round);
        assert_eq!(attached.installed().await.0, round);
        assert_eq!(node.cells.link_up.value(()), 1);
        control.stop();
    }
    node.kill();
}

#[tokio::test]
async fn metrics_are_reported_when_asked_for() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(2);
    let mut attached = control.attached().await;
    node.shards[0].flows.add((Verdict::Pass, Reason::NotListed), 2);
    node.shards[1].flows.add((Verdict::Pass, Reason::NotListed), 3);
    attached.ask_metrics(42).await;
    let from_node::Message::Metrics(report) = attached.answer().await else {
        panic!("no metrics");
    };
    assert_eq!(report.id, 42);
    let number = |name: &str| {
        let found = report.samples.iter().find(|sample| sample.name == name);
        found.and_then(|sample| sample.value.clone())
    };
    assert_eq!(number("penstock_flows_total"), Some(sample::Value::Number(5.0)));
    assert_eq!(number("penstock_link_up"), Some(sample::Value::Number(1.0)));
    node.kill();
    control.stop();
}
