//! A policy that goes out in waves, as simulated nodes see it: who gets it when, what halts it, and both ways to an end.

use std::sync::Arc;

use penstock_link::{Hello, Sample, sample};
use serde_json::Value;
use tempfile::TempDir;

use crate::control::{Control, policy, until};
use crate::node::{Manner, Node};

fn attach(control: &Control, name: &str, labels: &[&str]) -> Node {
    let labels = labels.iter().map(|&label| label.to_owned()).collect();
    let node = Node::attach_as(control, Hello { node: name.to_owned(), shards: 1, labels, ..Hello::default() });
    until("the node's seat", || {
        let nodes = control.get("/nodes").json()["nodes"].as_array().cloned().unwrap_or_default();
        nodes.iter().any(|node| node["node"] == name && node["attached"] == true).then_some(())
    });
    node
}

fn start() -> Control {
    Control::start_in(Arc::new(TempDir::new().unwrap()), "acknowledge_deadline_ms = 3000")
}

fn roll_out(control: &Control, tenant: &str, query: &str) -> Value {
    let reply = control.api("PUT", &format!("/policy?{query}"), &[TOML], &policy(tenant));
    assert_eq!(reply.status, 202, "{}", reply.body);
    reply.json()
}

fn state(control: &Control) -> Value {
    control.get("/policy/rollout").json()
}

fn halted(control: &Control) -> String {
    until("the halt", || {
        let state = state(control);
        (state["state"] == "halted").then(|| state["why"].as_str().unwrap().to_owned())
    })
}

fn act(control: &Control, action: &str) -> crate::control::Reply {
    control.api("POST", "/policy/rollout", &[JSON], &format!("{{\"action\":\"{action}\"}}"))
}

fn saw(node: &Node, epoch: u64) -> bool {
    node.states().iter().any(|state| state.epoch == epoch)
}

#[test]
fn waves_follow_one_another_until_everybody_has_it() {
    let control = start();
    let (alpha, beta, gamma) =
        (attach(&control, "alpha", &["canary"]), attach(&control, "beta", &[]), attach(&control, "gamma", &["dmz"]));
    control.api("PUT", "/policy?waves=canary", &[TOML], &policy("contoso.com")).problem(404);
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    // Nobody else gets it before the canary has it.
    alpha.behave(Manner::IsSilent);
    let begun = roll_out(&control, "fabrikam.com", "waves=canary,dmz&soak_seconds=0&author=me");
    assert_eq!((&begun["state"], &begun["epoch"], &begun["stable_epoch"]), (&"running".into(), &2.into(), &1.into()));
    assert_eq!(begun["waves"], serde_json::json!(["canary", "dmz", "100%"]));
    alpha.state(2);
    assert!(halted(&control).contains("alpha has not answered"));
    assert!(!saw(&beta, 2) && !saw(&gamma, 2));
    assert_eq!(control.get("/policy").header("etag"), "\"1\"", "what is in force is what it was");
    let nodes = state(&control)["nodes"].as_array().unwrap().clone();
    let released: Vec<bool> = nodes.iter().map(|node| node["released"] == true).collect();
    assert_eq!(released, [true, false, false]);

    alpha.behave(Manner::Installs);
    assert_eq!(act(&control, "resume").json()["state"], "running");
    assert_eq!(beta.state(2).policy, policy("fabrikam.com"));
    assert!(saw(&gamma, 2), "the wave before had it first");
    until("its end", || (state(&control)["state"] == "none").then_some(()));
    assert_eq!(control.get("/policy").header("etag"), "\"2\"");
    until("readiness", || control.ready().then_some(()));
    act(&control, "resume").problem(404);
}

