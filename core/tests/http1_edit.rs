//! Ordinary traffic through the exchange: what is edited, what streams, what ends a connection, what the audit is told.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;

use drive::{BLOCK, Drive, HOST, OK, forwarded, forwarded_by, get, post};
use penstock_core::catalogue::DenialCode;
use penstock_core::http1::{EditFault, Exchange, Gather, Response};
use penstock_core::limits::{AUDIT_PATH_BYTES_MAX, DENIAL_SCAN_BYTES_MAX};
use penstock_core::policy::Mode;
use penstock_core::sni::Sni;

/// Requests of real clients, captured on loopback (testdata/http1/capture.py).
const CHROMIUM: &str = include_str!("../testdata/http1/chromium-post.http");
const CURL: &str = include_str!("../testdata/http1/curl-get.http");
const WEBSOCKET: &str = include_str!("../testdata/http1/chromium-websocket.http");

const ENTRA_REFUSAL: &str = "<html>AADSTS500021: Access to 'evil' tenant is denied.</html>";

fn with_block(request: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{BLOCK}"), 1)
}

/// An answer with a body of this length.
fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn answered(answer: &str) -> (Drive, Response) {
    let mut drive = Drive::new();
    drive.egress(get("")).ingress(answer);
    assert_eq!((drive.fault, drive.downstream_text()), (None, answer));
    assert_eq!(drive.responses.len(), 1, "{answer:?}");
    let response = drive.responses.remove(0);
    (drive, response)
}

#[test]
fn a_browsers_request_is_three_pieces() {
    for request in [CHROMIUM, CURL, WEBSOCKET] {
        assert_eq!(forwarded(request), with_block(request));
    }
    let mut exchange = Drive::new().exchange;
    let mut gather = Gather::new();
    assert_eq!(exchange.handle_egress(CHROMIUM.as_bytes(), &mut gather), Ok(CHROMIUM.len()));
    let line_end = CHROMIUM.find('\n').unwrap() + 1;
    assert_eq!(gather.pieces(), [&CHROMIUM.as_bytes()[..line_end], BLOCK.as_bytes(), &CHROMIUM.as_bytes()[line_end..]]);
}

#[test]
fn requests_of_many_kinds_keep_their_bytes() {
    for request in [
        get(""),
        get("a:b\r\nC:\t d \r\nempty:\r\n"),
        get("Connection: close\r\nX: y\r\n"),
        get("Keep-Alive: timeout=5\r\nConnection: Keep-Alive\r\n").replace("1.1\r", "1.0\r"),
        post("Content-Length: 0\r\n", ""),
        post("", ""),
        post("Content-Length: 11\r\nExpect: 100-continue\r\n", "hello world"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6;a=\"b;c\"\r\n world\r\n00\r\n\r\n"),
        "OPTIONS * HTTP/1.1\r\nhOsT:login.example\r\n\r\n".to_owned(),
        format!("PROPFIND /dav?x=\"y|z\" HTTP/1.1\r\nHost: {HOST}\r\nDepth: 1\r\nContent-Length: 2\r\n\r\n<>"),
    ] {
        assert_eq!(forwarded(&request), with_block(&request));
    }
}

#[test]
fn the_flows_port_may_stand_in_host() {
    let request = get("").replace(HOST, "login.example:8443");
    let mut exchange = Exchange::with_port(drive::edit(Mode::Enforce), HOST.parse::<Sni>().unwrap(), 8443);
    let mut gather = Gather::new();
    assert_eq!(exchange.handle_egress(request.as_bytes(), &mut gather), Ok(request.len()));
    let mut other = Exchange::new(drive::edit(Mode::Enforce), HOST.parse::<Sni>().unwrap());
    assert_eq!(other.handle_egress(request.as_bytes(), &mut Gather::new()), Err(EditFault::HostWrong));
}

