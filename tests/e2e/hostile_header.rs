//! Section C of the hostile cases, through the wire: a client that brings the header itself, in every disguise. Behind
//! each stands the tripwire; a request that got through with a disguise ends the test there.

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http::Answer;
use penstock_tests::tripwire::{self, RESTRICTION_HEADERS};
use penstock_tests::upstream::{Then, Upstream};

const ENTRA: &str = "login.microsoftonline.com";

fn before(upstream: &Upstream) -> Appliance {
    Setup::default().upstream(upstream).shards(1).start()
}

/// Sends a request with extra header lines; `None` when the connection closed without an answer.
fn with(appliance: &Appliance, lines: &str) -> Option<Answer> {
    let mut client = appliance.client(ENTRA);
    client.send(format!("GET /x HTTP/1.1\r\nHost: {ENTRA}\r\n{lines}\r\n"));
    client.next_answer(false)
}

/// Must get through, and reach the origin with the operator's headers alone.
fn must_pass(appliance: &Appliance, upstream: &Upstream, lines: &str) {
    let answer = with(appliance, lines);
    assert_eq!(answer.as_ref().map(|answer| answer.status), Some(200), "{lines:?}: {answer:?}");
    upstream.verify();
}

/// Must not reach the origin as it is: refused with 400, or cleaned.
fn must_not_harm(appliance: &Appliance, upstream: &Upstream, lines: &str) {
    let status = with(appliance, lines).map(|answer| answer.status);
    assert!(matches!(status, None | Some(200 | 400 | 431)), "{lines:?}: {status:?}");
    upstream.verify();
}

#[test]
fn h045_every_case_and_every_number_of_copies_is_replaced() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for header in RESTRICTION_HEADERS {
        let mixed: String = header
            .char_indices()
            .map(|(at, letter)| if at % 2 == 0 { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() })
            .collect();
        let lines = format!(
            "{header}: evil.example\r\n{}: a, b,c\r\n{}:d\r\n{mixed}:\t e \t\r\n",
            header.to_lowercase(),
            header.to_uppercase()
        );
        must_pass(&appliance, &upstream, &lines);
    }
    let copies = "Restrict-Access-To-Tenants: evil.example\r\n";
    must_pass(&appliance, &upstream, &copies.repeat(60));
    must_not_harm(&appliance, &upstream, &copies.repeat(1000));
    assert_eq!(upstream.requests().len(), RESTRICTION_HEADERS.len() + 1);
}

#[test]
fn h046_twins_under_folding_are_removed_or_refused() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for header in RESTRICTION_HEADERS {
        for twin in [header.replace('-', "_"), header.replace('-', "."), header.replacen('-', "_", 1)] {
            must_pass(&appliance, &upstream, &format!("{twin}: evil.example\r\n"));
        }
        for look_alike in [
            format!("{header} "),
            format!("{header}\t"),
            format!("{header}\0"),
            header.replace('e', "\u{435}"),
            format!(" {header}"),
        ] {
            must_not_harm(&appliance, &upstream, &format!("{look_alike}: evil.example\r\n"));
        }
    }
}

#[test]
fn h046_numbered_continuations_are_removed() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for number in ["0", "1", "7", "10", "007", "4294967296", "99999999999999999999999999"] {
        for name in ["anthropic-allowed-org-ids", "Anthropic_Allowed.Org-IDs"] {
            must_pass(&appliance, &upstream, &format!("{name}{number}: 99999999-2222-3333-4444-555555555555\r\n"));
        }
    }
}

#[test]
fn h047_a_nomination_cannot_remove_the_header() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for nomination in [
        "Connection: Restrict-Access-To-Tenants\r\n",
        "Connection: keep-alive, restrict-access-to-tenants\r\n",
        "connection: RESTRICT-ACCESS-CONTEXT , keep-alive\r\n",
        "Connection: close\r\nConnection: Restrict-Access-To-Tenants\r\n",
        "Connection: restrict_access_to_tenants\r\n",
        "Connection:,,Restrict-Access-To-Tenants,\r\n",
        "Proxy-Connection: Restrict-Access-To-Tenants\r\n",
        "Connection: Host\r\n",
    ] {
        must_not_harm(&appliance, &upstream, nomination);
    }
}

