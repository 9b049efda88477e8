//! What control sends comes into force on every shard or not at all, and is kept for the next start.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use penstock_link::{State, TicketKey, TicketKeys};
use prost::Message as _;

use super::control::{Control, soon};
use super::node::{Place, issuer, issuer_for, now, state};
use crate::metrics::PolicyRefusal;

#[tokio::test]
async fn all_shards_take_it_before_it_is_acknowledged_and_kept() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(2);
    let mut attached = control.attached().await;
    assert_eq!((attached.hello.node.as_str(), attached.hello.epoch, attached.hello.shards), ("gate-1", 0, 2));
    assert_eq!(attached.hello.proxy, "127.0.0.1:8080");
    let sent = state(1);
    attached.send(sent.clone()).await;
    let (first, first_ack) = node.told(0).await;
    let (second, second_ack) = node.told(1).await;
    assert_eq!((first.snapshot.epoch(), second.snapshot.epoch()), (Some(1), Some(1)));
    first_ack.installed();
    // The node answers in order, so an early acknowledgement would come before these metrics.
    attached.ask_metrics(7).await;
    assert!(matches!(attached.answer().await, penstock_link::from_node::Message::Metrics(report) if report.id == 7));
    assert!(!place.kept().exists(), "kept before every shard has it");
    second_ack.installed();
    assert_eq!(attached.installed().await, (1, sent.issuer.unwrap().serial));
    assert!(place.kept().exists());
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_repeat_is_acknowledged_without_telling_the_shards() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    let sent = state(1);
    attached.send(sent.clone()).await;
    assert_eq!(node.take().await, 1);
    let first = attached.installed().await;
    attached.send(sent.clone()).await;
    assert_eq!(attached.installed().await, first);
    // A new issuer under the same epoch is no repeat; the shard is told of that one next.
    let renewed = State { issuer: Some(issuer(now(), 30)), ..sent };
    let serial = renewed.issuer.as_ref().unwrap().serial.clone();
    attached.send(renewed).await;
    assert_eq!(node.take().await, 1);
    assert_eq!(attached.installed().await, (1, serial));
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_snapshot_outlives_its_last_flow_and_is_then_freed() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(1)).await;
    let (of_flow, ack) = node.told(0).await;
    ack.installed();
    attached.installed().await;
    attached.send(state(2)).await;
    assert_eq!(node.take().await, 2);
    attached.installed().await;
    let snapshot = Arc::downgrade(&of_flow.snapshot);
    drop(of_flow);
    assert_eq!(snapshot.strong_count(), 1, "freed on the thread of the flow");
    soon(async {
        while snapshot.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    node.kill();
    control.stop();
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_its_reason_and_changes_nothing() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(1)).await;
    assert_eq!(node.take().await, 1);
    attached.installed().await;
    let kept = fs::read(place.kept()).unwrap();

    let good = state(2);
    let with_issuer = |issuer| State { issuer, ..good.clone() };
    let mut foreign_key = issuer(now(), 30);
    foreign_key.key = issuer(now(), 30).key;
    let mut garbage = issuer(now(), 30);
    garbage.chain[0].truncate(40);
    for (wrong, word) in [
        (State { policy: "[[profile]]\nname = 7\n".to_owned(), ..good.clone() }, "policy:2:8"),
        (with_issuer(None), "no issuer"),
        (with_issuer(Some(foreign_key)), "not the one of its certificate"),
        (with_issuer(Some(garbage)), "cannot be read"),
        (with_issuer(Some(issuer(now() - 90 * 86_400, 30))), "this node's clock"),
        (with_issuer(Some(issuer_for(&["other.example"], now(), 30))), "name constraints"),
    ] {
        attached.send(wrong).await;
        let (epoch, reason) = attached.refused().await;
        assert_eq!(epoch, 2);
        assert!(reason.contains(word), "{reason}");
    }
    assert_eq!(fs::read(place.kept()).unwrap(), kept);
    // The shard was told nothing of all that: the next thing it hears of is good.
    attached.send(good).await;
    assert_eq!(node.take().await, 2);
    assert_eq!(attached.installed().await.0, 2);
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_shard_that_fails_to_take_it_is_named() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(2);
    let mut attached = control.attached().await;
    attached.send(state(1)).await;
    let (_first, ack) = node.told(0).await;
    ack.installed();
    drop(node.told(1).await);
    let (_epoch, reason) = attached.refused().await;
    assert!(reason.contains("shard 1"), "{reason}");
    assert!(!place.kept().exists());
    // Sent again, it is tried again on every shard.
    attached.send(state(1)).await;
    assert_eq!(node.take().await, 1);
    assert_eq!(attached.installed().await.0, 1);
    node.kill();
    control.stop();
}