#[test]
fn bodies_are_never_held_back() {
    let mut drive = Drive::new();
    drive.egress(post("Content-Length: 1000\r\n", ""));
    for piece in ["a", "bc", "def"] {
        drive.egress(piece);
        assert!(drive.upstream_text().ends_with(piece));
    }
    let mut drive = Drive::new();
    drive
        .egress(get(""))
        .ingress("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["9\r\ndata: a\n\n\r\n", "6\r\nda", "t", "a: ", "\r\n"] {
        drive.ingress(piece);
        assert!(drive.downstream_text().ends_with(piece));
    }
    let mut drive = Drive::new();
    drive.egress(get("")).ingress("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n");
    assert!(drive.downstream_text().ends_with("data: a\n\n"));
}

#[test]
fn what_a_request_tells_the_audit() {
    let mut drive = Drive::new();
    drive
        .egress(CHROMIUM)
        .egress(get("Restrict_Access.Context: a\r\nUser-Agent: curl/8.14.1 x\r\nrestrict_access.context: b\r\n"));
    let first = &drive.requests[0];
    assert_eq!((first.number, first.method, &*first.path), (0, "POST", "/common/oauth2/v2.0/token"));
    assert_eq!((first.agent.as_deref(), first.target_tenant.as_deref()), (Some("Mozilla/5.0"), Some("common")));
    assert!(first.stripped.is_empty());
    let second = &drive.requests[1];
    assert_eq!(
        (second.number, second.agent.as_deref(), second.target_tenant.as_deref()),
        (1, Some("curl/8.14.1"), None)
    );
    assert_eq!(second.stripped, ["restrict_access.context"]);
    let mut drive = Drive::new();
    drive.egress(format!("GET https://{HOST}/a/{}?secret HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "b".repeat(5000)));
    assert_eq!(drive.requests[0].path, format!("/a/{}", "b".repeat(AUDIT_PATH_BYTES_MAX - 3)));
    assert_eq!(drive.requests[0].agent, None);
}

#[test]
fn refusals_are_recognised_wherever_they_stand() {
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{}\r\n{:x};x=y\r\n{}\r\n0\r\n\r\n",
        &ENTRA_REFUSAL[..18],
        ENTRA_REFUSAL.len() - 18,
        &ENTRA_REFUSAL[18..]
    );
    let until_close = format!("HTTP/1.1 200 OK\r\n\r\n{ENTRA_REFUSAL}");
    let late = answer("", &format!("{}{ENTRA_REFUSAL}", " ".repeat(DENIAL_SCAN_BYTES_MAX - ENTRA_REFUSAL.len())));
    for answer in [&answer("", ENTRA_REFUSAL), &chunked, &until_close, &late] {
        let (_, response) = answered(answer);
        assert_eq!((response.number, response.status, response.denial), (0, Some(200), Some(DenialCode::Aadsts500021)));
        // Split at every byte, also within the text and the chunk line.
        for cut in (0..answer.len()).step_by(answer.len() / 512 + 1) {
            let mut drive = Drive::new();
            drive.egress(get("")).ingress(&answer[..cut]).ingress(&answer[cut..]);
            assert_eq!(drive.responses, std::slice::from_ref(&response), "{cut}");
        }
    }
    let claude = "HTTP/1.1 403 Forbidden\r\nrequest-id: req_011\r\nContent-Length: 44\r\n\r\n\
        {\"error_code\":\"tenant_restriction_violation\"}";
    let claude = claude.replace("44", &(claude.len() - claude.find("{").unwrap()).to_string());
    let (_, response) = answered(&claude);
    assert_eq!((response.status, response.denial), (Some(403), Some(DenialCode::TenantRestrictionViolation)));
}

#[test]
fn the_vendors_request_id_is_kept() {
    for (fields, id) in [
        ("X-MS-Request-Id:  aaaa-0 \r\n", Some("aaaa-0")),
        ("request-id: req_1\r\nx-ms-request-id: b\r\n", Some("b")),
        ("x-ms-request-id: a b\r\n", None),
        ("x-other: a\r\n", None),
    ] {
        assert_eq!(answered(&answer(fields, "x")).1.vendor_request_id.as_deref(), id, "{fields}");
    }
}

#[test]
fn an_answer_is_judged_once_and_as_soon_as_it_can_be() {
    let mut drive = Drive::new();
    drive.egress(get("")).ingress("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    assert!(drive.responses.is_empty());
    drive.ingress(" ".repeat(DENIAL_SCAN_BYTES_MAX - 1));
    assert!(drive.responses.is_empty());
    drive.ingress("  ");
    assert_eq!(drive.statuses(), [Some(200)]);
    drive.ingress(" ".repeat(1_000_000 - DENIAL_SCAN_BYTES_MAX - 1));
    assert_eq!((drive.statuses().len(), drive.exchange.is_idle()), (1, true));
    // Coded content shows nothing.
    let mut drive = Drive::new();
    drive
        .egress(get(""))
        .ingress("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\nAADSTS500021: ");
    assert_eq!((drive.statuses(), drive.responses[0].denial), (vec![Some(200)], None));
}

#[test]
fn a_body_without_length_ends_with_the_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nto the end",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nHTTP/1.0 200 OK\r\n\r\n",
    ] {
        let mut drive = Drive::new();
        drive.egress(get("").repeat(2)).ingress(answer);
        assert!(!drive.exchange.must_close() && !drive.exchange.may_answer());
        assert_eq!(drive.exchange.handle_ingress_end(), Ok(()));
        drive.poll();
        assert_eq!((drive.downstream_text(), drive.statuses()), (answer, vec![Some(200), None]));
        assert!(drive.exchange.must_close() && drive.exchange.is_idle());
    }
}

