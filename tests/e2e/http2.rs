//! HTTP/2 on inspected hosts: the origin's choice of protocol, and every stream edited while frames pass.
//!
//! The tripwire behind these tests checks every stream of every connection.

use std::sync::{Arc, Mutex, mpsc};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::http::Request;
use penstock_tests::http2::Ask;
use penstock_tests::place;
use penstock_tests::process;
use penstock_tests::saas::Saas;
use penstock_tests::tunnel::STAFF;
use penstock_tests::upstream::{Plan, Then, Upstream};
use penstock_tests::wait;
use rustix::process::Signal;
use rustls::{AlertDescription, Error};

const ENTRA: &str = "login.microsoftonline.com";

/// Answers with the request's body.
fn echo() -> Plan {
    Upstream::plan().answering(|request, out| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        out.write_all(head.as_bytes()).and_then(|()| out.write_all(&request.body)).map_or(Then::Reset, |()| Then::Keep)
    })
}

fn one<'a>(request: &'a Request, name: &'a str) -> &'a str {
    let values: Vec<&str> = request.values(name).collect();
    assert_eq!(values.len(), 1, "{name} in {request:?}");
    values[0]
}

/// What a client that offers `offer` is given by an appliance before an origin that speaks `spoken`.
fn agreed(spoken: &[&'static str], offer: &[&str]) -> Result<Option<String>, Error> {
    let upstream = Upstream::plan().speaking(spoken).start();
    let appliance = Appliance::before(&upstream);
    let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    config.alpn_protocols = offer.iter().map(|name| name.as_bytes().to_vec()).collect();
    match appliance.client_with(STAFF, ENTRA, Arc::new(config)) {
        Ok(client) => Ok(client.alpn().map(|name| String::from_utf8(name).unwrap())),
        Err(error) => Err(error.get_ref().unwrap().downcast_ref::<Error>().unwrap().clone()),
    }
}

#[test]
fn h095_the_client_is_given_what_the_origin_chose() {
    let both = ["h2", "http/1.1"];
    let said = |name: &str| Ok(Some(name.to_owned()));
    assert_eq!(agreed(&both, &both), said("h2"));
    assert_eq!(agreed(&["http/1.1"], &both), said("http/1.1"));
    assert_eq!(agreed(&both, &["http/1.1"]), said("http/1.1"));
    assert_eq!(agreed(&[], &both), Ok(None));
    assert_eq!(agreed(&both, &[]), Ok(None));
    assert_eq!(agreed(&["http/1.1"], &["h2"]), Err(Error::AlertReceived(AlertDescription::HandshakeFailure)));
}

#[test]
fn an_origin_without_the_extension_speaks_http_1_1() {
    let upstream = Upstream::plan().speaking(&[]).start();
    let appliance = Appliance::before(&upstream);
    let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = appliance.client_with(STAFF, ENTRA, Arc::new(config)).unwrap();
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

#[test]
fn h051_a_sign_in_leaves_with_the_operators_headers_on_every_stream() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for number in 0..20 {
        let ask = Ask::get(ENTRA, &format!("/common/authorize?number={number}")).field("user-agent", "tests/2");
        let answer = client.ask(ask.field("x-number", &number.to_string())).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
    }
    let seen = upstream.seen();
    assert_eq!((seen.len(), seen[0].alpn.as_deref(), seen[0].sni.as_deref()), (1, Some("h2"), Some(ENTRA)));
    for (number, request) in seen[0].requests.iter().enumerate() {
        assert_eq!(request.line, format!("GET /common/authorize?number={number} HTTP/2"));
        assert_eq!(one(request, "user-agent"), "tests/2");
        assert_eq!(one(request, "x-number"), number.to_string());
    }
    let events = appliance.admin().await_events("connector=microsoft-entra", 20);
    assert!(events.iter().all(|event| event["http"] == "2" && event["status"] == "allowed"), "{events:?}");
    let counted = || appliance.admin().metrics().sum("penstock_requests_total", &["http=\"2\""]);
    wait::until("the requests to be counted", || (counted() >= 20.0).then_some(()));
}

/// The client's own header, in every form that its encoder has: indexed, not indexed, under a folded name, and after the
/// dynamic table has turned over.
#[test]
fn a_header_that_the_client_brings_is_replaced_on_every_stream() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for number in 0..60 {
        let mut ask = Ask::get(ENTRA, &format!("/{number}")).field("x-before", "same");
        ask = match number % 4 {
            0 => ask.field("restrict-access-to-tenants", "evil.example"),
            1 => ask.sensitive("restrict-access-to-tenants", "evil.example"),
            2 => ask.field("restrict_access_to_tenants", "evil.example").field("restrict-access-to-tenants", "other"),
            _ => ask,
        };
        ask = ask.field("x-after", &"a".repeat(50 * (number % 7))).field("x-number", &number.to_string());
        assert_eq!(client.ask(ask).unwrap().status, 200, "{number}");
    }
    let requests = upstream.await_requests(60);
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(request.line, format!("GET /{number} HTTP/2"));
        assert_eq!(one(request, "x-before"), "same");
        assert_eq!(one(request, "x-after"), "a".repeat(50 * (number % 7)));
        assert_eq!(one(request, "x-number"), number.to_string());
    }
    let events = appliance.admin().await_events("limit=100", 60);
    let stripped =
        events.iter().filter(|event| event["headers_stripped"].as_array().is_some_and(|own| !own.is_empty()));
    assert_eq!(stripped.count(), 45);
}