#[tokio::test]
async fn of_what_arrives_during_an_installation_only_the_newest_counts() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(1)).await;
    let (_installed, ack) = node.told(0).await;
    for epoch in [2, 3, 4] {
        attached.send(state(epoch)).await;
    }
    attached.ask_metrics(1).await;
    assert!(matches!(attached.answer().await, penstock_link::from_node::Message::Metrics(_)));
    ack.installed();
    assert_eq!(attached.installed().await.0, 1);
    assert_eq!(node.take().await, 4);
    assert_eq!(attached.installed().await.0, 4);
    node.kill();
    control.stop();
}

#[tokio::test]
async fn an_installation_is_finished_and_kept_when_control_dies_meanwhile() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let attached = control.attached().await;
    attached.send(state(1)).await;
    let (_installed, ack) = node.told(0).await;
    control.stop();
    ack.installed();
    let mut control = Control::start(&place.socket());
    // It may attach before the installer has noted the last acknowledgement, never with another epoch.
    let attached = control.attached().await;
    assert!(attached.hello.epoch <= 1);
    soon(async {
        while !place.kept().exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.kill();
    control.stop();
}

#[tokio::test]
async fn without_control_it_serves_what_it_had() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(5)).await;
    node.take().await;
    let (_epoch, serial) = attached.installed().await;
    control.stop();
    node.kill();

    fs::remove_file(place.socket()).unwrap();
    let node = place.node(3);
    assert_eq!(node.take().await, 5);
    let mut control = Control::start(&place.socket());
    let attached = control.attached().await;
    assert_eq!((attached.hello.epoch, attached.hello.issuer), (5, serial));
    node.kill();
    control.stop();
}

#[tokio::test]
async fn a_copy_that_is_damaged_or_no_longer_compiles_is_not_used() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(5)).await;
    node.take().await;
    attached.installed().await;
    node.kill();
    let mut content = fs::read(place.kept()).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    fs::write(place.kept(), content).unwrap();

    let node = place.node(1);
    let mut attached = control.attached().await;
    assert_eq!(attached.hello.epoch, 0, "a damaged copy is in force");
    attached.send(state(6)).await;
    assert_eq!(node.take().await, 6);
    attached.installed().await;
    node.kill();
    control.stop();
}

/// Ticket keys are taken beside the rest, need no acknowledgement, and never reach the disk.
#[tokio::test]
async fn ticket_keys_come_into_use_and_are_kept_nowhere() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(1)).await;
    assert_eq!(node.take().await, 1);
    attached.installed().await;
    let key = |number: u8, seals_from| TicketKey {
        name: vec![number; 16],
        secret: vec![number; 32],
        seals_from,
        seals_until: seals_from + 3_600,
        sealed_secret: Vec::new(),
    };
    let damaged = TicketKey { secret: vec![9; 7], ..key(9, now()) };
    attached.send_ticket_keys(TicketKeys { keys: vec![damaged, key(0xab, now() - 1), key(0xcd, now() + 3_599)] }).await;
    // Messages are taken in order: once this is answered, the keys are in use.
    attached.ask_metrics(1).await;
    assert!(matches!(attached.answer().await, penstock_link::from_node::Message::Metrics(_)));
    let shown = format!("{:?}", node.tickets);
    assert_eq!(shown.matches("TicketKey {").count(), 3, "two of the fleet, one of its own: {shown}");
    for entry in fs::read_dir(place.kept().parent().unwrap()).unwrap() {
        let content = fs::read(entry.unwrap().path()).unwrap();
        assert!(!content.windows(16).any(|window| window == [0xab; 16]));
    }
    node.kill();
    control.stop();
}