#[test]
fn what_ends_a_connection() {
    let http_1_0 = OK.replace("1.1", "1.0");
    for (request, answer, ends) in [
        (get(""), OK.to_owned(), false),
        (get("Connection: close\r\n"), OK.to_owned(), true),
        (get("").replace("1.1\r", "1.0\r"), OK.to_owned(), true),
        (get("Connection: keep-alive\r\n").replace("1.1\r", "1.0\r"), OK.to_owned(), false),
        (get(""), OK.replacen("\r\n", "\r\nConnection: x, CLOSE\r\n", 1), true),
        (get(""), http_1_0.clone(), true),
        (get(""), http_1_0.replacen("\r\n", "\r\nConnection: Keep-Alive\r\n", 1), false),
        (get(""), "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(), false),
        (get(""), "HTTP/1.1 301\r\nContent-Length: 0\r\n\r\n".to_owned(), false),
        (get("").replace("GET", "HEAD"), "HTTP/1.1 200 OK\r\n\r\n".to_owned(), false),
    ] {
        let mut drive = Drive::new();
        drive.egress(&request).egress(&request).ingress(&answer);
        assert_eq!((drive.fault, drive.exchange.must_close()), (None, ends), "{request:?} {answer:?}");
        assert_eq!(drive.downstream_text(), answer);
        if ends {
            let went_upstream = drive.requests.len();
            drive.egress(get("")).ingress(OK);
            assert_eq!((drive.requests.len(), drive.downstream_text()), (went_upstream, &*answer));
            assert_eq!(drive.responses.len(), went_upstream);
        }
    }
}

#[test]
fn nothing_follows_a_request_that_is_the_last() {
    let mut drive = Drive::new();
    drive.egress(get("Connection: close\r\n")).egress(get(""));
    assert!(drive.exchange.egress_blocked());
    assert_eq!(drive.requests.len(), 1);
}

#[test]
fn when_downstream_ends() {
    let mut drive = Drive::new();
    assert_eq!(drive.exchange.handle_egress_end(), Ok(()));
    assert!(drive.exchange.must_close());
    let mut drive = Drive::new();
    drive.egress(get(""));
    assert_eq!(drive.exchange.handle_egress_end(), Ok(()));
    assert!(!drive.exchange.must_close());
    drive.ingress(OK);
    assert!(drive.exchange.must_close() && drive.downstream_text() == OK);
    for begun in [
        "G",
        "GET / HTTP/1.1\r\nHost:",
        &post("Content-Length: 5\r\n", "hell"),
        &post("Transfer-Encoding: chunked\r\n", "5\r\n"),
    ] {
        let mut drive = Drive::new();
        drive.egress(begun);
        assert_eq!(drive.exchange.handle_egress_end(), Err(EditFault::RequestTruncated), "{begun:?}");
        assert_eq!(
            drive.exchange.handle_ingress(b"HTTP/1.1 200", &mut Gather::new()),
            Err(EditFault::RequestTruncated)
        );
    }
}

#[test]
fn when_upstream_ends() {
    let mut drive = Drive::new();
    assert_eq!(drive.exchange.handle_ingress_end(), Ok(()));
    assert!(drive.exchange.must_close());
    for (begun, may_answer) in [
        ("", true),
        ("HTTP/1.1 20", true),
        ("HTTP/1.1 100 C\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false),
    ] {
        let mut drive = Drive::new();
        drive.egress(get("")).ingress(begun);
        assert_eq!(drive.exchange.handle_ingress_end(), Err(EditFault::ResponseTruncated), "{begun:?}");
        assert_eq!(drive.exchange.may_answer(), may_answer, "{begun:?}");
    }
}

#[test]
fn an_abort_accounts_for_every_request() {
    let mut drive = Drive::new();
    drive.egress(get("").repeat(3)).ingress("HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nAADSTS500021:");
    drive.exchange.handle_abort();
    drive.exchange.handle_abort();
    drive.poll();
    let told: Vec<_> =
        drive.responses.iter().map(|response| (response.number, response.status, response.denial.is_some())).collect();
    assert_eq!(told, [(0, Some(403), true), (1, None, false), (2, None, false)]);
    assert!(drive.exchange.must_close() && !drive.exchange.may_answer());
}

#[test]
fn an_answer_of_our_own_is_never_taken_for_another_requests() {
    // Two requests wait; the third is malformed: its refusal would be read as the first one's answer.
    let mut drive = Drive::new();
    drive.egress(get("").repeat(2)).egress("junk");
    assert_eq!((drive.fault, drive.exchange.may_answer()), (Some(EditFault::MethodMalformed), false));
    // The malformed body is the first request's own.
    let mut drive = Drive::new();
    drive.egress(post("Transfer-Encoding: chunked\r\n", "")).egress("x\r\n");
    assert_eq!((drive.fault, drive.exchange.may_answer()), (Some(EditFault::ChunkMalformed), true));
    // Its answer is on its way.
    let mut drive = Drive::new();
    drive.egress(post("Transfer-Encoding: chunked\r\n", "")).ingress(&OK[..OK.len() - 1]).egress("x\r\n");
    assert_eq!((drive.fault, drive.exchange.may_answer()), (Some(EditFault::ChunkMalformed), false));
    // Nobody waits, and a deadline passes.
    assert!(Drive::new().exchange.may_answer());
}

#[test]
fn report_only_changes_nothing_and_tells_what_enforcing_would_change() {
    let odd = "Connection: Upgrade, HTTP2-Settings, restrict-access-context\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\
        Restrict-Access-Context: a\r\nProxy-Authorization: b\r\nTE: gzip\r\nTrailer: x\r\n";
    let request =
        post(&format!("{odd}Transfer-Encoding: chunked\r\n"), "5\r\nhello\r\n0\r\nRestrict-Access-Context: c\r\n\r\n");
    let unblocked = request.replace("Upgrade, ", "").replace("Upgrade: h2c\r\n", "");
    assert_eq!(forwarded_by(Drive::report_only, unblocked.as_bytes()), unblocked);
    let mut drive = Drive::report_only();
    drive.egress(&request);
    assert_eq!(
        (drive.upstream_text(), &drive.requests[0].stripped[..]),
        (&*request, &["restrict-access-context".to_owned()][..])
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"\r\nContent-Length: {}\r\n\r\n{ENTRA_REFUSAL}",
        ENTRA_REFUSAL.len()
    );
    drive.ingress(&answer);
    assert_eq!((drive.downstream_text(), drive.responses[0].denial), (&*answer, Some(DenialCode::Aadsts500021)));
    let mut drive = Drive::report_only();
    drive.egress(get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
    assert_eq!((drive.fault, &drive.upstream[..]), (Some(EditFault::LengthAndEncoding), &b""[..]));
}
