//! Audit events reach control whatever dies, in order, and none that was not committed is forgotten.

use std::collections::BTreeMap;

use penstock_core::audit::Event;

use super::control::{Batch, Control};
use super::node::Place;

/// What a store holds: flow by (boot, sequence). A repeat must bring the same event.
#[derive(Default)]
struct Store(BTreeMap<(String, u64), u64>);

impl Store {
    fn add(&mut self, batch: &Batch) -> u64 {
        assert_eq!(batch.batch.node, "gate-1");
        assert!(batch.sequences().is_sorted());
        for event in &batch.batch.events {
            let flow = serde_json::from_str::<Event>(&event.json).unwrap().flow.parse().unwrap();
            let previous = self.0.insert((batch.batch.boot.clone(), event.sequence), flow);
            assert!(previous.is_none_or(|previous| previous == flow), "one name for two events");
        }
        batch.sequences().last().copied().unwrap()
    }

    fn flows(&self) -> Vec<u64> {
        self.0.values().copied().collect()
    }
}

/// Takes and commits batches until the store has `count` events.
async fn commit_until(control: &mut Control, store: &mut Store, count: usize) {
    while store.0.len() < count {
        let batch = control.batch().await;
        let last = store.add(&batch);
        batch.commit(last);
    }
}

#[tokio::test]
async fn events_arrive_in_order_and_in_bounded_batches() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut store = Store::default();
    (0..3_000).for_each(|flow| node.record(flow));
    while store.0.len() < 3_000 {
        let batch = control.batch().await;
        assert!(batch.batch.events.len() <= 1_500);
        let last = store.add(&batch);
        batch.commit(last);
    }
    assert_eq!(store.flows(), (0..3_000).collect::<Vec<_>>());
    node.kill();
    control.stop();
}

#[tokio::test]
async fn events_of_the_time_without_control_arrive_when_it_is_back() {
    let place = Place::new();
    let node = place.node(1);
    (0..700).for_each(|flow| node.record(flow));
    let mut control = Control::start(&place.socket());
    let mut store = Store::default();
    commit_until(&mut control, &mut store, 700).await;
    control.stop();
    (700..900).for_each(|flow| node.record(flow));
    let mut control = Control::start(&place.socket());
    commit_until(&mut control, &mut store, 900).await;
    assert_eq!(store.flows(), (0..900).collect::<Vec<_>>());
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_batch_whose_reply_is_lost_comes_again_under_the_same_names() {
    let place = Place::new();
    let node = place.node(1);
    (0..10).for_each(|flow| node.record(flow));
    let mut store = Store::default();
    let mut control = Control::start(&place.socket());
    // Committed by a control that is killed before it can say so.
    let batch = control.batch().await;
    store.add(&batch);
    control.stop();
    drop(batch);
    let mut control = Control::start(&place.socket());
    commit_until(&mut control, &mut store, 10).await;
    // Refused once, then committed in part: what is left comes again.
    (10..20).for_each(|flow| node.record(flow));
    let refused = control.batch().await;
    drop(refused);
    let batch = control.batch().await;
    store.add(&batch);
    let first = batch.sequences()[0];
    batch.commit(first);
    (20..30).for_each(|flow| node.record(flow));
    commit_until(&mut control, &mut store, 30).await;
    assert_eq!(store.flows(), (0..30).collect::<Vec<_>>());
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_node_that_is_killed_goes_on_where_it_was() {
    let place = Place::new();
    let mut store = Store::default();
    for life in 0..4 {
        let mut control = Control::start(&place.socket());
        let node = place.node(1);
        (life * 100..(life + 1) * 100).for_each(|flow| node.record(flow));
        // Some of them are committed; the rest stays for the next life.
        let batch = control.batch().await;
        let last = store.add(&batch);
        batch.commit(last);
        node.kill();
        control.stop();
    }
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    commit_until(&mut control, &mut store, 400).await;
    assert_eq!(store.flows(), (0..400).collect::<Vec<_>>());
    let boots: std::collections::BTreeSet<_> = store.0.keys().map(|(boot, _sequence)| boot).collect();
    assert_eq!(boots.len(), 1, "the sequence goes on, so the boot does too");
    node.kill();
    control.stop();
}
