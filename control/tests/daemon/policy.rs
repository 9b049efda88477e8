//! The life of a policy: published, acknowledged, refused, rolled back, never backwards.

use std::fs;
use std::sync::Arc;

use penstock_link::Hello;
use tempfile::TempDir;

use crate::control::{Control, policy, until};
use crate::node::{Manner, Node};

#[test]
fn a_policy_lives_from_publication_to_rollback() {
    let control = Control::start();
    control.get("/policy").problem(404);
    assert!(!control.ready());

    let first = control.put_policy(&policy("contoso.com"));
    assert_eq!((first.status, first.json()["epoch"].as_u64()), (200, Some(1)), "{}", first.body);
    assert!(!control.ready(), "no data plane has it");

    let node = Node::attach(&control, "alpha");
    let state = node.state(1);
    assert_eq!(state.policy, policy("contoso.com"));
    let issuer = state.issuer.unwrap();
    assert_eq!(issuer.chain.len(), 2);
    assert!(issuer.not_before < issuer.not_after && !issuer.key.is_empty());
    until("readiness", || control.ready().then_some(()));

    let second = control.put_policy(&policy("fabrikam.com"));
    assert_eq!(second.status, 200, "{}", second.body);
    assert_eq!(second.json()["epoch"], 2);
    assert_eq!(second.json()["nodes"][0]["node"], "alpha");
    assert_eq!(second.json()["nodes"][0]["state"], "installed");
    assert_eq!(node.state(2).issuer.unwrap().serial, issuer.serial, "the same hosts keep their issuer");

    let active = control.get("/policy");
    assert_eq!((active.header("etag"), active.body.as_str()), ("\"2\"", policy("fabrikam.com").as_str()));
    assert_eq!(control.get("/policy?epoch=1").body, policy("contoso.com"));

    let stale = [("Content-Type", "application/toml"), ("If-Match", "\"1\"")];
    control.api("PUT", "/policy", &stale, &policy("other.example")).problem(412);
    let rollback = control.api("POST", "/policy/rollback", &[JSON], r#"{"epoch":1,"author":"me"}"#);
    assert_eq!(rollback.json()["epoch"], 3, "{}", rollback.body);
    assert_eq!(node.state(3).policy, policy("contoso.com"));
    control.api("POST", "/policy/rollback", &[JSON], r#"{"epoch":99}"#).problem(404);

    // One step back, unless somebody was quicker.
    let unnamed = [JSON, ("If-Match", "\"2\"")];
    control.api("POST", "/policy/rollback", &unnamed, "{}").problem(412);
    let unnamed = [JSON, ("If-Match", "\"3\"")];
    assert_eq!(control.api("POST", "/policy/rollback", &unnamed, "{}").json()["epoch"], 4);
    assert_eq!(node.state(4).policy, policy("fabrikam.com"));

    let history = control.get("/policy/history").json();
    let told: Vec<_> = history["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|revision| {
            (revision["epoch"].as_u64().unwrap(), revision["source"].as_str().unwrap(), revision["active"] == true)
        })
        .collect();
    assert_eq!(told, [(4, "rollback", true), (3, "rollback", false), (2, "api", false), (1, "api", false)]);
}

#[test]
fn a_difference_names_hosts_sources_and_users() {
    let control = Control::start();
    let toml = [("Content-Type", "application/toml")];
    let first = control.api("POST", "/policy/diff", &toml, &policy("contoso.com")).json();
    assert_eq!((&first["epoch"], first["hosts_added"].as_array().unwrap().len()), (&serde_json::Value::Null, 3));
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    let exception =
        "[[exception]]\nwho = [\"alice\"]\nwhy = \"a case\"\nuntil = 2099-12-31\nrestrictions = [\"entra\"]\n";
    let wider = policy("contoso.com").replace("127.0.0.0/8", "127.0.0.0/8\", \"10.0.0.0/8") + exception;
    let told = control.api("POST", "/policy/diff", &toml, &wider).json();
    let changes = told["verdicts_changed"].as_array().unwrap();
    assert!(changes.iter().any(|one| one["sources"] == serde_json::json!(["10.0.0.0-10.255.255.255"])), "{told}");
    assert!(changes.iter().any(|one| one["user"] == "alice" && one["after"] == "pass (exception)"), "{told}");
    control.api("POST", "/policy/diff", &toml, &policy("no tenant")).problem(422);
    assert_eq!(control.get("/policy/history").json()["revisions"].as_array().unwrap().len(), 1);

    assert_eq!(control.put_policy(&wider).status, 200);
    let exceptions = control.get("/policy/exceptions").json();
    assert_eq!(exceptions["exceptions"][0]["until"], "2100-01-01T00:00:00.000Z");
    let over = wider.replace("2099", "2025");
    let checked = control.api("POST", "/policy/check", &toml, &over).json();
    let codes: Vec<_> =
        checked["warnings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["exception-expired"]);
}

#[test]
fn json_is_taken_as_toml_is() {
    let control = Control::start();
    let document = control.api("PUT", "/policy", &[JSON], r#"{"deny":{"hosts":["onedrive.live.com"]}}"#);
    assert_eq!(document.status, 200, "{}", document.body);
    let answer = control.api("POST", "/policy/explain", &[JSON], r#"{"sni":"onedrive.live.com"}"#);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        control.api("GET", "/policy", &[("Accept", "application/json")], "").json()["deny"]["hosts"][0],
        "onedrive.live.com"
    );
}

#[test]
fn a_node_that_refuses_is_named_and_keeps_what_it_had() {
    let control = Control::start();
    let node = Node::attach(&control, "alpha");
    let other = Node::attach(&control, "beta");
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    node.behave(Manner::Refuses("shard 1 did not answer"));
    let answer = control.put_policy(&policy("fabrikam.com"));
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.json()["nodes"][0]["state"], "refused");
    assert_eq!(answer.json()["nodes"][0]["reason"], "shard 1 did not answer");
    assert_eq!(answer.json()["nodes"][1]["state"], "installed");
    let nodes = control.get("/nodes").json();
    assert_eq!(nodes["epoch"], 2);
    assert_eq!(
        (&nodes["nodes"][0]["epoch"], &nodes["nodes"][0]["refused"]["epoch"]),
        (&1.into(), &2.into()),
        "{nodes}"
    );
    assert_eq!(nodes["nodes"][1]["epoch"], 2);
    assert_eq!(other.states().len(), 2);
}

#[test]
fn a_node_that_does_not_answer_or_is_away_is_named() {
    let control = Control::start_in(Arc::new(TempDir::new().unwrap()), "acknowledge_deadline_ms = 200");
    let node = Node::attach(&control, "alpha");
    let away = Node::attach(&control, "beta");
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    drop(away);
    until("beta to be away", || (control.get("/nodes").json()["nodes"][1]["attached"] == false).then_some(()));
    node.behave(Manner::IsSilent);
    let answer = control.put_policy(&policy("fabrikam.com"));
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert_eq!(answer.json()["nodes"][0]["state"], "late");
    assert_eq!(answer.json()["nodes"][1]["state"], "away");
    let back = Node::attach(&control, "beta");
    assert_eq!(back.state(2).policy, policy("fabrikam.com"));
    until("readiness", || control.ready().then_some(()));
}

#[test]
fn a_bad_policy_changes_nothing() {
    let control = Control::start();
    let node = Node::attach(&control, "alpha");
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    for (text, line) in [
        (policy("not a tenant"), 4),
        (policy("contoso.com").replace("microsoft-entra", "microsoft-entrance"), 3),
        (format!("{}surprise = 1\n", policy("contoso.com")), 15),
        ("[[restriction]\n".to_owned(), 1),
    ] {
        let refused = control.api("PUT", "/policy?file=mine.toml", &[("Content-Type", "application/toml")], &text);
        let problem = refused.problem(422);
        let first = &problem["diagnostics"][0];
        assert_eq!((first["file"].as_str(), first["line"].as_u64()), (Some("mine.toml"), Some(line)), "{problem}");
        assert!(first["column"].as_u64().is_some() && first["message"].as_str().is_some(), "{problem}");
        let checked = control.api("POST", "/policy/check", &[("Content-Type", "application/toml")], &text);
        checked.problem(422);
    }
    assert_eq!(control.get("/policy").header("etag"), "\"1\"");
    assert_eq!(control.get("/policy/history").json()["revisions"].as_array().unwrap().len(), 1);
    assert_eq!(node.states().len(), 1);
    let good = control.api("POST", "/policy/check", &[("Content-Type", "application/toml")], &policy("a.example"));
    assert_eq!((good.status, good.json()["valid"].as_bool()), (200, Some(true)));
}

#[test]
fn epochs_never_go_backwards_even_when_the_store_is_lost() {
    let control = Control::start();
    assert_eq!(control.put_policy(&policy("contoso.com")).json()["epoch"], 1);
    let hello = |epoch| Hello { node: "alpha".to_owned(), epoch, ..Hello::default() };
    let node = Node::attach_as(&control, hello(17));
    assert_eq!(node.state(18).policy, policy("contoso.com"));
    assert!(node.states().iter().all(|state| state.epoch == 18), "it was never sent a smaller one");
    assert_eq!(control.put_policy(&policy("fabrikam.com")).json()["epoch"], 19);
    assert_eq!(control.get("/policy/history").json()["revisions"][1]["source"], "recovery");
    // An epoch that cannot be real must not use up the numbers.
    let absurd = Node::attach_as(&control, Hello { node: "beta".to_owned(), epoch: u64::MAX, ..Hello::default() });
    assert!(absurd.let_go().contains("cannot be real"));
    assert_eq!(control.put_policy(&policy("contoso.com")).json()["epoch"], 20);
}

#[test]
fn a_restart_keeps_revisions_root_and_issuer() {
    let control = Control::start();
    let node = Node::attach(&control, "alpha");
    control.put_policy(&policy("contoso.com"));
    control.put_policy(&policy("fabrikam.com"));
    let (history, ca) = (control.get("/policy/history").body, control.get("/ca").json());
    let (root, token) = (control.send("GET", "/ca/root.pem", &[], "").body, control.token());
    drop(node);
    let control = Control::start_in(control.kill(), "");
    assert_eq!(control.get("/policy/history").body, history);
    assert_eq!(control.get("/ca").json(), ca);
    assert_eq!(control.send("GET", "/ca/root.pem", &[], "").body, root);
    assert_eq!(control.token(), token);
    let node = Node::attach(&control, "alpha");
    assert_eq!(node.state(2).policy, policy("fabrikam.com"));
    assert_eq!(control.put_policy(&policy("contoso.com")).json()["epoch"], 3);
}

#[test]
fn the_policy_file_is_imported_once_and_a_bad_one_keeps_what_is_stored() {
    let directory = Arc::new(TempDir::new().unwrap());
    let file = directory.path().join("policy.toml");
    let more = format!("policy_file = {file:?}");
    fs::write(&file, policy("not a tenant")).unwrap();
    let refused = Control::try_start_in(Arc::clone(&directory), &more).err().expect("nothing to put in force");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("{}:4:", file.display())), "{said}");

    fs::write(&file, policy("contoso.com")).unwrap();
    let control = Control::start_in(Arc::clone(&directory), &more);
    assert_eq!(control.get("/policy").header("etag"), "\"1\"");
    control.put_policy(&policy("fabrikam.com"));
    let control = Control::start_in(control.kill(), &more);
    assert_eq!(control.get("/policy").body, policy("fabrikam.com"), "an unchanged file undoes nothing");

    fs::write(&file, policy("not a tenant")).unwrap();
    let control = Control::start_in(control.kill(), &more);
    assert_eq!(control.get("/policy").header("etag"), "\"2\"");
    fs::write(&file, policy("tailspin.example")).unwrap();
    let control = Control::start_in(control.kill(), &more);
    assert_eq!(control.get("/policy").header("etag"), "\"3\"");
    assert_eq!(control.get("/policy").body, policy("tailspin.example"));
}

