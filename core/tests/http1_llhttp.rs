//! The exchange against the literate cases of llhttp, the parser of Node.js.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "http1/drive.rs"]
mod drive;
#[path = "http1/literate.rs"]
mod literate;
#[path = "http1/strict.rs"]
mod strict;

use drive::{Drive, HOST, SET, get};

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// All of it went on.
    Forwarded,
    /// It may still become right; nothing of its last head went on.
    Incomplete,
    /// Given up, with this label.
    Refused(&'static str),
    /// All but what stands behind a last message, or behind a request that waits for its upgrade.
    Unread,
}

impl Outcome {
    fn of(drive: &Drive, is_unread: bool, waiting: usize) -> Self {
        match drive.fault {
            Some(fault) => Self::Refused(fault.label()),
            None if is_unread => Self::Unread,
            None if waiting > 0 => Self::Incomplete,
            None => Self::Forwarded,
        }
    }
}

/// What an exchange makes of a stream of requests, however it is cut; what goes upstream keeps the header invariant.
fn request_outcome(input: &[u8]) -> Outcome {
    let whole = egress(&[input]);
    for cut in (0..input.len()).step_by(input.len() / 64 + 1) {
        let split = egress(&[&input[..cut], &input[cut..]]);
        assert_eq!(split.0, whole.0, "cut at {cut}: {:?}", String::from_utf8_lossy(input));
        assert!(split.1.starts_with(&whole.1), "cut at {cut}");
    }
    whole.0
}

fn egress(pieces: &[&[u8]]) -> (Outcome, Vec<u8>) {
    let mut drive = Drive::new();
    for piece in pieces {
        drive.egress(piece);
    }
    for request in strict::requests(&drive.upstream).0 {
        strict::check_invariant(&request, SET);
    }
    let waiting = drive.egress_waiting().len();
    let outcome = Outcome::of(&drive, waiting > 0 && drive.exchange.egress_blocked(), waiting);
    if outcome == Outcome::Incomplete && drive.requests.is_empty() {
        assert_eq!(drive.upstream, b"");
    }
    (outcome, drive.upstream)
}

/// What an exchange makes of a stream of answers, however it is cut.
fn answer_outcome(input: &[u8]) -> Outcome {
    let ingress = |pieces: &[&[u8]]| {
        let mut drive = Drive::new();
        drive.egress(get("").repeat(4));
        for piece in pieces {
            drive.ingress(piece);
        }
        let waiting = drive.ingress_waiting().len();
        (Outcome::of(&drive, waiting > 0 && drive.exchange.must_close(), waiting), drive.downstream)
    };
    let whole = ingress(&[input]);
    for cut in 0..input.len() {
        assert_eq!(
            ingress(&[&input[..cut], &input[cut..]]),
            whole,
            "cut at {cut}: {:?}",
            String::from_utf8_lossy(input)
        );
    }
    whole.0
}

/// Puts the test's host into every request: in place of the one that stands there, else behind the request line.
fn with_host(input: &[u8]) -> Vec<u8> {
    let host = format!("Host: {HOST}\r\n").into_bytes();
    let is_host = |line: &[u8]| line.len() > 5 && line[..5].eq_ignore_ascii_case(b"host:") && line.ends_with(b"\r\n");
    let lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    let mut output = vec![];
    for (index, line) in lines.iter().enumerate() {
        output.extend_from_slice(if is_host(line) { &host } else { line });
        let is_request_line = [&b" HTTP/1.1\r\n"[..], b" HTTP/1.0\r\n"].iter().any(|end| line.ends_with(end));
        let mut head = lines[index + 1..].iter().take_while(|line| **line != b"\r\n");
        if is_request_line && !head.any(|line| is_host(line)) {
            output.extend_from_slice(&host);
        }
    }
    output
}

