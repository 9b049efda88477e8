//! The link across machines: who gets in, under which name, for how long, and how little the others cost.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use penstock_core::audit::{Event, timestamp};
use penstock_core::limits::LINK_CONNECTIONS_PER_NODE_MAX;
use penstock_link::link_client::LinkClient;
use penstock_link::{AuditBatch, CONTROL_HOST_NAME, CertificateRequest, Hello, NodeCertificate, SealingPair};
use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Code;

use crate::control::{Control, policy, until};
use crate::member::{self, Key, Member, ask_to_join, guest, token};
use crate::node::Manner;

const LISTEN: &str = "[link]\nlisten = \"127.0.0.1:0\"";

fn control() -> Control {
    Control::start_in(Arc::new(TempDir::new().unwrap()), LISTEN)
}

fn node(control: &Control, name: &str) -> Option<Value> {
    let nodes = control.get("/nodes").json()["nodes"].as_array().cloned().unwrap();
    nodes.into_iter().find(|node| node["node"] == name)
}

fn event(node: &str) -> String {
    let (time, node, status) = (timestamp(1_795_000_000_000), node.to_owned(), "allowed".to_owned());
    let event =
        Event { time, node, status, flow: "1-1-0".to_owned(), source: "10.0.0.7".to_owned(), ..Event::default() };
    serde_json::to_string(&event).unwrap()
}

