//! The authority over the API and the link: a rotation step by step, and what nodes are sent meanwhile.

use serde_json::json;

use crate::control::{Control, policy, until};
use crate::node::Node;

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn served(control: &Control) -> usize {
    control.send("GET", "/ca/root.pem", &[], "").body.matches("BEGIN CERTIFICATE").count()
}

fn expiries(control: &Control) -> Vec<String> {
    let page = control.send("GET", "/metrics", &[], "").body;
    let lines = page.lines().filter_map(|line| line.strip_prefix("penstock_certificate_expiry_seconds{kind=\""));
    lines.map(|line| line.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn a_rotation_goes_step_by_step_and_nodes_follow() {
    let control = Control::start();
    control.put_policy(&policy("contoso.com"));
    let node = Node::attach(&control, "alpha");
    let first = node.state(1).issuer.unwrap();
    let before = control.get("/ca").json();
    assert_eq!((&before["rotation"], &before["origin"]), (&json!(null), &json!("penstock")));
    control.api("POST", "/ca/rotate", JSON, "{\"step\":\"finish\"}").problem(409);
    control.api("POST", "/ca/rotate", JSON, "{\"step\":\"backwards\"}").problem(422);
    control.send("POST", "/api/v1/ca/rotate", JSON, "{}").problem(401);

    let announced = control.api("POST", "/ca/rotate", JSON, "{}").json();
    assert_eq!((&announced["root"], &announced["rotation"]["phase"]), (&before["root"], &json!("announced")));
    assert_eq!((served(&control), expiries(&control).len()), (2, 3));
    control.api("POST", "/ca/rotate", JSON, "{}").problem(409);
    assert_eq!(control.get("/ca").json(), announced);

    // Killed in between, it stands where it stood.
    let control = Control::start_in(control.kill(), "");
    assert_eq!(control.get("/ca").json()["rotation"], announced["rotation"]);
    let node = Node::attach(&control, "alpha");
    assert_eq!(node.state(1).issuer.unwrap().serial, first.serial);
    let switched = control.api("POST", "/ca/rotate", JSON, "{\"step\":\"switch\"}").json();
    assert_eq!(switched["root"], announced["rotation"]["next"]);
    assert_eq!(switched["rotation"], json!({ "phase": "switched", "old": before["root"], "cross_signed": true }));
    let second = until("the new root's issuer", || {
        node.states().into_iter().filter_map(|state| state.issuer).find(|issuer| issuer.serial != first.serial)
    });
    assert_eq!(second.chain.len(), 3);
    assert!(expiries(&control).contains(&"old_root".to_owned()));
    let finished = control.api("POST", "/ca/rotate", JSON, "{\"step\":\"finish\"}").json();
    assert_eq!((&finished["rotation"], served(&control), expiries(&control).len()), (&json!(null), 1, 2));
    let der = control.send("GET", "/ca/root.crt", &[], "");
    assert_eq!((der.status, der.header("content-type")), (200, "application/x-x509-ca-cert"));
}

/// Every node gets the same keys, one for now and one for later; the disk of control holds none of them.
#[test]
fn nodes_share_ticket_keys_that_no_disk_holds() {
    let control = Control::start();
    let (alpha, beta) = (Node::attach(&control, "alpha"), Node::attach(&control, "beta"));
    let keys = alpha.tickets();
    assert_eq!(keys, beta.tickets());
    assert_eq!(keys.keys.len(), 2);
    assert!(keys.keys.iter().all(|key| key.name.len() == 16 && key.secret.len() == 32));
    assert_eq!(keys.keys[0].seals_until, keys.keys[1].seals_from);
    let mut folders = vec![control.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file() {
                let content = std::fs::read(entry.path()).unwrap();
                assert!(!content.windows(32).any(|window| window == keys.keys[0].secret), "{:?}", entry.path());
            }
        }
    }
}