#[test]
fn an_explanation_has_the_contracts_keys() {
    let control = Control::start();
    control.api("POST", "/policy/explain", &[JSON], r#"{"sni":"login.microsoftonline.com"}"#).problem(404);
    control.put_policy(&policy("contoso.com"));
    let answer = control.api("POST", "/policy/explain", &[JSON], r#"{"sni":"LOGIN.microsoftonline.com."}"#).json();
    assert_eq!(answer["verdict"], "inspect", "{answer}");
    assert_eq!(
        (&answer["profile"], &answer["mode"], &answer["epoch"]),
        (&"staff".into(), &"enforce".into(), &1.into())
    );
    assert_eq!(answer["connectors"][0], "microsoft-entra");
    assert_eq!(answer["set"][0]["name"], "Restrict-Access-To-Tenants");
    assert!(answer["strip"].as_array().unwrap().iter().any(|name| name == "Restrict-Access-Context"), "{answer}");
    let other =
        serde_json::json!({ "sni": "login.microsoftonline.com", "policy": "[deny]\nhosts = [\"x.example\"]\n" });
    let answer = control.api("POST", "/policy/explain", &[JSON], &other.to_string()).json();
    assert_eq!((&answer["verdict"], &answer["epoch"]), (&"pass".into(), &serde_json::Value::Null), "{answer}");
    for (question, status) in [(r#"{"sni":"127.0.0.1"}"#, 422), ("{}", 422), (r#"{"sni":"a","x":1}"#, 422), ("{", 400)]
    {
        control.api("POST", "/policy/explain", &[JSON], question).problem(status);
    }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
