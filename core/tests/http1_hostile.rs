//! Hostile cases of HTTP/1.1 that the exchange alone decides, one test each, by the case's number.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;
#[path = "http1/strict.rs"]
mod strict;

use drive::{BLOCK, Drive, HOST, OK, SET, forwarded, get, post, refused};
use std::sync::Arc;

use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::EditFault;
use penstock_core::limits::{HTTP1_FIELD_BYTES_MAX, HTTP1_HEAD_BYTES_MAX, HTTP1_PIPELINE_MAX};
use penstock_core::policy::{HeaderEdit, Mode};

/// What `get(fields)` becomes when `kept` are the fields that stay.
fn edited_get(kept: &str) -> String {
    format!("GET / HTTP/1.1\r\n{BLOCK}Host: {HOST}\r\n{kept}\r\n")
}

/// The request goes on with `kept` in place of `fields`, and the invariant holds.
fn check_edit(fields: &str, kept: &str) {
    let upstream = forwarded(get(fields));
    assert_eq!(upstream, edited_get(kept), "{fields:?}");
    let (seen, tail) = strict::requests(upstream.as_bytes());
    assert_eq!((seen.len(), tail), (1, strict::Tail::None));
    strict::check_invariant(&seen[0], SET);
}

/// A request with `fields` alone, `Host` not among them.
fn bare(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\n{fields}\r\n")
}

fn status_of(input: &str) -> u16 {
    refused(input).status()
}

#[test]
fn h031_fronting_inside_inspection() {
    assert_eq!(status_of(&bare("Host: other.example\r\n")), 421);
    assert_eq!(status_of(&format!("GET https://other.example/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n")), 400);
}

#[test]
fn h035_absolute_form_host_and_sni_must_agree() {
    let with = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for target in
        ["https://other.example/", "http://login.example/", "https://login.example:8443/", "https://u@login.example/"]
    {
        assert_eq!(status_of(&with(target, HOST)), 400, "{target}");
    }
    assert_eq!(refused(with("https://login.example/", "other.example")), EditFault::HostWrong);
    let agreed = with("https://Login.Example:443/a?b", HOST);
    assert_eq!(forwarded(&agreed), agreed.replacen("\r\n", &format!("\r\n{BLOCK}"), 1));
}

#[test]
fn h036_host_forms() {
    for host in [HOST, "LOGIN.Example", "login.example.", "login.example:443"] {
        let request = bare(&format!("Host: {host}\r\n"));
        assert_eq!(forwarded(&request), request.replacen("\r\n", &format!("\r\n{BLOCK}"), 1));
    }
    for host in ["login.example:80", "other.example", "login.example.other.example"] {
        assert_eq!(status_of(&bare(&format!("Host: {host}\r\n"))), 421, "{host}");
    }
    for host in [
        "login.example:0443",
        "login.example:",
        "user@login.example",
        "login.example/x",
        "login.example#x",
        "",
        "127.0.0.1",
    ] {
        assert_eq!(status_of(&bare(&format!("Host: {host}\r\n"))), 400, "{host}");
    }
    assert_eq!(refused(bare("")), EditFault::HostMissing);
    for second in [HOST, "other.example"] {
        assert_eq!(refused(bare(&format!("Host: {HOST}\r\nhOST: {second}\r\n"))), EditFault::HostTwice);
    }
}