#[test]
fn many_streams_at_once_keep_their_bodies_apart() {
    let upstream = echo().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    let body = |number: usize| format!("{number};").repeat(number * 10);
    let asks = (0..200).map(|number| Ask::post(ENTRA, &format!("/{number}"), body(number))).collect();
    for (number, answer) in client.ask_all(asks).into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.text()), (200, body(number)));
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[test]
fn large_bodies_pass_both_ways() {
    let upstream = echo().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client("claude.ai");
    let bytes = if place::quick() { 3_000_017 } else { 48_000_017_u32 };
    let body: Vec<u8> = (0..bytes).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let asks = (0..3).map(|number| Ask::post("claude.ai", &format!("/{number}"), body.clone())).collect();
    for answer in client.ask_all(asks) {
        assert!(answer.unwrap().body == body);
    }
    assert!(upstream.requests().iter().all(|request| request.body == body));
}

/// The upstream sends the next event only after the client has the one before: a relay that holds events back would hang.
#[test]
fn events_are_not_held_back() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let plan = Upstream::plan().answering(move |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for _ in 0..5 {
            out.write_all(b"9\r\ndata: 1\n\n\r\n").unwrap();
            wait.lock().unwrap().recv().unwrap();
        }
        out.write_all(b"0\r\n\r\n").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client("claude.ai");
    let mut events = client.open(Ask::get("claude.ai", "/events")).unwrap();
    for _ in 0..5 {
        assert_eq!(client.piece(&mut events).unwrap().unwrap(), "data: 1\n\n");
        go_on.send(()).unwrap();
    }
    assert_eq!(client.rest(&mut events).unwrap(), "");
}