#[test]
fn a_refusal_halts_it_and_a_rollback_goes_forward_in_epochs() {
    let control = start();
    let (alpha, beta) = (attach(&control, "alpha", &["canary"]), attach(&control, "beta", &[]));
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    alpha.behave(Manner::Refuses("shard 1 did not answer"));
    roll_out(&control, "fabrikam.com", "waves=canary&soak_seconds=3600");
    assert_eq!(halted(&control), "node alpha refused it: shard 1 did not answer");
    // Nothing else is published meanwhile.
    control.put_policy(&policy("other.com")).problem(409);
    control.api("POST", "/policy/rollback", &[JSON], r#"{"epoch":1}"#).problem(409);
    control.api("PUT", "/policy?waves=canary", &[TOML], &policy("other.com")).problem(409);

    alpha.behave(Manner::Installs);
    let back = act(&control, "roll_back");
    assert_eq!((back.status, back.json()["epoch"].as_u64()), (200, Some(3)), "{}", back.body);
    for node in [&alpha, &beta] {
        assert_eq!(node.state(3).policy, policy("contoso.com"));
        assert!(node.states().is_sorted_by_key(|state| state.epoch), "epochs never go back");
    }
    assert!(!saw(&beta, 2));
    let newest = control.get("/policy/history").json()["revisions"][0].clone();
    assert!(newest["comment"].as_str().unwrap().contains("alpha refused it"), "{newest}");
    assert_eq!(state(&control)["state"], "none");
}

#[test]
fn failing_flows_halt_it_and_a_restart_keeps_it_halted() {
    let count = |flows: f64, faults: f64| {
        let sample = |name: &str, number| Sample {
            name: name.to_owned(),
            labels: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            value: Some(sample::Value::Number(number)),
        };
        vec![sample("penstock_flows_total", flows), sample("penstock_faults_total", faults)]
    };
    let control = start();
    let (alpha, beta) = (attach(&control, "alpha", &["canary"]), attach(&control, "beta", &[]));
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    // What failed before does not count, and what fails elsewhere neither.
    alpha.report(count(1_000.0, 900.0));
    beta.report(count(0.0, 0.0));
    roll_out(&control, "fabrikam.com", "waves=canary&soak_seconds=3600&faults_percent_max=10");
    alpha.state(2);
    beta.report(count(500.0, 500.0));
    alpha.report(count(1_100.0, 909.0));
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(state(&control)["state"], "running", "{}", state(&control));
    alpha.report(count(1_200.0, 940.0));
    let why = halted(&control);
    assert!(why.contains("40 of 200 flows failed, 20.0 %; 10 % is the most"), "{why}");

    drop((alpha, beta));
    let control = Control::start_in(control.kill(), "acknowledge_deadline_ms = 3000");
    let (alpha, beta) = (attach(&control, "alpha", &["canary"]), attach(&control, "beta", &[]));
    assert_eq!((alpha.state(2).policy, beta.state(1).policy), (policy("fabrikam.com"), policy("contoso.com")));
    assert!(halted(&control).contains("40 of 200 flows failed"));
    assert!(!saw(&beta, 2));
    assert_eq!(act(&control, "resume").json()["state"], "running");
    assert_eq!(act(&control, "halt").json()["state"], "halted");
    assert_eq!(act(&control, "roll_back").status, 200);
    assert_eq!((alpha.state(3).policy, beta.state(3).policy), (policy("contoso.com"), policy("contoso.com")));
}

#[test]
fn a_plan_that_makes_no_sense_changes_nothing() {
    let control = start();
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    for query in
        ["waves=", "waves=101%25", "waves=50%25,10%25", "soak_seconds=5", "waves=canary&faults_percent_max=200"]
    {
        control.api("PUT", &format!("/policy?{query}"), &[TOML], &policy("fabrikam.com")).problem(400);
    }
    // Nobody is attached, so nobody can show that it is good.
    assert!(roll_out(&control, "fabrikam.com", "waves=canary")["why"].as_str().unwrap().contains("no node"));
    assert_eq!(act(&control, "roll_back").json()["epoch"], 3);
    act(&control, "dance").problem(422);
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const TOML: (&str, &str) = ("Content-Type", "application/toml");