#[test]
fn h048_a_trailer_cannot_carry_the_header() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for announced in ["", "Trailer: Restrict-Access-To-Tenants\r\n", "TE: trailers\r\n"] {
        let mut client = appliance.client(ENTRA);
        client.send(format!(
            "POST /x HTTP/1.1\r\nHost: {ENTRA}\r\nTransfer-Encoding: chunked\r\n{announced}\r\n\
             3\r\nabc\r\n0\r\nRestrict-Access-To-Tenants: evil.example\r\nX-Other: y\r\n\r\n"
        ));
        let status = client.next_answer(false).map(|answer| answer.status);
        assert!(matches!(status, None | Some(200 | 400)), "{announced:?}: {status:?}");
        upstream.verify();
        if status == Some(200) {
            assert_eq!(client.get(ENTRA, "/next").status, 200);
        }
    }
    for request in upstream.requests() {
        assert!(!request.values("trailer").any(|name| tripwire::restriction(name).is_some()), "{request:?}");
    }
}

#[test]
fn h049_a_folded_line_cannot_hide_it() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    for lines in [
        "X-Long: a\r\n Restrict-Access-To-Tenants: evil.example\r\n",
        "X-Long: a\r\n\tb\r\n",
        "Restrict-Access-To-Tenants:\r\n evil.example\r\n",
    ] {
        assert_eq!(with(&appliance, lines).map(|answer| answer.status), Some(400), "{lines:?}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h051_every_request_of_a_connection_carries_it() {
    let upstream = Upstream::plan().answering(|request, out| {
        let answer: &[u8] = match request.target() {
            "/denied" => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
            "/interim" => b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        };
        out.write_all(answer).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let appliance = before(&upstream);
    let mut client = appliance.client(ENTRA);
    let paths = ["/a", "/denied", "/empty", "/same", "/head", "/interim", "/chunked", "/upgrade", "/b"];
    for round in 0..2 {
        let mut statuses = vec![];
        for path in paths {
            let method = if path == "/head" { "HEAD" } else { "GET" };
            let extra = if path == "/upgrade" { "Connection: Upgrade\r\nUpgrade: websocket\r\n" } else { "" };
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: {ENTRA}\r\nRestrict-Access-To-Tenants: e\r\n{extra}\r\n");
            client.send(request);
            let mut status = client.next_answer(path == "/head").expect(path).status;
            while status < 200 {
                status = client.next_answer(false).expect(path).status;
            }
            statuses.push(status);
        }
        assert_eq!(statuses, [200, 403, 204, 304, 200, 200, 200, 200, 200], "round {round}");
    }
    let pipelined: String = (0..40)
        .map(|index| format!("GET /p{index} HTTP/1.1\r\nHost: {ENTRA}\r\nrestrict_access_context: e\r\n\r\n"))
        .collect();
    client.send(pipelined);
    for index in 0..40 {
        assert_eq!(client.answer().status, 200, "{index}");
    }
    let requests = upstream.await_requests(2 * paths.len() + 40);
    assert!(requests.iter().all(|request| tripwire::check(request, tripwire::ENTRA).is_ok()));
}

#[test]
fn h055_two_families_on_one_host_are_set_whole() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    assert_eq!(with(&appliance, "Restrict-Access-Context: e\r\n").map(|answer| answer.status), Some(200));
    let request = &upstream.requests()[0];
    for (name, value) in tripwire::ENTRA {
        assert_eq!(request.values(name).collect::<Vec<_>>(), [*value]);
    }
}

/// A client's headers that are no restriction arrive as they were sent, in their order.
#[test]
fn everything_else_arrives_as_it_was_sent() {
    let upstream = Upstream::plan().start();
    let appliance = before(&upstream);
    let lines = "X-First: 1\r\nCookie: a=b; c=d\r\nx-second:2\r\nAccept: */*\r\nAuthorization: Bearer x.y.z\r\nX-Empty:\r\nX-First: 3\r\n";
    must_pass(&appliance, &upstream, lines);
    let request = &upstream.requests()[0];
    let kept: Vec<String> = request.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let own = kept.iter().filter(|field| !field.starts_with("Restrict-Access-")).cloned().collect::<Vec<_>>();
    let host = format!("Host={ENTRA}");
    let sent = [
        host.as_str(),
        "X-First=1",
        "Cookie=a=b; c=d",
        "x-second=2",
        "Accept=*/*",
        "Authorization=Bearer x.y.z",
        "X-Empty=",
        "X-First=3",
    ];
    assert_eq!(own, sent);
}
