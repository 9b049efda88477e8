//! Controls that share in PostgreSQL who may do what, who did, and who belongs to the fleet; and in etcd who is attached where.

use std::fs;
use std::path::Path;
use std::thread;

use penstock_tests::admin::Admin;
use penstock_tests::etcd::Etcd;
use penstock_tests::place;
use penstock_tests::postgres::Postgres;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fleet::{Control, dataplane, join, joined, serves};

fn access(postgres: &Postgres) -> String {
    format!("[store.access]\npostgres = \"{}\"\n", postgres.url())
}

fn sign_in(control: &Control, name: &str, password: &str) -> u16 {
    let credentials = json!({ "user": name, "password": password }).to_string();
    control.admin().send("POST", "/api/v1/session", "application/json", &credentials).0
}

fn told_password(control: &Control) -> Option<String> {
    let log = control.log();
    let told = log.split_once("sign in as admin with the password ")?.1;
    told.split_whitespace().next().map(str::to_owned)
}

/// Who, what and on what, newest first.
fn trail(control: &Control) -> Vec<String> {
    let entries = control.admin().json("/api/v1/trail");
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("").to_owned();
    let line = |entry: &Value| ["who", "act", "subject", "outcome"].map(|field| text(entry, field)).join(" ");
    entries["entries"].as_array().unwrap().iter().map(line).collect()
}

