//! Inspect: a sign-in host's requests leave with the operator's headers, and everything else as it was.

use std::sync::{Arc, Mutex, mpsc};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::tunnel::STAFF;
use penstock_tests::upstream::{Then, Upstream};

const ENTRA: &str = "login.microsoftonline.com";

#[test]
fn a_sign_in_leaves_with_the_operators_headers() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    let answer = client.get(ENTRA, "/common/oauth2/v2.0/authorize?client_id=a");
    assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].sni.as_deref(), Some(ENTRA));
    let request = &seen[0].requests[0];
    assert_eq!(request.line, "GET /common/oauth2/v2.0/authorize?client_id=a HTTP/1.1");
    let values: Vec<&str> = request.values("restrict-access-to-tenants").collect();
    assert_eq!(values, ["contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"]);
    assert_eq!(request.values("user-agent").collect::<Vec<_>>(), ["penstock-tests/1"]);
}

#[test]
fn each_inspected_host_gets_its_own_headers() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let hosts = [
        "login.microsoft.com",
        "login.windows.net",
        "login.live.com",
        "claude.ai",
        "api.anthropic.com",
        "chatgpt.com",
        "accounts.google.com",
        "mail.google.com",
    ];
    for host in hosts {
        let answer = appliance.client(host).get(host, "/");
        assert_eq!(answer.status, 200, "{host}");
    }
    // The tripwire behind them has checked each host's own list.
    assert_eq!(upstream.await_requests(hosts.len()).len(), hosts.len());
}

#[test]
fn the_leaf_names_exactly_one_host() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (first, second) = (appliance.client(ENTRA).chain(), appliance.client("login.live.com").chain());
    let (_, leaf) = x509_parser::parse_x509_certificate(&first[0]).unwrap();
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(format!("{names:?}"), format!("[DNSName({ENTRA:?})]"));
    assert!(!leaf.is_ca());
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    let days = (leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp()) / 86_400;
    assert!(days <= 30, "{days} days");
    let (_, other) = x509_parser::parse_x509_certificate(&second[0]).unwrap();
    assert_ne!(leaf.raw_serial(), other.raw_serial());
}

#[test]
fn bodies_of_any_length_pass_both_ways() {
    let body: Vec<u8> = (0..3_000_017_u32).map(|index| (index % 251) as u8).collect();
    let (sent, received) = (body.clone(), Arc::new(Mutex::new(Vec::new())));
    let record = Arc::clone(&received);
    let plan = Upstream::plan().answering(move |request, out| {
        record.lock().unwrap().clone_from(&request.body);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
        out.write_all(head.as_bytes()).and_then(|()| out.write_all(&sent)).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    client.send(format!("POST /a HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    assert!(client.answer().body == body);
    assert!(*received.lock().unwrap() == body);
    client.send(format!("POST /b HTTP/1.1\r\nHost: {ENTRA}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for piece in body.chunks(70_001) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert!(client.answer().body == body);
    assert!(*received.lock().unwrap() == body);
}

/// The upstream sends the second event only after the client has the first: a relay that holds events back would hang.
#[test]
fn events_are_not_held_back() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let plan = Upstream::plan().answering(move |_, out| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        out.write_all(head).unwrap();
        for event in 0..5 {
            out.write_all(b"9\r\ndata: 1\n\n\r\n").and_then(|()| out.flush()).unwrap();
            if event < 4 {
                wait.lock().unwrap().recv().unwrap();
            }
        }
        out.write_all(b"0\r\n\r\n").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client("claude.ai");
    client.send("GET /events HTTP/1.1\r\nHost: claude.ai\r\n\r\n");
    let mut received = Vec::new();
    for event in 1..=5 {
        while received.windows(7).filter(|window| window == b"data: 1").count() < event {
            let some = client.some();
            assert!(!some.is_empty(), "the stream ended after {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&some);
        }
        let _ = go_on.send(());
    }
}

#[test]
fn an_upgrade_turns_the_connection_into_bytes() {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upstream = Upstream::plan().bytes(answer, Then::Echo).start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client("chatgpt.com");
    client.send("GET /socket HTTP/1.1\r\nHost: chatgpt.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(client.next_answer(false).unwrap().status, 101);
    let frame = b"\x81\x85mask\x00GET / HTTP/1.1\r\n\r\n\xff";
    client.send(frame);
    let mut echoed = Vec::new();
    while echoed.len() < frame.len() {
        echoed.extend(client.some());
    }
    assert_eq!(echoed, frame);
}

#[test]
fn one_client_connection_has_one_upstream_connection() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (mut first, mut second) = (appliance.client(ENTRA), appliance.client(ENTRA));
    for _ in 0..3 {
        assert_eq!(first.get(ENTRA, "/first").status, 200);
        assert_eq!(second.get(ENTRA, "/second").status, 200);
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for connection in seen {
        assert_eq!(connection.requests.len(), 3);
        assert!(connection.requests.iter().all(|request| request.line == connection.requests[0].line));
    }
}

#[test]
fn tls_1_2_works_on_either_leg() {
    let upstream = Upstream::plan().tls12().start();
    let appliance = Setup::default().upstream(&upstream).start();
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let config = client::config_mut(&[&appliance.root()], &[&rustls::version::TLS12]);
    let mut client = appliance.client_with(STAFF, ENTRA, Arc::new(config)).unwrap();
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

#[test]
fn a_resumed_connection_is_edited_too() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let config = client::config(&[&appliance.root()]);
    for _ in 0..4 {
        let mut client = appliance.client_with(STAFF, ENTRA, Arc::clone(&config)).unwrap();
        assert_eq!(client.get(ENTRA, "/").status, 200);
    }
    assert_eq!(upstream.await_requests(4).len(), 4);
}