#[test]
fn a_node_joins_by_a_token_and_has_policy_events_and_metrics_like_any() {
    let control = control();
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    let member = Member::join(&control, "edge-1");
    let mut edge = member.attach(&control).unwrap();
    let state = edge.state(1);
    let issuer = state.issuer.unwrap();
    assert!(issuer.key.is_empty() && !issuer.sealed_key.is_empty(), "sealed inside TLS too");
    assert!(edge.tickets().keys.iter().all(|key| key.secret.is_empty() && !key.sealed_secret.is_empty()));
    until("the acknowledgement", || node(&control, "edge-1").filter(|node| node["policy_age_seconds"] == 0));
    assert_eq!(edge.record("edge-1", "boot", &[(1, event("edge-1"))]).unwrap(), 1);
    // What an event says of itself counts for nothing.
    assert_eq!(edge.record("edge-1", "boot", &[(2, event("edge-2"))]).unwrap(), 2);
    let events = control.get("/events").json();
    assert!(events["events"].as_array().unwrap().iter().all(|event| event["node"] == "edge-1"), "{events}");
    let members = control.get("/nodes").json()["members"].clone();
    assert_eq!(members[0]["node"], "edge-1");
    assert!(members[0]["certificate_expires"].is_string() && members[0]["revoked"].is_null(), "{members}");
    let trail = control.get("/trail?act=manage_nodes").json();
    assert!(trail["entries"][0]["subject"].as_str().unwrap().contains("edge-1"), "{trail}");
    assert_eq!(trail["entries"][0]["outcome"], "done");
    let page = control.send("GET", "/metrics", &[], "").body;
    assert!(page.contains("penstock_certificate_expiry_seconds{kind=\"link_authority\"}"), "{page}");
    let mode = control.state().join("link-authority.pem").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn nobody_speaks_for_another() {
    let control = control();
    let (own, other) = (Member::join(&control, "edge-1"), Member::join(&control, "edge-2"));
    let _other = other.attach(&control).unwrap();
    let spoof = own.attach_as(&control, Hello { node: "edge-2".to_owned(), ..own.hello() }).unwrap();
    assert!(spoof.let_go().contains("the certificate is that of edge-1"));
    let mut own = own.attach(&control).unwrap();
    let refused = own.record("edge-2", "boot", &[(1, event("edge-2"))]).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(control.get("/events").json()["events"].as_array().unwrap().len(), 0);
    let seen = until("both", || node(&control, "edge-2").filter(|_| node(&control, "edge-1").is_some()));
    assert_eq!((&seen["attached"], &seen["shards"]), (&Value::Bool(true), &Value::from(1)));
}

#[test]
fn a_token_is_good_once_and_not_for_long_and_only_an_admin_makes_one() {
    let control = control();
    let made = token(&control, "edge-1", 60);
    // What is no request costs the token nothing.
    assert!(ask_to_join(&control, made.secret.to_vec(), vec![0x30; 300]).is_err());
    Member::join_by(&control, &made, "edge-1").unwrap();
    let used = Member::join_by(&control, &made, "edge-1").err().unwrap();
    assert_eq!((used.code(), used.message().contains("used or over")), (Code::Unauthenticated, true), "{used}");
    let short = token(&control, "edge-2", 1);
    until("its end", || (short_refusal(&control, &short) == Some(Code::Unauthenticated)).then_some(()));
    assert!(ask_to_join(&control, vec![0; 32], Key::new().request()).is_err(), "unknown");

    let json = [("Content-Type", "application/json")];
    for (asked, status) in [
        (r#"{"node":"a b"}"#, 400),
        (r#"{"node":"edge-1","seconds":0}"#, 400),
        (r#"{"node":"edge-1","seconds":700000}"#, 400),
        (r#"{"name":"edge-1"}"#, 422),
    ] {
        control.api("POST", "/nodes/tokens", &json, asked).problem(status);
    }
    let asked = r#"{"role":"operator","days":1}"#;
    let operator = control.api("POST", "/tokens", &json, asked).json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {operator}");
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    control.send("POST", "/api/v1/nodes/tokens", &headers, r#"{"node":"edge-1"}"#).problem(403);
    control.send("POST", "/api/v1/nodes/edge-1/revoke", &headers, "").problem(403);
    control.send("POST", "/api/v1/nodes/tokens", &json, r#"{"node":"edge-1"}"#).problem(401);
    let alone = Control::start();
    alone.api("POST", "/nodes/tokens", &json, r#"{"node":"edge-1"}"#).problem(409);
    assert!(!alone.state().join("link-authority.pem").exists());
}

/// `None` while it would still be taken, which an unreadable request does not use up.
fn short_refusal(control: &Control, token: &penstock_link::JoinToken) -> Option<Code> {
    ask_to_join(control, token.secret.to_vec(), Vec::new()).err().map(|status| status.code())
}

#[test]
fn without_a_certificate_there_is_nothing_but_joining() {
    let control = control();
    let runtime = Runtime::new().unwrap();
    let channel = || runtime.block_on(member::dial(control.link(), guest(&control.state()))).unwrap();
    let batch = AuditBatch { node: "edge-1".to_owned(), boot: "boot".to_owned(), events: Vec::new() };
    let code = runtime.block_on(LinkClient::new(channel()).record_audit(batch)).unwrap_err().code();
    assert_eq!(code, Code::Unimplemented);
    let request = CertificateRequest { pkcs10: Key::new().request(), several: true };
    let code = runtime.block_on(LinkClient::new(channel()).renew_certificate(request)).unwrap_err().code();
    assert_eq!(code, Code::Unimplemented);
    let nothing = tokio_stream::iter(Vec::new());
    let code = runtime.block_on(LinkClient::new(channel()).attach(nothing)).unwrap_err().code();
    assert_eq!(code, Code::Unimplemented);
    let long = ask_to_join(&control, vec![7; 10_000], Vec::new()).unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange, "{long}");
}

#[test]
fn another_fleets_certificate_is_worth_nothing() {
    let (ours, theirs) = (control(), control());
    let foreign = Member::join(&theirs, "edge-1");
    let runtime = Runtime::new().unwrap();
    let refused = runtime.block_on(member::dial(ours.link(), Arc::clone(&foreign.tls)));
    assert!(format!("{:?}", refused.unwrap_err()).contains("UnknownIssuer"), "the node does not believe control");
    // Nor does control believe the node: it trusts our authority here, and shows the other's certificate.
    let key = Key::new();
    let mut sent = ask_to_join(&theirs, token(&theirs, "edge-2", 60).secret.to_vec(), key.request()).unwrap();
    sent.authority =
        ask_to_join(&ours, token(&ours, "edge-2", 60).secret.to_vec(), Key::new().request()).unwrap().authority;
    let disguised = Member { name: "edge-2".to_owned(), tls: key.tls(&sent) };
    assert!(disguised.attach(&ours).is_err());
    assert!(node(&ours, "edge-2").is_none());
}

#[test]
fn a_revoked_node_loses_its_link_and_comes_back_by_a_new_token_alone() {
    let control = control();
    let member = Member::join(&control, "edge-1");
    let mut edge = member.attach(&control).unwrap();
    until("it to be there", || node(&control, "edge-1"));
    control.api("POST", "/nodes/edge-9/revoke", &[], "").problem(404);
    assert_eq!(control.api("POST", "/nodes/edge-1/revoke", &[], "").status, 204);
    edge.let_go();
    assert_eq!(edge.record("edge-1", "boot", &[(1, event("edge-1"))]).unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(member.attach(&control).err().unwrap().code(), Code::PermissionDenied);
    assert!(node(&control, "edge-1").is_none());
    assert!(control.get("/nodes").json()["members"][0]["revoked"].is_string());
    // A start of control forgets nothing.
    let control = Control::start_in(control.kill(), LISTEN);
    assert_eq!(member.attach(&control).err().unwrap().code(), Code::PermissionDenied);
    let again = Member::join(&control, "edge-1");
    let _edge = again.attach(&control).unwrap();
    until("it to be back", || node(&control, "edge-1"));
    assert!(member.attach(&control).is_err(), "the old certificate stays refused");
}

#[test]
fn a_certificate_is_renewed_under_its_own_name() {
    let control = control();
    let member = Member::join(&control, "edge-1");
    let runtime = Runtime::new().unwrap();
    let channel = runtime.block_on(member::dial(control.link(), Arc::clone(&member.tls))).unwrap();
    let key = Key::new();
    let asked = CertificateRequest { pkcs10: key.request(), several: true };
    let sent = runtime.block_on(LinkClient::new(channel).renew_certificate(asked)).unwrap().into_inner();
    let renewed = Member { name: "edge-1".to_owned(), tls: key.tls(&sent) };
    let _edge = renewed.attach(&control).unwrap();
    until("it to be there", || node(&control, "edge-1").filter(|node| node["attached"] == true));
}

/// Announced, switched, finished: those who are attached stay, certificates of either are good until the end, a node of an older
/// version gets what it can believe, and afterwards the last authority is worth nothing.
#[test]
fn one_authority_of_the_link_follows_another() {
    let control = control();
    let step = |step: &str| {
        let asked = format!("{{\"step\":\"{step}\"}}");
        control.api("POST", "/nodes/authority", &[("Content-Type", "application/json")], &asked)
    };
    let is_served = |member: &Member| {
        member
            .attach(&control)
            .is_ok_and(|mut edge| edge.record(&member.name, "boot", &[(1, event(&member.name))]).is_ok())
    };
    let renewed = |member: &Member, several: bool| {
        let runtime = Runtime::new().unwrap();
        let channel = runtime.block_on(member::dial(control.link(), Arc::clone(&member.tls))).unwrap();
        let key = Key::new();
        let asked = CertificateRequest { pkcs10: key.request(), several };
        (runtime.block_on(LinkClient::new(channel).renew_certificate(asked)).unwrap().into_inner(), key)
    };
    let first = control.get("/nodes/authority").json();
    assert_eq!((&first["phase"], &first["other"]), (&"none".into(), &Value::Null));
    for early in ["switch", "finish"] {
        step(early).problem(409);
    }
    let before = Member::join(&control, "edge-1");
    let mut edge = before.attach(&control).unwrap();
    let early_token = token(&control, "edge-4", 600);

    let announced = step("announce").json();
    assert_eq!((&announced["phase"], &announced["signing"]), (&"announced".into(), &first["signing"]));
    step("announce").problem(409);
    step("finish").problem(409);
    let (sent, _) = renewed(&before, true);
    assert_eq!(sent.also.len(), 1, "the next one comes along");
    let next = sent.also[0].clone();

    let switched = step("switch").json();
    assert_eq!((&switched["signing"], &switched["other"]), (&announced["other"], &first["signing"]));
    step("switch").problem(409);
    let (sent, key) = renewed(&before, true);
    assert_eq!((&sent.authority, sent.also.len()), (&next, 1), "by the next one");
    // What controls show is still by the last one, so who believes that alone finds them.
    let last = NodeCertificate { authority: sent.also[0].clone(), also: Vec::new(), ..sent.clone() };
    let after = Member { name: "edge-1".to_owned(), tls: key.tls(&last) };
    let old = Member::join(&control, "edge-2");
    let (older, older_key) = renewed(&old, false);
    assert_eq!(older.authority, sent.also[0], "one that believes a single authority has the one that controls show");
    let older = Member { name: "edge-2".to_owned(), tls: older_key.tls(&older) };
    for member in [&before, &after, &old, &older] {
        assert!(is_served(member), "{}", member.name);
    }
    assert!(Member::join_by(&control, &early_token, "edge-4").is_ok(), "a token of before");
    assert_eq!(edge.record("edge-1", "boot", &[(2, event("edge-1"))]).unwrap(), 2, "attached all the while");

    assert_eq!(step("finish").json()["phase"], "none");
    step("finish").problem(409);
    assert_eq!(edge.record("edge-1", "boot", &[(3, event("edge-1"))]).unwrap(), 3, "attached all the while");
    let after = Member { name: "edge-1".to_owned(), tls: key.tls(&sent) };
    assert!(is_served(&after));
    for member in [&before, &older] {
        assert!(!is_served(member), "{}", member.name);
    }
    let directory = control.kill();
    let control = Control::start_in(directory, LISTEN);
    assert_eq!(control.get("/nodes/authority").json()["signing"], switched["signing"]);
    assert!(after.attach(&control).is_ok());
    let trail = control.get("/trail?act=rotate_authority").json();
    assert!(trail["entries"].as_array().unwrap().len() >= 3, "{trail}");
}

#[test]
fn what_a_node_says_of_its_epoch_moves_no_other() {
    let control = control();
    assert_eq!(control.put_policy(&policy("contoso.com")).json()["epoch"], 1);
    let member = Member::join(&control, "edge-1");
    let refuses = Manner::Refuses("control is behind");
    let ahead = member.attach_in(&control, Hello { epoch: 40, ..member.hello() }, refuses).unwrap();
    ahead.state(1);
    let refused = until("the refusal", || node(&control, "edge-1").filter(|node| node["refused"].is_object()));
    assert_eq!(refused["refused"]["epoch"], 1);
    assert_eq!(control.get("/policy/history").json()["revisions"].as_array().unwrap().len(), 1);
    // What an operator publishes next is above what any node holds.
    assert_eq!(control.put_policy(&policy("fabrikam.com")).json()["epoch"], 41);
    let mad = member.attach_as(&control, Hello { epoch: 1 << 40, ..member.hello() }).unwrap();
    assert!(mad.let_go().contains("cannot be real"));
}

#[test]
fn nothing_secret_goes_to_a_node_that_cannot_open_it() {
    let control = control();
    assert_eq!(control.put_policy(&policy("contoso.com")).status, 200);
    let member = Member::join(&control, "edge-1");
    let pair = SealingPair::generate().unwrap();
    for hello in [
        Hello { sealing_key: Vec::new(), ..member.hello() },
        Hello { ticket_sealing_key: Vec::new(), ..member.hello() },
        Hello { sealing_key: vec![0; 32], ..member.hello() },
        Hello { ticket_sealing_key: pair.public()[1..].to_vec(), ..member.hello() },
    ] {
        let node = member.attach_as(&control, hello).unwrap();
        let said = node.let_go();
        assert!(said.contains("sealed"), "{said}");
        assert!(node.states().iter().all(|state| state.issuer.as_ref().is_some_and(|issuer| issuer.key.is_empty())));
    }
}

/// What stands before authentication reads a handshake: every part of one, and what is none, ends in nothing but its own
/// connection.
#[test]
fn every_part_of_a_handshake_and_noise_leave_the_link_as_it_was() {
    let control = control();
    let name = ServerName::try_from(CONTROL_HOST_NAME).unwrap();
    let mut client = ClientConnection::new(guest(&control.state()), name).unwrap();
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    let try_bytes = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(control.link()).unwrap();
        // It may have hung up before all was written.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    };
    for end in 0..flight.len() {
        assert!(try_bytes(&flight[..end]).len() < 64, "cut at {end}: nothing but an alert");
    }
    for index in (0..flight.len()).step_by(11) {
        let mut damaged = flight.clone();
        damaged[index] ^= 0xff;
        try_bytes(&damaged);
    }
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0x16; 70_000], &[0xff; 4_096]]
    {
        try_bytes(noise);
    }
    let _edge = Member::join(&control, "edge-1").attach(&control).unwrap();
    until("a node", || node(&control, "edge-1"));
    assert!(control.send("GET", "/healthz", &[], "").status == 200);
}

/// One certificate, shown again and again: the newest connections have its places, each that is ended is counted, and others
/// get in as before.
#[test]
fn one_certificate_does_not_pile_up_connections() {
    let control = control();
    let count = LINK_CONNECTIONS_PER_NODE_MAX + 5;
    let displaced = || -> u64 {
        let page = control.send("GET", "/metrics", &[], "").body;
        let count = page.split("\npenstock_link_displaced_total ").nth(1).and_then(|rest| rest.lines().next());
        count.unwrap().parse().unwrap()
    };
    assert_eq!(displaced(), 0);
    let member = Member::join(&control, "edge-1");
    let neighbour = Member::join(&control, "edge-2");
    let mut neighbour = neighbour.attach(&control).unwrap();
    let mut attached: Vec<_> = (0..count).map(|_| member.attach(&control).unwrap()).collect();
    for edge in attached.iter_mut().take(5) {
        edge.let_go();
    }
    assert!(displaced() >= 5);
    let kept =
        attached.iter_mut().skip(5).filter_map(|edge| edge.record("edge-1", "boot", &[(1, event("edge-1"))]).ok());
    assert_eq!(kept.count(), LINK_CONNECTIONS_PER_NODE_MAX, "those that stay are served");
    assert_eq!(neighbour.record("edge-2", "boot", &[(1, event("edge-2"))]).unwrap(), 1);
    // It is one node to whoever asks, and it can always come back.
    let nodes = control.get("/nodes").json()["nodes"].as_array().cloned().unwrap();
    assert_eq!(nodes.iter().filter(|node| node["node"] == "edge-1").count(), 1, "{nodes:?}");
    drop(attached);
    until("all to be gone", || node(&control, "edge-1").filter(|node| node["attached"] == false));
    let before = displaced();
    let _edge = member.attach(&control).unwrap();
    until("it to be there", || node(&control, "edge-1").filter(|node| node["attached"] == true));
    assert_eq!(displaced(), before);
}

/// More silent connections than there are places for handshakes: each is let go after a moment, and a node gets in.
#[test]
fn silent_connections_keep_nobody_out() {
    let control = control();
    let silent: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(control.link()).unwrap()).collect();
    let member = Member::join(&control, "edge-1");
    let _edge = member.attach(&control).unwrap();
    for stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let is_over = match (&stream).read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        assert!(is_over, "let go");
    }
    assert!(node(&control, "edge-1").is_some());
}