/// Cases that llhttp refuses, or tolerates only when told to, and that go on here.
const LOOSER: &[(&str, &str, &str)] =
    &[("connection", "Setting a flag and pausing", "llhttp stops for the upgrade, which is taken out here")];

/// Cases that llhttp takes and that are refused here, with the label of the refusal.
const STRICTER: &[(&str, &str, &str)] = &[
    // Two empty lines before a request; one is let pass.
    ("connection", "CRLF between requests, implicit `keep-alive`", "request_line_malformed"),
    // Lengths that not all hops read alike: leading zeros, odd space.
    ("content-length", "`Content-Length` with zeroes", "content_length_malformed"),
    ("content-length", "`Content-Length` with follow-up headers", "content_length_malformed"),
    // An origin that ignores the body of a GET would read it as the next request.
    ("content-length", "Funky `Content-Length` with body", "content_unexpected"),
    ("content-length", "Spaces in `Content-Length` (surrounding)", "content_length_malformed"),
    ("content-length", "Tabs in `Content-Length` (surrounding)", "content_length_malformed"),
    // Not registered, or not HTTP.
    ("method", "M-SEARCH request", "method_unknown"),
    ("method", "PURGE request", "method_unknown"),
    ("method", "SOURCE request", "method_unknown"),
    ("method", "SOURCE request with ICE", "version_unknown"),
    ("method", "OPTIONS request with RTSP", "version_unknown"),
    ("method", "ANNOUNCE request with RTSP", "version_unknown"),
    ("sample", "No HTTP version", "request_line_malformed"),
    // The target has a fragment; without it `deflate, chunked` would be refused.
    ("transfer-encoding", "POST with `chunked` as last transfer-encoding", "target_malformed"),
    ("transfer-encoding", "POST with `chunked` as last transfer-encoding (multiple headers)", "target_malformed"),
    // Plain HTTP, or another host, inside TLS; userinfo; fragments.
    ("uri", "Host terminated by a query string", "target_malformed"),
    ("uri", "`host:port` terminated by a query string", "target_malformed"),
    ("uri", "`host:port` terminated by a space", "target_malformed"),
    ("uri", "Fragment in URI", "target_malformed"),
    ("uri", "`host:port` and basic auth", "target_malformed"),
    // Not HTTP/1.
    ("sample", "RTSP response", "response_line_malformed"),
    ("sample", "ICE response", "response_line_malformed"),
    ("sample", "HTTP version 0.9", "response_line_malformed"),
    // A coding that ends where only the connection does: clients disagree.
    ("transfer-encoding", "`chunked` before other transfer-encoding", "response_framing_malformed"),
    ("transfer-encoding", "multiple transfer-encoding where chunked is not the last one", "response_framing_malformed"),
    (
        "transfer-encoding",
        "`chunkedchunked` transfer-encoding does not enable chunked enconding",
        "response_framing_malformed",
    ),
];

#[test]
fn llhttp_cases() {
    let cases = [literate::cases("llhttp-cases/request"), literate::cases("llhttp-cases/response")].concat();
    let (mut looser, mut stricter) = (vec![], vec![]);
    for case in &cases {
        let is_request = case.kind.starts_with("request");
        let outcome = if is_request { request_outcome(&with_host(&case.input)) } else { answer_outcome(&case.input) };
        let refused = case.is_error || case.is_lenient();
        println!("{} | {} | {} | {refused} | {outcome:?}", case.file, case.name, case.kind);
        if refused && outcome == Outcome::Forwarded {
            looser.push((case.file.as_str(), case.name.as_str()));
        }
        if let (false, Outcome::Refused(label)) = (refused, outcome) {
            stricter.push((case.file.as_str(), case.name.as_str(), label));
        }
    }
    if cases.is_empty() {
        return;
    }
    assert!(looser.into_iter().eq(LOOSER.iter().map(|&(file, name, _)| (file, name))));
    assert!(stricter.into_iter().eq(STRICTER.iter().copied()));
}
