//! Audit events: each recorded once, kept over a kill, found again by what they say.

use std::sync::Arc;

use penstock_core::audit::{Event, timestamp};
use tempfile::TempDir;

use crate::control::{Control, until};
use crate::node::Node;

fn event(second: u64, change: impl FnOnce(&mut Event)) -> String {
    let mut event = Event {
        time: timestamp(1_795_000_000_000 + second * 1000),
        shard: 1,
        flow: format!("1-{second:x}-0"),
        source: "10.0.0.7".to_owned(),
        status: "allowed".to_owned(),
        ..Event::default()
    };
    change(&mut event);
    serde_json::to_string(&event).unwrap()
}

fn recorded(control: &Control, query: &str) -> Vec<String> {
    let answer = control.get(&format!("/events?{query}")).json();
    let events = answer["events"].as_array().unwrap_or_else(|| panic!("{answer}"));
    events.iter().map(|event| event["flow"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_repeated_batch_is_recorded_once_and_outlives_a_kill() {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let batch: Vec<(u64, String)> = (1..=50).map(|n| (n, event(n, |_| {}))).collect();
    assert_eq!(node.record("alpha", "boot-1", &batch).unwrap(), 50);
    assert_eq!(node.record("alpha", "boot-1", &batch).unwrap(), 50);
    assert_eq!(node.record("alpha", "boot-1", &batch[40..]).unwrap(), 50);
    // The same numbers of another life of the spool, or of another node, are other events.
    assert_eq!(node.record("alpha", "boot-2", &batch[..1]).unwrap(), 1);
    assert_eq!(node.record("beta", "boot-1", &batch[..1]).unwrap(), 1);
    assert_eq!(recorded(&control, "limit=1000").len(), 52);
    drop(node);
    let control = Control::start_in(control.kill(), "");
    let mut node = Node::attach(&control, "alpha");
    assert_eq!(node.record("alpha", "boot-1", &batch).unwrap(), 50);
    assert_eq!(recorded(&control, "limit=1000").len(), 52);
    assert_eq!(recorded(&control, "limit=1000&node=beta").len(), 1);
}

#[test]
fn an_event_that_cannot_be_read_does_not_hold_up_the_others() {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let batch = vec![
        (1, event(1, |_| {})),
        (2, r#"{"time":"2026-11-21T00:00:00Z","from":"the future"}"#.to_owned()),
        (3, "no JSON".to_owned()),
        (4, event(4, |event| event.time = "noon".to_owned())),
        (5, event(5, |_| {})),
    ];
    assert_eq!(node.record("alpha", "boot", &batch).unwrap(), 5);
    assert_eq!(recorded(&control, ""), ["1-5-0", "1-1-0"]);
    assert!(node.record("", "boot", &batch).is_err());
    assert!(node.record("alpha", "boot", &[]).is_err());
}

#[test]
fn the_oldest_events_go_when_the_bound_is_reached() {
    let control = Control::start_in(Arc::new(TempDir::new().unwrap()), "audit_events_max = 100");
    let mut node = Node::attach(&control, "alpha");
    for round in 0..30 {
        let batch: Vec<(u64, String)> = (round * 100..round * 100 + 100).map(|n| (n, event(n, |_| {}))).collect();
        node.record("alpha", "boot", &batch).unwrap();
    }
    let kept = recorded(&control, "limit=10000");
    assert!((100..1200).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0], "1-bb7-0");
    let control = Control::start_in(control.kill(), "audit_events_max = 100");
    let mut node = Node::attach(&control, "alpha");
    node.record("alpha", "boot", &[(5000, event(5000, |_| {}))]).unwrap();
    until("the bound", || (recorded(&control, "limit=10000").len() == 100).then_some(()));
}

#[test]
fn filters_find_what_they_say_and_pages_join_up() {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let batch = vec![
        (1, event(1, |event| event.user = Some("alice".to_owned()))),
        (2, event(2, |event| "denied".clone_into(&mut event.status))),
        (3, event(3, |event| event.connector = Some("slack".to_owned()))),
        (4, event(4, |event| event.target_tenant = Some("evil.example".to_owned()))),
        (5, event(5, |event| "10.0.0.8".clone_into(&mut event.source))),
        (6, event(6, |event| event.client = Some("curl".to_owned()))),
        (7, event(7, |event| event.application = Some("app".to_owned()))),
        (8, event(8, |event| "would_deny".clone_into(&mut event.status))),
    ];
    node.record("alpha", "boot", &batch).unwrap();
    for (query, flows) in [
        ("user=alice", vec!["1-1-0"]),
        ("status=denied", vec!["1-2-0"]),
        ("status=denied,would_deny", vec!["1-8-0", "1-2-0"]),
        ("connector=slack", vec!["1-3-0"]),
        ("target_tenant=evil.example", vec!["1-4-0"]),
        ("source=10.0.0.8", vec!["1-5-0"]),
        ("client=curl", vec!["1-6-0"]),
        ("application=app", vec!["1-7-0"]),
        ("user=bob", vec![]),
        ("user=alice'%20OR%20'1'='1", vec![]),
        ("status=allowed&source=10.0.0.8", vec!["1-5-0"]),
    ] {
        assert_eq!(recorded(&control, query), flows, "{query}");
    }
    let since = timestamp(1_795_000_003_000);
    let until = timestamp(1_795_000_005_000);
    assert_eq!(recorded(&control, &format!("since={since}&until={until}")), ["1-4-0", "1-3-0"]);

    let mut flows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = control.get(&format!("/events?limit=3{cursor}")).json();
        flows.extend(page["events"].as_array().unwrap().iter().map(|event| event["flow"].clone()));
        let Some(next) = page["next"].as_u64() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(flows.len(), 8);
    assert_eq!((&flows[0], &flows[7]), (&"1-8-0".into(), &"1-1-0".into()));

    // To follow: from the newest on, in order.
    let newest = control.get("/events?limit=1").json()["newest"].as_u64().unwrap();
    let idle = control.get(&format!("/events?order=asc&cursor={newest}")).json();
    assert_eq!((idle["events"].as_array().unwrap().len(), idle["next"].as_u64()), (0, Some(newest)));
    node.record("alpha", "boot", &[(9, event(9, |_| {})), (10, event(10, |_| {}))]).unwrap();
    assert_eq!(recorded(&control, &format!("order=asc&cursor={newest}")), ["1-9-0", "1-a-0"]);
}

#[test]
fn csv_has_every_column_and_runs_no_formula() {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let hostile = event(1, |event| event.path = Some("=cmd|' /C calc'!A0".to_owned()));
    node.record("alpha", "boot", &[(1, hostile), (2, event(2, |_| {}))]).unwrap();
    for reply in [control.get("/events?format=csv"), control.api("GET", "/events", &[("Accept", "text/csv")], "")] {
        assert!(reply.header("content-type").starts_with("text/csv"));
        let lines: Vec<&str> = reply.body.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3, "{}", reply.body);
        assert!(lines[0].starts_with("time,node,site,shard,flow,source,user,"), "{}", lines[0]);
        assert!(lines[1].starts_with("2026-"), "{}", lines[1]);
        assert!(lines[2].contains(",\"'=cmd|' /C calc'!A0\","), "{}", lines[2]);
    }
    let page = control.get("/events?format=csv&limit=1");
    assert!(!page.header("penstock-next-cursor").is_empty());
}