#[test]
fn trailers_and_interim_heads_of_answers_pass() {
    let plan = Upstream::plan().answering(|_, out| {
        out.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n").unwrap();
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        let end = b"5\r\nhello\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n";
        out.write_all(end).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for number in 0..3 {
        let ask = Ask::post(ENTRA, &format!("/{number}"), "a message").field("te", "trailers");
        let answer = client.ask(ask).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        let trailers = [("grpc-status", "0"), ("grpc-message", "fine")];
        assert_eq!(answer.trailers, trailers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

#[test]
fn trailers_of_requests_do_not_reach_the_origin() {
    let upstream = echo().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    for _ in 0..3 {
        let ask = Ask::post(ENTRA, "/", "a body").trailer("restrict-access-to-tenants", "evil.example");
        assert_eq!(client.ask(ask.trailer("x-checksum", "1")).unwrap().text(), "a body");
        assert_eq!(client.ask(Ask::get(ENTRA, "/")).unwrap().status, 200);
    }
}

/// A stream for another host is answered here; the connection goes on, and the origin never hears of it.
#[test]
fn another_authority_is_misdirected_on_its_stream_alone() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    let hosts = ["login.live.com", "login.microsoftonline.com.evil.example", "login.microsoftonline.com:8443"];
    for host in hosts {
        assert_eq!(client.ask(Ask::get(host, "/elsewhere").field("x-new", host)).unwrap().status, 421, "{host}");
        assert_eq!(client.ask(Ask::post(host, "/elsewhere", "a body")).unwrap().status, 421, "{host}");
        assert_eq!(client.ask(Ask::get(ENTRA, "/here").field("x-new", host)).unwrap().status, 200);
        assert_eq!(client.ask(Ask::get(&format!("{ENTRA}:443"), "/here")).unwrap().status, 200);
    }
    let requests = upstream.requests();
    assert_eq!((upstream.seen().len(), requests.len()), (1, 6));
    assert!(requests.iter().all(|request| request.target() == "/here"));
    let refused = appliance.admin().await_events("status=fault", 6);
    assert!(refused.iter().all(|event| event["code"] == "host_wrong" && event["http"] == "2"), "{refused:?}");
}

/// The appliance's own frames to either leg, answers and credits, stand between those that pass, never within one.
#[test]
fn own_frames_stand_between_those_that_pass() {
    let upstream = echo().start();
    let appliance = Appliance::before(&upstream);
    let client = appliance.http2_client(ENTRA);
    let body = vec![42; 700_001];
    let asks: Vec<Ask> = (0..60)
        .map(|number| match number % 3 {
            0 => Ask::post(ENTRA, &format!("/{number}"), body.clone()),
            1 => Ask::post("login.live.com", "/refused", body.clone()),
            _ => Ask::get("login.live.com", "/refused"),
        })
        .collect();
    for (number, answer) in client.ask_all(asks).into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.status, if number % 3 == 0 { 200 } else { 421 }, "{number}");
        assert!(number % 3 != 0 || answer.body == body, "{number}");
    }
    assert_eq!(upstream.requests().len(), 20);
}

/// What breaks the protocol ends the connection, and the client is told by GOAWAY before it does.
#[test]
fn a_broken_connection_ends_with_goaway() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = appliance.client_with(STAFF, ENTRA, Arc::new(config)).unwrap();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // The origin's SETTINGS, before which no other frame may come.
    let mut bytes = client.some();
    // DATA of a stream that was never opened.
    client.send(b"\0\0\x01\0\0\0\0\0\x01x");
    bytes.extend(client.rest());
    let mut rest = bytes.as_slice();
    let mut last = None;
    while let [high, middle, low, kind, _, _, _, _, _, after @ ..] = rest {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        last = Some((*kind, after[..length].to_vec()));
        rest = &after[length..];
    }
    let (kind, payload) = last.unwrap();
    assert_eq!((kind, &payload[4..8]), (7, &[0, 0, 0, 1][..]), "GOAWAY with PROTOCOL_ERROR");
    wait::until("the flow to end", || {
        let metrics = appliance.admin().metrics();
        (metrics.sum("penstock_flows_active", &[]) == 0.0).then_some(())
    });
}

/// A drain lets the open stream finish, and a stream that comes later is not taken.
#[test]
fn a_drain_finishes_open_streams() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let plan = Upstream::plan().answering(move |request, out| {
        if request.target() != "/slow" {
            return out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").map_or(Then::Reset, |()| Then::Keep);
        }
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n").unwrap();
        wait.lock().unwrap().recv().unwrap();
        out.write_all(b"3\r\nend\r\n0\r\n\r\n").map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.http2_client(ENTRA);
    let mut open = client.open(Ask::get(ENTRA, "/slow")).unwrap();
    assert_eq!(client.piece(&mut open).unwrap().unwrap(), "begin");
    process::signal(appliance.pid("dataplane"), Signal::TERM);
    wait::until("the connection to take no more streams", || client.ask(Ask::get(ENTRA, "/late")).err());
    go_on.send(()).unwrap();
    assert_eq!(client.rest(&mut open).unwrap(), "end");
    assert_eq!(client.ended(), None);
}

/// Whichever library speaks TLS on a leg, the protocol is the origin's choice and the streams pass.
#[test]
fn both_tls_engines_carry_it() {
    for (upstream_engine, downstream_engine) in [("boring", "rustls"), ("rustls", "boring"), ("boring", "boring")] {
        let upstream = echo().start();
        let engines = format!(
            "\n[[engine]]\nhosts = [\"{ENTRA}\"]\nupstream = \"{upstream_engine}\"\ndownstream = \"{downstream_engine}\"\n"
        );
        let policy = place::read(place::example_policy()) + &engines;
        let appliance = Setup::default().policy(&policy).upstream(&upstream).start();
        let client = appliance.http2_client(ENTRA);
        let body = vec![7; 1_000_003];
        let asks = (0..8).map(|number| Ask::post(ENTRA, &format!("/{number}"), body.clone())).collect();
        assert!(client.ask_all(asks).into_iter().all(|answer| answer.unwrap().body == body));
        assert_eq!(client.ask(Ask::get("login.live.com", "/")).unwrap().status, 421);
        assert_eq!(upstream.seen()[0].alpn.as_deref(), Some("h2"));
    }
}

#[test]
fn an_appliance_that_only_reports_changes_nothing() {
    let upstream = Upstream::plan().expecting(penstock_tests::upstream::no_expectations).start();
    let policy = place::read(place::example_policy()).replace("mode = \"enforce\"", "mode = \"report-only\"");
    let appliance = Setup::default().policy(&policy).upstream(&upstream).start();
    let client = appliance.http2_client(ENTRA);
    let ask = Ask::post(ENTRA, "/", "a body").field("restrict-access-to-tenants", "evil.example").trailer("x", "y");
    assert_eq!(client.ask(ask).unwrap().status, 200);
    let request = upstream.await_requests(1).remove(0);
    assert_eq!(one(&request, "restrict-access-to-tenants"), "evil.example");
    assert_eq!(request.trailers.len(), 1);
    assert_eq!(request.values("restrict-access-context").count(), 0);
    let events = appliance.admin().await_events("status=would_deny", 1);
    assert_eq!(events[0]["http"], "2");
}

#[test]
fn a_vendors_refusal_is_found_over_http_2() {
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let client = appliance.http2_client("api.anthropic.com");
    let ask = |key: &str| Ask::get("api.anthropic.com", "/v1/models").field("x-api-key", key);
    assert_eq!(client.ask(ask("sk-ant-permitted")).unwrap().status, 200);
    let refused = client.ask(ask("sk-ant-foreign")).unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
    let events = appliance.admin().await_events("status=denied&connector=anthropic-claude", 1);
    assert_eq!((&events[0]["code"], &events[0]["http"]), (&"tenant_restriction_violation".into(), &"2".into()));
}