#[test]
fn h038_h2c_is_removed() {
    check_edit("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "");
    let upstream = forwarded(get("Connection: close, Upgrade\r\nUpgrade: h2c, websocket\r\nA: b\r\n"));
    assert_eq!(upstream, format!("GET / HTTP/1.1\r\n{BLOCK}Connection: close\r\nHost: {HOST}\r\nA: b\r\n\r\n"));
}

#[test]
fn h039_connect_inside() {
    assert_eq!(status_of(&format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n")), 405);
    assert_eq!(status_of(&format!("TRACE / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")), 405);
}

const WEBSOCKET: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn h040_nothing_passes_before_the_101() {
    let mut drive = Drive::new();
    drive.egress(get(WEBSOCKET)).egress(b"\x81\x85frame");
    assert_eq!(drive.upstream_text(), edited_get(WEBSOCKET));
    assert_eq!(drive.egress_waiting(), b"\x81\x85frame");
    assert!(
        drive.exchange.egress_blocked() && !drive.exchange.is_upgraded() && drive.exchange.request_in_head().is_none()
    );
    drive.ingress([SWITCHING.as_bytes(), b"\x82\x01\0"].concat());
    assert!(drive.exchange.is_upgraded() && !drive.exchange.egress_blocked() && !drive.exchange.must_close());
    assert!(drive.upstream.ends_with(b"\r\n\r\n\x81\x85frame"));
    assert!(drive.downstream.ends_with(b"\r\n\r\n\x82\x01\0"));
    drive.egress(b"GET / HTTP/1.1\n").ingress(b"\0\0");
    assert!(drive.upstream.ends_with(b"GET / HTTP/1.1\n") && drive.downstream.ends_with(b"\0\0"));
    assert_eq!((drive.fault, drive.statuses()), (None, vec![Some(101)]));
    assert_eq!(drive.exchange.handle_egress_end(), Ok(()));
}

#[test]
fn h040_what_follows_a_refused_upgrade_is_a_request() {
    let smuggled = get("Restrict-Access-To-Tenants: evil.example\r\n");
    let mut drive = Drive::new();
    drive.egress(get(WEBSOCKET)).egress(&smuggled).ingress(OK);
    assert_eq!(drive.upstream_text(), edited_get(WEBSOCKET) + &edited_get(""));
    let mut drive = Drive::new();
    drive.egress(get(WEBSOCKET)).egress(b"\x81\x85frame").ingress(OK);
    assert_eq!(drive.fault, Some(EditFault::MethodMalformed));
    assert_eq!(drive.upstream_text(), edited_get(WEBSOCKET));
    assert_eq!(drive.downstream_text(), OK);
}

#[test]
fn h040_only_a_right_request_may_be_upgraded() {
    for request in [
        get("Upgrade: websocket\r\n"),
        get("Connection: Upgrade\r\n"),
        get("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n"),
        get("Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n"),
        post("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
        get("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n").replace("1.1\r", "1.0\r"),
    ] {
        let upstream = forwarded(&request);
        assert!(!upstream.to_lowercase().contains("upgrade"), "{upstream}");
        let mut drive = Drive::new();
        drive.egress(&request).ingress(SWITCHING);
        assert_eq!(drive.fault, Some(EditFault::ResponseUpgrade), "{request}");
    }
    let mut drive = Drive::new();
    drive.egress(get(WEBSOCKET)).ingress(SWITCHING.replace("websocket", "h2c"));
    assert_eq!(drive.fault, Some(EditFault::ResponseUpgrade));
}

#[test]
fn h040_a_websocket_needs_the_policy_or_a_connector_that_cannot_do_without() {
    for (connector, said, allowed) in [
        (ConnectorId::AnthropicClaude, None, false),
        (ConnectorId::AnthropicClaude, Some(true), true),
        (ConnectorId::Slack, None, true),
        (ConnectorId::OpenaiChatgpt, None, true),
        (ConnectorId::Slack, Some(false), false),
    ] {
        let edit = HeaderEdit::new(Mode::Enforce, &[connector], vec![]);
        let edit = if let Some(said) = said { edit.with_websocket(said) } else { edit };
        let mut drive = Drive::with(&Arc::new(edit));
        drive.egress(get(WEBSOCKET)).ingress(SWITCHING);
        assert_eq!(drive.upstream_text().contains("Upgrade"), allowed, "{connector}");
        assert_eq!((drive.exchange.is_upgraded(), drive.fault.is_none()), (allowed, allowed), "{connector}");
    }
}

#[test]
fn h041_http2_preface() {
    assert_eq!(refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), EditFault::Http2Preface);
}

#[test]
fn h045_copies_in_any_case_are_replaced() {
    for copies in [1, 2, 96] {
        let fields = "rEsTrIcT-aCcEsS-tO-tEnAnTs: evil.example, *\r\n".repeat(copies);
        check_edit(&fields, "");
    }
    check_edit("A: b\r\nRestrict-Access-Context:\r\nC: d\r\n", "A: b\r\nC: d\r\n");
    assert_eq!(status_of(&get(&"Restrict-Access-To-Tenants: a\r\n".repeat(1000))), 431);
}

#[test]
fn h046_twins_are_removed_or_refused() {
    for name in strict::RESTRICTION_HEADERS {
        for twin in [name.to_string(), name.to_uppercase(), name.replace('-', "_"), name.replacen('-', ".", 1)] {
            check_edit(&format!("{twin}: evil\r\nB: c\r\n"), "B: c\r\n");
        }
        for twin in [
            format!("{name} "),
            format!("{name}\t"),
            format!("{name}\0"),
            format!(" {name}"),
            name.replace('e', "\u{435}").replace('o', "\u{43e}"),
        ] {
            assert_eq!(status_of(&get(&format!("{twin}: evil\r\n"))), 400, "{twin:?}");
        }
    }
    check_edit("anthropic-allowed-org-ids7: a\r\nAnthropic_Allowed.Org-Ids12: b\r\n", "");
}

#[test]
fn h047_nominations_are_consumed() {
    for (connection, kept) in [
        ("Restrict-Access-To-Tenants", ""),
        ("close, RESTRICT-ACCESS-TO-TENANTS", "Connection: close\r\n"),
        ("restrict_access_context ,keep-alive,x-y", "Connection: keep-alive\r\n"),
        ("TE, keep-alive, Upgrade", "Connection: keep-alive\r\n"),
    ] {
        let upstream = forwarded(get(&format!("A: b\r\nConnection: {connection}\r\n")));
        assert_eq!(upstream, format!("GET / HTTP/1.1\r\n{BLOCK}{kept}Host: {HOST}\r\nA: b\r\n\r\n"), "{connection}");
        strict::check_invariant(&strict::requests(upstream.as_bytes()).0[0], SET);
    }
    let two = get("Connection: x-y\r\nX-Y: 1\r\nA: b\r\nConnection: keep-alive\r\nx-Y: 2\r\n");
    assert_eq!(
        forwarded(two),
        format!("GET / HTTP/1.1\r\n{BLOCK}Connection: keep-alive\r\nHost: {HOST}\r\nA: b\r\n\r\n")
    );
    check_edit("Connection: Keep-Alive, TE\r\nTE: trailers\r\n", "Connection: Keep-Alive, TE\r\nTE: trailers\r\n");
    for nomination in ["Host", "content-length", "Transfer_Encoding", "Connection", "Cookie"] {
        assert_eq!(refused(get(&format!("Connection: {nomination}\r\n"))), EditFault::ConnectionNomination);
    }
}

#[test]
fn h048_request_trailers_are_dropped() {
    let trailers = "Restrict-Access-To-Tenants: evil.example\r\nX-Sum: 1\r\n";
    for announced in ["", "Trailer: Restrict-Access-To-Tenants\r\n"] {
        let upstream = forwarded(post(
            &format!("{announced}Transfer-Encoding: chunked\r\n"),
            &format!("5;a=b\r\nhello\r\n0\r\n{trailers}\r\n"),
        ));
        let body = "5;a=b\r\nhello\r\n0\r\n\r\n";
        assert_eq!(
            upstream,
            format!("POST / HTTP/1.1\r\n{BLOCK}Host: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
        );
    }
}

#[test]
fn h049_folded_lines() {
    assert_eq!(refused(get("A: b\r\n Restrict-Access-To-Tenants: evil\r\n")), EditFault::FieldFolded);
    assert_eq!(refused(get("Restrict-Access-To-Tenants:\r\n\tevil\r\n")), EditFault::FieldFolded);
    assert_eq!(refused("GET / HTTP/1.1\r\n evil: x\r\nHost: login.example\r\n\r\n"), EditFault::FieldFolded);
}

#[test]
fn h051_every_request_of_a_connection() {
    let mut drive = Drive::new();
    drive.egress([get(""), get("A: 1\r\n"), get("A: 2\r\n")].concat());
    drive
        .ingress(OK)
        .ingress("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .ingress("HTTP/1.1 204 No Content\r\n\r\n");
    drive.egress(post("Expect: 100-continue\r\nContent-Length: 3\r\n", ""));
    drive.ingress("HTTP/1.1 100 Continue\r\n\r\n").egress("abc").ingress("HTTP/1.1 304 Not Modified\r\n\r\n");
    drive.egress(get("").replace("GET", "HEAD")).ingress("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    drive.egress(get(WEBSOCKET)).ingress(OK).egress(get("A: 3\r\n")).ingress(OK);
    assert_eq!(drive.fault, None);
    let (seen, tail) = strict::requests(&drive.upstream);
    assert_eq!((seen.len(), tail), (7, strict::Tail::None));
    for request in &seen {
        strict::check_invariant(request, SET);
    }
    assert_eq!(drive.statuses(), [200, 404, 204, 304, 200, 200, 200].map(Some));
    assert!(drive.exchange.is_idle() && !drive.exchange.must_close());
}

#[test]
fn h057_length_and_encoding() {
    for fields in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "TRANSFER-ENCODING: chunked\r\nContent-Length: 0\r\n"]
    {
        assert_eq!(refused(post(fields, "0\r\n\r\n")), EditFault::LengthAndEncoding);
    }
}

#[test]
fn h058_several_lengths() {
    for fields in ["Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\ncontent-length: 6\r\n"] {
        assert_eq!(refused(post(fields, "hello")), EditFault::ContentLengthTwice);
    }
    assert_eq!(refused(post("Content-Length: 5, 5\r\n", "hello")), EditFault::ContentLengthMalformed);
}

#[test]
fn h059_odd_lengths() {
    for length in [
        " +5",
        " -5",
        " 0x5",
        " 5_0",
        "  5",
        " 5 ",
        "",
        " ",
        " 9223372036854775808",
        " 18446744073709551616",
        "\t5",
        " 05",
        " 00",
        " -0",
        " 5.0",
        " 5e0",
        " 999999999999999999999999999999",
        " \u{665}",
        " 5\u{a0}",
        " 5;a",
    ] {
        assert_eq!(
            refused(post(&format!("Content-Length:{length}\r\n"), "hello")),
            EditFault::ContentLengthMalformed,
            "{length:?}"
        );
    }
    for length in [" 5", "5"] {
        let request = post(&format!("Content-Length:{length}\r\n"), "hello");
        assert_eq!(forwarded(&request), request.replacen("\r\n", &format!("\r\n{BLOCK}"), 1));
    }
    assert_eq!(refused(post("Content_Length: 5\r\n", "")), EditFault::FieldTwin);
}

#[test]
fn h060_odd_codings() {
    for coding in [
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "xchunked",
        "identity",
        "gzip, chunked",
        "chunked;q=1",
        "gzip",
        "Chunked",
        " chunked",
        "chunked ",
        "\tchunked",
        "",
        "\"chunked\"",
        "chunked, identity",
    ] {
        assert_eq!(status_of(&post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n")), 501, "{coding}");
    }
    assert_eq!(status_of(&post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")), 400);
    assert_eq!(status_of(&post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")), 501);
    assert_eq!(refused(post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")).status(), 501);
    assert_eq!(refused(post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")), EditFault::FieldNameMalformed);
    assert_eq!(refused(post("Transfer_Encoding: chunked\r\n", "0\r\n\r\n")), EditFault::FieldTwin);
}

#[test]
fn h061_encoding_on_http_1_0() {
    let request = post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(refused(request), EditFault::TransferEncodingHttp10);
}

#[test]
fn h062_chunk_sizes() {
    for size in ["0x5", "5_", " 5", "5 ", "-1", "+5", "", "10000000000000000", "FFFFFFFFFFFFFFFF", "5;", "5; a"] {
        let fault = refused(post("Transfer-Encoding: chunked\r\n", &format!("{size}\r\nhello\r\n0\r\n\r\n")));
        assert_eq!(fault, EditFault::ChunkMalformed, "{size}");
    }
    let zeros = "0".repeat(1000);
    assert_eq!(
        refused(post("Transfer-Encoding: chunked\r\n", &format!("{zeros}5\r\nhello\r\n"))),
        EditFault::ChunkMalformed
    );
}

#[test]
fn h063_chunk_lines() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
    ] {
        assert_eq!(refused(post("Transfer-Encoding: chunked\r\n", body)), EditFault::ChunkMalformed, "{body:?}");
    }
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "b".repeat(64 * 1024));
    assert_eq!(refused(post("Transfer-Encoding: chunked\r\n", &long)), EditFault::ChunkLineTooLong);
    // A mebibyte in chunks of one byte passes as it is.
    let body = "1\r\nx\r\n".repeat(1 << 20) + "0\r\n\r\n";
    let mut drive = Drive::new();
    drive.egress(post("Transfer-Encoding: chunked\r\n", "")).egress(&body);
    assert!(drive.fault.is_none() && drive.upstream.ends_with(body.as_bytes()));
}

#[test]
fn h064_what_follows_the_last_chunk() {
    let chunked = |rest: &str| post("Transfer-Encoding: chunked\r\n", &format!("5\r\nhello\r\n0\r\n{rest}"));
    let mut drive = Drive::new();
    drive.egress(chunked("\r\n")).egress("\r\n").egress(get("A: b\r\n"));
    let (seen, _) = strict::requests(&drive.upstream);
    assert_eq!((drive.fault, seen.len()), (None, 2));
    assert!(!drive.upstream_text().contains("\r\n\r\n\r\n"));
    strict::check_invariant(&seen[1], SET);
    let mut drive = Drive::new();
    drive.egress(chunked("\r\n")).egress("\r\n\r\n");
    assert_eq!(drive.fault, Some(EditFault::RequestLineMalformed));
    let mut drive = Drive::new();
    drive.egress(chunked("\r\nX")).egress("\r\n");
    assert_eq!((drive.fault, drive.requests.len()), (Some(EditFault::RequestLineMalformed), 1));
    // Without the last CRLF, what follows is trailers, and dropped.
    let mut drive = Drive::new();
    drive.egress(chunked("")).egress(get(""));
    assert_eq!((drive.fault, drive.requests.len()), (Some(EditFault::TrailerMalformed), 1));
    assert!(drive.upstream_text().ends_with("0\r\n"));
}

#[test]
fn h065_line_ends_and_odd_bytes() {
    assert_eq!(refused(format!("GET / HTTP/1.1\nHost: {HOST}\n\n")), EditFault::BareLineFeed);
    assert_eq!(refused(get("A: b\nC: d\r\n")), EditFault::BareLineFeed);
    assert_eq!(refused(get("A: b\r\n").replacen("\r\n\r\n", "\r\n\n", 1)), EditFault::BareLineFeed);
    for value in ["a\rb", "a\0b", "a\x07b", "a\x7fb", "\x0b", "a\r"] {
        assert_eq!(refused(get(&format!("A: {value}\r\n"))), EditFault::FieldValueMalformed, "{value:?}");
    }
    for name in ["A\0", "A\x01", "\u{e9}", "A[", "A\rB", "A(", "A\"", "A/", "A@"] {
        assert_eq!(refused(get(&format!("{name}: b\r\n"))), EditFault::FieldNameMalformed, "{name:?}");
    }
    let with_8_bit_value = get("Cookie: caf\u{e9}=\t\"x\"\r\n");
    assert_eq!(forwarded(&with_8_bit_value), with_8_bit_value.replacen("\r\n", &format!("\r\n{BLOCK}"), 1));
}

#[test]
fn h066_field_names() {
    for line in [": b", "A", "A : b", "A\t: b", ":", "A b: c"] {
        assert_eq!(refused(get(&format!("{line}\r\n"))), EditFault::FieldNameMalformed, "{line}");
    }
    // CVE-2023-25725: the empty name ends the list for some readers; ours come before it, and it is refused.
    assert_eq!(refused(format!("GET / HTTP/1.1\r\n: x\r\nHost: {HOST}\r\n\r\n")), EditFault::FieldNameMalformed);
    assert_eq!(refused(format!("GET / HTTP/1.1\r\n \r\nHost: {HOST}\r\n\r\n")), EditFault::FieldFolded);
}

#[test]
fn h067_request_lines() {
    for (line, status) in [
        ("GET  / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET /#x HTTP/1.1", 400),
        ("GET /\\x HTTP/1.1", 400),
        ("GET /\u{e9} HTTP/1.1", 400),
        ("get / HTTP/1.1", 400),
        ("GET /", 400),
        ("GET", 400),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.1x", 505),
        ("GET / HTTP/0.9", 505),
        ("GET * HTTP/1.1", 400),
        ("BREW / HTTP/1.1", 501),
    ] {
        assert_eq!(status_of(&format!("{line}\r\nHost: {HOST}\r\n\r\n")), status, "{line}");
    }
    assert_eq!(refused(format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(64 * 1024))), EditFault::MethodMalformed);
}

#[test]
fn h068_bounds() {
    let filler = "f".repeat(HTTP1_FIELD_BYTES_MAX - 3);
    let most = get(&format!("A: {}\r\n", &filler[1..]));
    assert_eq!(forwarded(&most), most.replacen("\r\n", &format!("\r\n{BLOCK}"), 1));
    assert_eq!(refused(get(&format!("A: {filler}\r\n"))), EditFault::FieldTooLong);
    assert_eq!(refused(get(&format!("{filler}{filler}: a\r\n"))), EditFault::FieldTooLong);
    assert_eq!(refused(get(&format!("A: {filler}").replace("fff", "ff\r\nA: "))), EditFault::TooManyFields);
    let fields = "A: b\r\n".repeat(99);
    assert!(forwarded(get(&fields)).ends_with(&format!("{fields}\r\n")));
    assert_eq!(refused(get(&"A: b\r\n".repeat(100))), EditFault::TooManyFields);
    let line = format!("A: {}\r\n", &filler[..1021]);
    assert_eq!(refused(get(&line.repeat(64))), EditFault::HeadTooLong);
    assert_eq!(refused(format!("GET /{}", "a".repeat(HTTP1_HEAD_BYTES_MAX))), EditFault::HeadTooLong);
    assert_eq!(EditFault::HeadTooLong.status(), 431);
}

#[test]
fn h069_a_head_that_has_begun_is_told_apart_from_an_idle_connection() {
    let mut drive = Drive::new();
    assert!(drive.exchange.request_in_head().is_none());
    for byte in get("").bytes() {
        drive.egress([byte]);
        assert_eq!(drive.exchange.request_in_head().is_some(), drive.upstream.is_empty());
    }
    assert!(drive.exchange.request_in_head().is_none());
    drive.egress("\r");
    assert!(drive.exchange.request_in_head().is_some());
}

#[test]
fn h070_expect_and_an_early_final_answer() {
    let mut drive = Drive::new();
    drive.egress(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    drive.ingress("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    assert!(drive.exchange.must_close() && drive.exchange.is_idle());
    drive.egress(get(""));
    assert_eq!(drive.requests.len(), 1);
    for length in ["", "Content-Length: 0\r\n"] {
        let request = post(&format!("Expect: 100-continue\r\n{length}"), "");
        let mut drive = Drive::new();
        drive.egress(&request).ingress(OK).egress(get("")).ingress(OK);
        assert_eq!((drive.fault, drive.statuses()), (None, vec![Some(200); 2]));
    }
    assert_eq!(refused(get("Expect: 200-ok\r\n")).status(), 417);
}

#[test]
fn h071_bodies_where_none_belong() {
    for method in ["GET", "HEAD"] {
        for (fields, body) in [("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")] {
            let request = post(fields, body).replacen("POST", method, 1);
            assert_eq!(refused(request), EditFault::ContentUnexpected, "{method}");
        }
    }
    for method in ["GET", "HEAD", "DELETE"] {
        assert!(forwarded(get("Content-Length: 0\r\n").replacen("GET", method, 1)).starts_with(method));
    }
    assert!(forwarded(post("Content-Length: 5\r\n", "hello").replacen("POST", "DELETE", 1)).ends_with("hello"));
    let mut drive = Drive::new();
    drive.egress(post("Content-Length: 0\r\n", "X\r\n"));
    assert_eq!((drive.fault, drive.requests.len()), (Some(EditFault::RequestLineMalformed), 1));
}

#[test]
fn h073_pipelining_is_bounded() {
    let mut drive = Drive::new();
    drive.egress(get("").repeat(10_000));
    assert_eq!(drive.requests.len(), HTTP1_PIPELINE_MAX);
    assert!(drive.exchange.egress_blocked() && drive.exchange.request_in_head().is_none());
    drive.ingress(OK.repeat(10));
    assert_eq!(drive.requests.len(), HTTP1_PIPELINE_MAX + 10);
    for _ in 0..10_000 - 10 {
        drive.ingress(OK);
    }
    assert_eq!((drive.fault, drive.requests.len(), drive.responses.len()), (None, 10_000, 10_000));
    assert!(drive.exchange.is_idle() && !drive.exchange.egress_blocked());
    assert!(drive.responses.iter().map(|response| response.number).eq(0..10_000));
}

#[test]
fn h114_proxy_fields_stay_here() {
    check_edit(
        "Proxy-Authorization: Basic dTpw\r\nProxy-Connection: keep-alive\r\nproxy_authorization: x\r\nA: b\r\n",
        "A: b\r\n",
    );
    for length in 0..30 {
        check_edit(&format!("Proxy-{}: x\r\n", "a".repeat(length)), "");
    }
}
