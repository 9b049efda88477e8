//! Several daemons on one etcd and one PostgreSQL: what one takes the other serves, and killing one loses nothing that was
//! acknowledged. Where the machine lacks a server, that was said and nothing is tested.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use penstock_core::audit::{Event, timestamp};
use penstock_link::Hello;
use penstock_tests::etcd::Etcd;
use penstock_tests::postgres::Postgres;
use serde_json::Value;
use tempfile::TempDir;

use crate::control::{Control, policy, until};
use crate::node::Node;

/// The servers.
struct Servers {
    etcd: Etcd,
    postgres: Postgres,
}

impl Servers {
    fn start() -> Option<Self> {
        Some(Self { etcd: Etcd::start()?, postgres: Postgres::start()? })
    }

    /// A daemon of that name, on a state directory of its own or on that of one that was killed.
    fn control(&self, name: &str, directory: Option<Arc<TempDir>>) -> Control {
        let more = format!(
            "acknowledge_deadline_ms = 3000\n[store.policy]\netcd = [\"{}\"]\nname = \"{name}\"\n\
             [store.events]\npostgres = \"{}\"\n",
            self.etcd.url(),
            self.postgres.url()
        );
        Control::start_in(directory.unwrap_or_else(|| Arc::new(TempDir::new().unwrap())), &more)
    }
}

fn event(number: u64) -> (u64, String) {
    let event = Event {
        time: timestamp(1_795_000_000_000 + number),
        flow: format!("1-{number:x}-0"),
        source: "10.0.0.7".to_owned(),
        status: "denied".to_owned(),
        connector: Some("microsoft-entra".to_owned()),
        target_tenant: Some(format!("tenant{}.example", number % 3)),
        ..Event::default()
    };
    (number, serde_json::to_string(&event).unwrap())
}