/// What a command printed.
fn told(control: &Control, arguments: &[&str]) -> String {
    let output = control.penstock(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn of_controls_that_start_at_once_one_tells_the_first_password() {
    let Some(postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let start = |name: &str| Control::start_with(&directory.path().join(name), &access(&postgres));
    let controls: Vec<Control> = thread::scope(|scope| {
        let started: Vec<_> = ["a", "b", "c", "d"].map(|name| scope.spawn(move || start(name))).into();
        started.into_iter().map(|started| started.join().unwrap()).collect()
    });
    let passwords: Vec<String> = controls.iter().filter_map(told_password).collect();
    assert_eq!(passwords.len(), 1, "{passwords:?}");
    for control in &controls {
        assert_eq!(sign_in(control, "admin", &passwords[0]), 200);
        assert_eq!(sign_in(control, "admin", "guess"), 401);
    }
}

#[test]
fn what_is_done_at_one_control_holds_at_the_other() {
    let Some(mut postgres) = Postgres::start() else { return };
    let directory = TempDir::new().unwrap();
    let one = Control::start_with(&directory.path().join("one"), &access(&postgres));
    let other = one.start_beside(&directory.path().join("other"), &access(&postgres));

    // A user who was made at the one signs in at the other, and the session is good at either, until it is closed at one.
    let zoe = json!({ "name": "zoe", "role": "auditor", "password": "a password of hers" }).to_string();
    let added = one.admin().send("POST", "/api/v1/users", "application/json", &zoe);
    assert_eq!(added.0, 201, "{}", added.1);
    assert_eq!(sign_in(&other, "zoe", "a password of hers"), 200);
    assert_eq!(sign_in(&other, "zoe", "a guess"), 401);

    // A token that is revoked at the one is refused by the other.
    let made: Value = serde_json::from_str(&told(&one, &["token", "create", "--role", "viewer", "--json"])).unwrap();
    let bearer =
        |control: &Control| Admin::new(&control.address(), made["token"].as_str().unwrap()).get("/api/v1/policy").0;
    assert_eq!((bearer(&one), bearer(&other)), (200, 200));
    told(&other, &["token", "revoke", made["id"].as_str().unwrap()]);
    assert_eq!((bearer(&one), bearer(&other)), (401, 401));

    // Each has the trail of both.
    let acts = [
        "token:file manage_access user zoe added as auditor done".to_owned(),
        "zoe sign_in  done".to_owned(),
        "zoe sign_in  refused".to_owned(),
        format!("token:file manage_access token {} revoked done", made["id"].as_str().unwrap()),
    ];
    for control in [&one, &other] {
        let trail = trail(control);
        for act in &acts {
            assert!(trail.contains(act), "{act}: {trail:#?}");
        }
    }
    assert_eq!(trail(&one), trail(&other));

    // While the database is away nobody signs in, and the holder of the token file still sees what is in force.
    postgres.kill();
    assert_eq!(sign_in(&one, "zoe", "a password of hers"), 503);
    assert_eq!(one.admin().get("/api/v1/policy").0, 200);
    postgres.revive();
    wait::until("the database again", || (sign_in(&one, "zoe", "a password of hers") == 200).then_some(()));
}

#[test]
fn a_node_that_one_control_revokes_is_gone_from_the_other() {
    let Some(mut postgres) = Postgres::start() else { return };
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let home = directory.path().join("one");
    let one = Control::start_with(&home, &access(&postgres));
    let other = one.start_beside(&directory.path().join("other"), &access(&postgres));
    let folder = |name: &str| {
        let folder = directory.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    };

    // A token of the one is good at the other: for one of two who come with it at once.
    let token = one.token("edge-1");
    let attempt = |control: &Control, name: &str| {
        let output = join(control, &token, &folder(name).join("state"));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let outcomes = thread::scope(|scope| {
        let first = scope.spawn(|| attempt(&one, "node"));
        let second = scope.spawn(|| attempt(&other, "twin"));
        [first.join().unwrap(), second.join().unwrap()]
    });
    let joined = outcomes.iter().position(|(code, _)| *code == Some(0)).unwrap_or_else(|| panic!("{outcomes:?}"));
    let (code, said) = &outcomes[1 - joined];
    assert!(*code == Some(1) && said.contains("used or over"), "{outcomes:?}");
    let state: &Path = &folder(["node", "twin"][joined]);

    // It is attached to the other, which the one revokes it from; while the database was away the link stayed.
    let node = dataplane(state, &[&other], &upstream, "").unwrap();
    other.await_node("edge-1", 1);
    serves(&node, &home);
    postgres.kill();
    wait::until("the other to notice", || other.log().contains("is not heard of").then_some(()));
    assert_eq!(other.admin().metrics().sum("penstock_link_up", &[]), 1.0);
    postgres.revive();
    let listed = wait::until("the database again", || {
        let output = one.penstock(&["node", "list"]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    assert!(listed.contains("edge-1"), "{listed}");
    other.await_node("edge-1", 1);
    assert!(!node.log().contains("was revoked"), "{}", node.log());
    told(&one, &["node", "revoke", "edge-1"]);
    other.await_away("edge-1");
    wait::until("the refusal", || node.log().contains("was revoked").then_some(()));
    serves(&node, &home);

    // By a token of the other it is back, at both.
    assert!(join(&one, &other.token("edge-1"), &state.join("state")).status.success());
    other.await_node("edge-1", 1);
}

/// Every control shows the nodes of all, with who holds them; those of a control that is killed are gone with its lease.
#[test]
fn each_control_shows_the_nodes_of_all() {
    let Some(etcd) = Etcd::start() else { return };
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let policy = |name: &str| format!("[store.policy]\netcd = [\"{}\"]\nname = \"{name}\"\n", etcd.url());
    let one = Control::start_with(&directory.path().join("one"), &policy("one"));
    let other = one.start_beside(&directory.path().join("other"), &policy("other"));
    let nodes: Vec<_> = [("edge-1", &one), ("edge-2", &other)]
        .map(|(name, control)| {
            let folder = directory.path().join(name);
            fs::create_dir(&folder).unwrap();
            joined(control, name, &folder.join("state"));
            dataplane(&folder, &[control], &upstream, "").unwrap()
        })
        .into();
    let holder = |asked: &Control, name: &str| {
        let node = asked.node(name).filter(|node| node["attached"] == true)?;
        Some((node["control"].as_str()?.to_owned(), node["policy_age_seconds"].as_u64()))
    };
    for asked in [&one, &other] {
        for (name, control) in [("edge-1", "one"), ("edge-2", "other")] {
            wait::until(&format!("{name} at {control}"), || {
                (holder(asked, name) == Some((control.to_owned(), Some(0)))).then_some(())
            });
        }
        let listed = told(asked, &["node", "list"]);
        let words = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap().contains("other");
        assert!(!words("edge-1") && words("edge-2"), "{listed}");
    }
    // What one publishes is seen to be in force at the other's node.
    let epoch = one.admin().apply(&place::read(place::example_policy()));
    one.await_node("edge-2", epoch);

    let home = other.kill();
    wait::until("the lease to end", || one.node("edge-2").is_none().then_some(()));
    assert!(holder(&one, "edge-1").is_some());
    let other = Control::run(home);
    wait::until("it again", || holder(&one, "edge-2").filter(|(control, _)| control == "other"));
    wait::until("the one's too", || holder(&other, "edge-1"));
    drop(nodes);
}