/// The copy on the disk opens with the signer's own key alone. What an older version left is read once more, and sealed.
#[tokio::test]
async fn h104_no_copy_holds_the_key_as_it_is() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    let sent = state(3);
    let key = sent.issuer.as_ref().unwrap().key.clone();
    attached.send(sent.clone()).await;
    node.take().await;
    attached.installed().await;
    node.kill();
    let holds = || fs::read(place.kept()).unwrap().windows(key.len()).any(|window| window == key);
    assert!(!holds());

    let plain = sent.encode_to_vec();
    fs::write(place.kept(), [digest(&SHA256, &plain).as_ref(), &plain].concat()).unwrap();
    assert!(holds());
    let node = place.node(1);
    assert_eq!(node.take().await, 3);
    soon(async {
        while holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    node.kill();
    control.stop();
}

/// A signer that has lost its own key tells control of its new one; until the issuer comes for that, what passes goes on.
#[tokio::test]
async fn a_signer_with_a_fresh_key_is_sealed_for_anew() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    let sealed_for = |sealing_key: &[u8], sent: &State| {
        let mut sent = sent.clone();
        let issuer = sent.issuer.as_mut().unwrap();
        let key = std::mem::take(&mut issuer.key);
        issuer.sealed_key = penstock_link::seal(sealing_key, &issuer.chain[0], &key).unwrap();
        sent
    };
    let sent = state(3);
    attached.send(sealed_for(&attached.hello.sealing_key, &sent)).await;
    node.take().await;
    attached.installed().await;
    let first = attached.hello.sealing_key.clone();
    node.kill();

    fs::remove_file(place.state().join("signer.key")).unwrap();
    let node = place.node(1);
    assert_eq!(node.take().await, 3, "the policy is in force all the same");
    let mut attached = control.attached().await;
    assert_ne!(attached.hello.sealing_key, first);
    attached.send(sealed_for(&first, &sent)).await;
    let (_, reason) = attached.refused().await;
    assert!(reason.contains("sealed for another signer"), "{reason}");
    attached.send(sealed_for(&attached.hello.sealing_key, &sent)).await;
    assert_eq!(node.take().await, 3, "the same state is no repeat");
    attached.installed().await;
    node.kill();
    control.stop();
}

/// A control with an older store offers what was in force before: the node keeps what it has, says so and counts it.
#[tokio::test]
async fn an_epoch_below_the_one_in_force_is_refused_and_counted() {
    let place = Place::new();
    let mut control = Control::start(&place.socket());
    let node = place.node(1);
    let mut attached = control.attached().await;
    attached.send(state(5)).await;
    assert_eq!(node.take().await, 5);
    assert_eq!(attached.installed().await.0, 5);
    attached.send(state(4)).await;
    let (epoch, reason) = attached.refused().await;
    assert!(epoch == 4 && reason.contains("control is behind"), "{reason}");
    assert_eq!(node.cells.policy_refused.value((PolicyRefusal::Behind,)), 1);
    // It is not kept either: a start finds the later one.
    attached.send(state(6)).await;
    assert_eq!(node.take().await, 6);
    assert_eq!(attached.installed().await.0, 6);
    node.kill();
    let node = place.node(1);
    assert_eq!(node.take().await, 6);
    let attached = control.attached().await;
    assert!(attached.hello.epoch == 6 && attached.hello.confirmed > 0);
    node.kill();
    control.stop();
}