/// Every flow of the report, in the order of recording.
fn flows(control: &Control) -> Vec<String> {
    let (mut flows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = control.get(&format!("/events?limit=500{cursor}")).json();
        let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
        flows.extend(events.iter().map(|event| event["flow"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    flows.reverse();
    flows
}

fn epochs(control: &Control) -> Vec<u64> {
    let history = control.get("/policy/history?limit=1000").json();
    history["revisions"].as_array().unwrap().iter().map(|revision| revision["epoch"].as_u64().unwrap()).collect()
}

fn put(control: &Control, tenant: &str) -> u64 {
    let reply = control.put_policy(&policy(tenant));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["epoch"].as_u64().unwrap()
}

#[test]
fn a_policy_written_at_one_is_served_by_the_other() {
    let Some(servers) = Servers::start() else { return };
    let (one, other) = (servers.control("one", None), servers.control("other", None));
    let (mut alpha, mut beta) = (Node::attach(&one, "alpha"), Node::attach(&other, "beta"));
    assert_eq!(put(&one, "contoso.com"), 1);
    for node in [&alpha, &beta] {
        assert_eq!(node.state(1).policy, policy("contoso.com"));
    }
    assert_eq!(put(&other, "fabrikam.com"), 2);
    assert_eq!(alpha.state(2).policy, policy("fabrikam.com"));
    assert_eq!(epochs(&one), epochs(&other));
    // Who saw an older epoch does not write over the newer one, at whichever daemon.
    for control in [&one, &other] {
        let headers = [("Content-Type", "application/toml"), ("If-Match", "\"1\"")];
        control.api("PUT", "/policy", &headers, &policy("late.example")).problem(412);
    }
    let back = one.api("POST", "/policy/rollback", &[("Content-Type", "application/json")], r#"{"epoch":1}"#);
    assert_eq!(back.json()["epoch"], 3, "{}", back.body);
    assert_eq!(beta.state(3).policy, policy("contoso.com"));

    let batch: Vec<(u64, String)> = (1..=20).map(event).collect();
    alpha.record("alpha", "boot", &batch[..10]).unwrap();
    // A node that goes to another daemon sends again what it was not told of.
    beta.record("alpha", "boot", &batch).unwrap();
    for control in [&one, &other] {
        assert_eq!(flows(control).len(), 20);
        let denials = control.get("/report/denials?by=tenant&since=2026-01-01").json();
        let sum: u64 = denials["rows"].as_array().unwrap().iter().map(|row| row["denied"].as_u64().unwrap()).sum();
        assert_eq!(sum, 20, "{denials}");
    }

    // Without one the other goes on; when it is back it has what it missed.
    let directory = one.kill();
    assert_eq!(put(&other, "litware.com"), 4);
    let one = servers.control("one", Some(directory));
    assert_eq!(one.get("/policy").header("etag"), "\"4\"");
    assert_eq!(Node::attach(&one, "alpha").state(4).policy, policy("litware.com"));
    assert_eq!(flows(&one).len(), 20);
}

#[test]
fn of_policies_written_at_both_at_once_none_is_lost() {
    const EACH: usize = 10;
    let Some(servers) = Servers::start() else { return };
    let controls = [servers.control("one", None), servers.control("other", None)];
    let nodes = [Node::attach(&controls[0], "alpha"), Node::attach(&controls[1], "beta")];
    let written: Vec<u64> = thread::scope(|scope| {
        let writers = controls.each_ref().map(|control| {
            scope.spawn(move || (0..EACH).map(|round| put(control, &format!("t{round}.example"))).collect::<Vec<_>>())
        });
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let distinct: BTreeSet<u64> = written.iter().copied().collect();
    assert_eq!((written.len(), distinct.len()), (2 * EACH, 2 * EACH), "{written:?}");
    let newest = distinct.last().copied().unwrap();
    for (control, node) in controls.iter().zip(&nodes) {
        node.state(newest);
        assert!(node.states().is_sorted_by_key(|state| state.epoch), "epochs never go back");
        assert_eq!(epochs(control), distinct.iter().rev().copied().collect::<Vec<_>>());
    }
}

/// The daemon that takes policies and events is killed somewhere in the middle, again and again.
#[test]
fn killing_a_daemon_at_any_step_loses_nothing_that_was_acknowledged() {
    let Some(servers) = Servers::start() else { return };
    let other = servers.control("other", None);
    put(&other, "first.example");
    let mut directory = None;
    let (mut tenants, mut recorded, mut number) = (Vec::new(), BTreeSet::new(), 0_u64);
    for round in 0_u64..6 {
        let control = servers.control("one", directory.take());
        let mut node = Node::attach_as(&control, Hello { node: "alpha".to_owned(), ..Hello::default() });
        let pid = control.id();
        let killer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(30 + round * 67));
            penstock_tests::process::signal(pid, rustix::process::Signal::KILL);
        });
        loop {
            // Every batch holds the one before: a node that was not told sends again.
            let first = number;
            number += 5;
            let batch: Vec<(u64, String)> = (first.saturating_sub(5)..number).map(event).collect();
            if node.record("alpha", "boot", &batch).is_err() {
                break;
            }
            recorded.extend(batch.iter().map(|(number, _)| format!("1-{number:x}-0")));
            let tenant = format!("t{number}.example");
            match control.try_put_policy(&policy(&tenant)) {
                Some(200) => tenants.push(tenant),
                _ => break,
            }
        }
        killer.join().unwrap();
        directory = Some(control.kill());
    }
    let found = flows(&other);
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(found.len(), distinct.len(), "nothing is there twice");
    assert!(recorded.iter().all(|flow| distinct.contains(flow)), "{} of {}", found.len(), recorded.len());
    assert!(!tenants.is_empty() && !recorded.is_empty());
    let history = other.get("/policy/history?limit=1000").json();
    let texts: Vec<String> = history["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| other.get(&format!("/policy?epoch={}", revision["epoch"])).body)
        .collect();
    for tenant in &tenants {
        assert!(texts.iter().any(|text| text.contains(tenant)), "{tenant} is lost");
    }
    assert!(epochs(&other).is_sorted_by(|newer, older| newer > older));
}

#[test]
fn servers_that_go_and_come_back_cost_nothing_but_time() {
    let Some(mut servers) = Servers::start() else { return };
    let (one, other) = (servers.control("one", None), servers.control("other", None));
    let (mut alpha, beta) = (Node::attach(&one, "alpha"), Node::attach(&other, "beta"));
    put(&one, "contoso.com");
    let batch: Vec<(u64, String)> = (1..=30).map(event).collect();
    alpha.record("alpha", "boot", &batch[..10]).unwrap();

    servers.postgres.kill();
    assert!(alpha.record("alpha", "boot", &batch[..20]).is_err());
    one.get("/events").problem(503);
    // Policies do not wait for it.
    assert_eq!(put(&one, "fabrikam.com"), 2);
    beta.state(2);
    servers.postgres.revive();
    until("the events to be recorded", || alpha.record("alpha", "boot", &batch).ok());
    assert_eq!(flows(&other).len(), 30);

    servers.etcd.kill();
    one.put_policy(&policy("litware.com")).problem(503);
    assert_eq!(one.get("/policy").header("etag"), "\"2\"", "what was in force stays");
    servers.etcd.revive();
    servers.etcd.compact();
    assert_eq!(put(&one, "northwind.example"), 3);
    assert_eq!(beta.state(3).policy, policy("northwind.example"));
    servers.etcd.compact();
    assert_eq!(put(&other, "tailspin.example"), 4);
    assert_eq!(alpha.state(4).policy, policy("tailspin.example"));
}

/// A rollout belongs to the daemon where it began, and is seen, halted and ended at each.
#[test]
fn a_rollout_is_one_for_all_daemons() {
    let Some(servers) = Servers::start() else { return };
    let (one, other) = (servers.control("one", None), servers.control("other", None));
    let labels = vec!["canary".to_owned()];
    let alpha = Node::attach_as(&one, Hello { node: "alpha".to_owned(), labels, ..Hello::default() });
    until("alpha", || one.get("/nodes").body.contains("alpha").then_some(()));
    let beta = Node::attach(&other, "beta");
    put(&one, "contoso.com");
    beta.state(1);
    let toml = [("Content-Type", "application/toml")];
    let begun = one.api("PUT", "/policy?waves=canary&soak_seconds=3600", &toml, &policy("fabrikam.com"));
    assert_eq!(begun.status, 202, "{}", begun.body);
    alpha.state(2);
    let state = |control: &Control| -> Value { control.get("/policy/rollout").json() };
    until("the other to see it", || (state(&other)["state"] == "running").then_some(()));
    assert_eq!(other.get("/policy").header("etag"), "\"1\"");
    other.put_policy(&policy("late.example")).problem(409);

    let act = |control: &Control, action: &str| {
        control.api(
            "POST",
            "/policy/rollout",
            &[("Content-Type", "application/json")],
            &format!("{{\"action\":\"{action}\"}}"),
        )
    };
    assert_eq!(act(&other, "halt").json()["state"], "halted");
    until("the one to see the halt", || (state(&one)["state"] == "halted").then_some(()));
    assert_eq!(act(&one, "resume").json()["state"], "running");
    until("the other to see it go on", || (state(&other)["state"] == "running").then_some(()));
    assert!(beta.states().iter().all(|state| state.epoch == 1), "its wave has not come");

    // The daemon that looks after it is gone: it stands still until somebody acts at another.
    let directory = one.kill();
    let back = act(&other, "roll_back");
    assert_eq!((back.status, back.json()["epoch"].as_u64()), (200, Some(3)), "{}", back.body);
    assert_eq!(beta.state(3).policy, policy("contoso.com"));
    let one = servers.control("one", Some(directory));
    assert_eq!(
        (one.get("/policy").header("etag").to_owned(), state(&one)["state"].clone()),
        ("\"3\"".to_owned(), "none".into())
    );
    assert_eq!(Node::attach(&one, "alpha").state(3).policy, policy("contoso.com"));
}
