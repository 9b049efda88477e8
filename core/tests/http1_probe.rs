//! The exchange against Http11Probe's table of requests. The column is the strictest: whatever a server may refuse is refused
//! before a byte of it goes upstream, but for what is listed here, with the reason.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "http1/drive.rs"]
mod drive;
#[path = "http1/strict.rs"]
mod strict;

use drive::{Drive, HOST, SET, get, post};
use serde_json::Value;

/// Requests that are right: a refusal is not among the answers that the table wants.
const RIGHT: &[&str] = &[
    "CAP-ETAG-304",
    "CAP-ETAG-IN-304",
    "CAP-ETAG-WEAK",
    "CAP-IMS-FUTURE",
    "CAP-IMS-INVALID",
    "CAP-INM-PRECEDENCE",
    "CAP-INM-UNQUOTED",
    "CAP-INM-WILDCARD",
    "CAP-LAST-MODIFIED-304",
    "COMP-405-ALLOW",
    "COMP-ABSOLUTE-FORM",
    "COMP-ACCEPT-NONSENSE",
    "COMP-BASELINE",
    "COMP-CHUNKED-BODY",
    "COMP-CHUNKED-EMPTY",
    "COMP-CHUNKED-EXTENSION",
    "COMP-CHUNKED-HEX-UPPERCASE",
    "COMP-CHUNKED-MULTI",
    "COMP-CHUNKED-TRAILER-VALID",
    "COMP-CONNECTION-CLOSE",
    "COMP-CONTENT-TYPE",
    "COMP-DATE-FORMAT",
    "COMP-DATE-HEADER",
    "COMP-HEAD-NO-BODY",
    "COMP-HTTP10-DEFAULT-CLOSE",
    "COMP-LONG-URL-OK",
    "COMP-NO-1XX-HTTP10",
    "COMP-NO-CL-IN-204",
    "COMP-OPTIONS-ALLOW",
    "COMP-OPTIONS-STAR",
    "COMP-POST-CL-BODY",
    "COMP-POST-CL-ZERO",
    "COMP-POST-NO-CL-NO-TE",
    "COMP-POST-UNSUPPORTED-CT",
    "COMP-RANGE-INVALID",
    "COMP-RANGE-POST",
    "COOK-ECHO",
    "COOK-MULTI-HEADER",
    "COOK-PARSED-BASIC",
    "COOK-PARSED-EMPTY-VAL",
    "COOK-PARSED-MULTI",
    "COOK-PARSED-SPECIAL",
    "MAL-RANGE-OVERLAPPING",
    "SMUG-PIPELINE-SAFE",
];

/// Requests that a server may refuse and that go on, each with what makes that safe.
const SAFE: &[(&str, &str)] = &[
    ("COMP-DUPLICATE-CT", "two content types frame nothing"),
    ("COMP-UPGRADE-HTTP10", "the upgrade is taken out"),
    ("COMP-UPGRADE-INVALID-VER", "the origin answers 426; nothing passes before a 101"),
    ("COMP-UPGRADE-MISSING-CONN", "the upgrade is taken out"),
    ("COMP-UPGRADE-POST", "the upgrade is taken out"),
    ("COMP-UPGRADE-UNKNOWN", "the upgrade is taken out"),
    ("COOK-EMPTY", "a cookie frames nothing"),
    ("COOK-MALFORMED", "a cookie frames nothing"),
    ("COOK-MANY-PAIRS", "within the bounds"),
    ("SMUG-EXPECT-100-CL", "a body that does not wait is framed all the same"),
    ("SMUG-EXPECT-100-CL-DESYNC", "a body that does not wait is framed all the same"),
    ("SMUG-OPTIONS-CL-BODY", "OPTIONS may have content, and what follows it is a request with its headers"),
    ("SMUG-OPTIONS-CL-BODY-DESYNC", "OPTIONS may have content, and what follows it is a request with its headers"),
    ("SMUG-TRAILER-AUTH", "trailers are dropped"),
    ("SMUG-TRAILER-CL", "trailers are dropped"),
    ("SMUG-TRAILER-CONTENT-TYPE", "trailers are dropped"),
    ("SMUG-TRAILER-HOST", "trailers are dropped"),
    ("SMUG-TRAILER-TE", "trailers are dropped"),
];

/// Requests that stop short: the deadline, or the end of the connection, is the answer.
const UNFINISHED: &[&str] = &[
    "COMP-CHUNKED-NO-FINAL",
    "COMP-POST-CL-UNDERSEND",
    "MAL-EMPTY-REQUEST",
    "MAL-INCOMPLETE-REQUEST",
    "MAL-POST-CL-HUGE-NO-BODY",
];

/// Requests that are right and followed by what is refused.
const POISONED: &[&str] = &["SMUG-CL0-BODY-POISON"];

/// The bytes of a case, with the test's host; `https` is the scheme within TLS.
fn payload(case: &Value) -> Vec<u8> {
    let id = case["id"].as_str().unwrap();
    let steps: Option<Vec<Vec<u8>>> =
        case["payload_hex"].as_array().unwrap().iter().map(|hex| hex.as_str().map(corpora::unhex)).collect();
    let bytes = match steps {
        Some(steps) if !steps.is_empty() => steps.concat(),
        _ => build(id),
    };
    let bytes = replace(&replace(&bytes, "localhost:8080", HOST), "localhost", HOST);
    replace(&bytes, "GET http://", "GET https://")
}

/// Cases that the table only describes.
fn build(id: &str) -> Vec<u8> {
    let long = |count| "A".repeat(count);
    let both = |first: &str, second: &str, body: &str| post(&format!("{first}\r\n{second}\r\n"), body) + &get("");
    let (length, coding) = ("Content-Length: 4", "Transfer-Encoding: chunked");
    let many = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let text = match id {
        "CAP-ETAG-304" | "CAP-ETAG-IN-304" => get("If-None-Match: \"abc\"\r\n"),
        "CAP-ETAG-WEAK" => get("If-None-Match: W/\"abc\"\r\n"),
        "CAP-IMS-FUTURE" => get("If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n"),
        "CAP-IMS-INVALID" => get("If-Modified-Since: not-a-date\r\n"),
        "CAP-INM-PRECEDENCE" => get("If-None-Match: \"a\"\r\nIf-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n"),
        "CAP-INM-UNQUOTED" => get("If-None-Match: abc\r\n"),
        "CAP-INM-WILDCARD" => get("If-None-Match: *\r\n"),
        "CAP-LAST-MODIFIED-304" => get("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        "COMP-DATE-FORMAT" => get(""),
        "COMP-LONG-URL-OK" => get("").replace("GET /", &format!("GET /{}", long(7900))),
        "COOK-MANY-PAIRS" => get(&format!("Cookie: {}\r\n", many(1000, |n| format!("k{n}=v{n}; ")))),
        "COOK-OVERSIZED" => get(&format!("Cookie: big={}\r\n", long(64 * 1024))),
        "MAL-BINARY-GARBAGE" => return (0..=255).rev().collect(),
        "MAL-CHUNK-EXT-64K" => post(&format!("{coding}\r\n"), &format!("5;ext={}\r\nhello\r\n0\r\n\r\n", long(65_536))),
        "MAL-EMPTY-REQUEST" => String::new(),
        "MAL-LONG-HEADER-NAME" => get(&format!("{}: val\r\n", long(100_000))),
        "MAL-LONG-HEADER-VALUE" => get(&format!("X-Big: {}\r\n", long(100_000))),
        "MAL-LONG-METHOD" => get("").replace("GET", &long(100_000)),
        "MAL-LONG-URL" => get("").replace("GET /", &format!("GET /{}", long(100_000))),
        "MAL-MANY-HEADERS" => get(&many(10_000, |n| format!("X-H-{n}: value\r\n"))),
        "MAL-RANGE-OVERLAPPING" => get(&format!("Range: bytes={}0-\r\n", "0-,".repeat(999))),
        "NORM-TAB-IN-NAME" => post("Content-Length: 11\r\nContent\tLength: 99\r\n", "hello world"),
        "SMUG-CHUNK-INVALID-SIZE-DESYNC" => post(&format!("{coding}\r\n"), "+0\r\n\r\nX") + &get(""),
        "SMUG-CL-LEADING-ZEROS-OCTAL" => post("Content-Length: 0200\r\n", &long(200)),
        "SMUG-CL0-BODY-POISON" => post("Content-Length: 0\r\n", "X") + &get(""),
        "SMUG-CLTE-CONN-CLOSE" | "SMUG-CLTE-DESYNC" => both(length, coding, "0\r\n\r\n"),
        "SMUG-EXPECT-100-CL-DESYNC" => post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello") + &get(""),
        "SMUG-GET-CL-BODY-DESYNC" => get("Content-Length: 5\r\n") + "hello" + &get(""),
        "SMUG-OPTIONS-CL-BODY-DESYNC" => get("Content-Length: 5\r\n").replace("GET", "OPTIONS") + "hello" + &get(""),
        "SMUG-OPTIONS-TE-OBS-FOLD" => {
            get("Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n").replace("GET", "OPTIONS")
                + "hello"
                + &get("")
        }
        "SMUG-PIPELINE-SAFE" => get("").repeat(2),
        "SMUG-TECL-CONN-CLOSE" | "SMUG-TECL-DESYNC" => both(coding, length, "0\r\n\r\n"),
        _ => panic!("{id} has no bytes and is not built here"),
    };
    text.into_bytes()
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes.splice(at..at + from.len(), to.bytes());
    }
    bytes
}

/// The connection after `input`, whose requests keep the header invariant; cut anywhere, the outcome is the same.
fn driven(input: &[u8]) -> Drive {
    let mut whole = Drive::new();
    whole.egress(input);
    for request in strict::requests(&whole.upstream).0 {
        strict::check_invariant(&request, SET);
    }
    for cut in (0..input.len()).step_by(input.len() / 128 + 1) {
        let mut split = Drive::new();
        split.egress(&input[..cut]).egress(&input[cut..]);
        assert_eq!(split.fault, whole.fault, "cut at {cut}");
        assert!(split.upstream.starts_with(&whole.upstream), "cut at {cut}");
    }
    whole
}

#[test]
fn whatever_may_be_refused_is_refused_before_a_byte_goes_upstream() {
    let cases = corpora::json_lines("http11probe-cases/cases.jsonl");
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let input = payload(case);
        let drive = driven(&input);
        println!("{id}: {} -> {:?}", case["expected"], drive.fault);
        let is_whole = drive.fault.is_none() && drive.egress_waiting().is_empty();
        if RIGHT.contains(&id) || SAFE.iter().any(|(safe, _)| *safe == id) {
            assert!(is_whole && drive.exchange.request_in_head().is_none(), "{id}: {:?}", drive.fault);
        } else if UNFINISHED.contains(&id) {
            let mut drive = drive;
            let ended = drive.exchange.handle_egress_end();
            assert!(ended.is_err() || drive.exchange.must_close(), "{id}");
        } else if POISONED.contains(&id) {
            assert!(drive.fault.is_some() && drive.requests.len() == 1, "{id}");
        } else {
            let fault = drive.fault.unwrap_or_else(|| panic!("{id} went on"));
            assert_eq!((&drive.upstream[..], drive.requests.len()), (&b""[..], 0), "{id}");
            assert!([400, 405, 417, 421, 431, 501, 505].contains(&fault.status()), "{id}");
        }
    }
    assert!(cases.is_empty() || cases.len() == 215);
}
