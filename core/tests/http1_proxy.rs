//! Requests for plain HTTP through the explicit proxy: the listener's reader and the exchange, on the hostile cases and the
//! corpora of inspected HTTP/1.1 as far as they apply.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/corpora.rs"]
mod corpora;
#[path = "http1/literate.rs"]
mod literate;
#[path = "http1/proxy.rs"]
mod proxy;
#[path = "http1/strict.rs"]
mod strict;

use penstock_core::bytes::Parsed;
use penstock_core::http1::{EditFault, Exchange, Gather};
use penstock_core::limits::{HTTP1_FIELDS_MAX, HTTP1_HEAD_BYTES_MAX};
use penstock_core::policy::Mode;
use penstock_core::proxy::{Credentials, ProxyReject, ProxyRequest, RequestReader};
use proxy::{BLOCK, Outcome, SET, edit, run};

/// Whatever the cut: a request for plain HTTP, and what becomes of it.
fn outcome(input: &[u8]) -> Outcome {
    let whole = run(input, &[], Mode::Enforce);
    for cut in (0..input.len()).step_by(input.len() / 256 + 1) {
        let split = run(input, &[cut], Mode::Enforce);
        assert_eq!(split.fault, whole.fault, "cut at {cut}: {:?}", String::from_utf8_lossy(input));
        if whole.fault.is_none() {
            assert_eq!(split.upstream, whole.upstream, "cut at {cut}: {:?}", String::from_utf8_lossy(input));
        }
    }
    whole
}

fn forwarded(input: &str) -> String {
    let outcome = outcome(input.as_bytes());
    assert_eq!(outcome.fault, None, "{input:?}");
    let upstream = String::from_utf8(outcome.upstream).unwrap();
    let (seen, tail) = strict::requests(upstream.as_bytes());
    assert_eq!(tail, strict::Tail::None, "{upstream:?}");
    seen.iter().for_each(|request| strict::check_invariant(request, SET));
    upstream
}

fn status(input: impl AsRef<[u8]>) -> u16 {
    let outcome = outcome(input.as_ref());
    assert_eq!(outcome.upstream, b"", "{:?}", String::from_utf8_lossy(input.as_ref()));
    outcome.fault.unwrap_or_else(|| panic!("not refused: {:?}", String::from_utf8_lossy(input.as_ref()))).status()
}

const HOST: &str = "login.example";

fn get(fields: &str) -> String {
    format!("GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n{body}")
}

#[test]
fn h042_a_target_becomes_origin_form_and_the_headers_are_set() {
    for (target, host, line) in [
        ("http://login.example/a/b?c=d", HOST, "GET /a/b?c=d"),
        ("HTTP://Login.Example./", HOST, "GET /"),
        ("http://login.example", HOST, "GET /"),
        ("http://login.example?x=/y", HOST, "GET /?x=/y"),
        ("http://login.example:80/", HOST, "GET /"),
        ("http://login.example:8080/x", "login.example:8080", "GET /x"),
        ("http://192.0.2.7/x", "192.0.2.7", "GET /x"),
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]:8080", "GET /x"),
    ] {
        let upstream = forwarded(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nA: b\r\n\r\n"));
        assert_eq!(upstream, format!("{line} HTTP/1.1\r\n{BLOCK}Host: {host}\r\nA: b\r\n\r\n"), "{target}");
    }
    let options = |target: &str| forwarded(&format!("OPTIONS {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert!(options("http://login.example").starts_with("OPTIONS * HTTP/1.1\r\n"));
    assert!(options("http://login.example/").starts_with("OPTIONS / HTTP/1.1\r\n"));
    assert!(options("http://login.example?a").starts_with("OPTIONS /?a HTTP/1.1\r\n"));
}

#[test]
fn h035_target_and_host_must_agree_on_the_proxy() {
    for (target, host) in [
        ("http://login.example/", "other.example"),
        ("http://login.example/", "login.example:8080"),
        ("http://login.example:8080/", "login.example"),
        ("http://192.0.2.7/", "login.example"),
        ("http://login.example/", "192.0.2.7"),
        ("http://login.example/", ""),
        ("http://login.example/", "login.example:080"),
        ("http://u@login.example/", HOST),
        ("http://u:p@login.example/", HOST),
        ("http://127.1/", "127.1"),
        ("http://0x7f.1/", "0x7f.1"),
        ("http://[::1%25lo]/", "[::1%25lo]"),
        ("http:///", ""),
        ("http://login.example\\@evil.example/", HOST),
        ("http://login.example:/", HOST),
        ("http://login.example:0/", "login.example:0"),
    ] {
        assert_eq!(status(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")), 400, "{target} {host}");
    }
    assert_eq!(status(format!("GET http://{HOST}/ HTTP/1.1\r\n\r\n")), 400);
    assert_eq!(status(get(&format!("Host: {HOST}\r\n"))), 400);
}

#[test]
fn h114_what_is_for_the_proxy_stays_here_in_every_mode() {
    let fields =
        "Proxy-Authorization: Basic YTpi\r\nProxy-Connection: keep-alive\r\nproxy_authorization: x\r\nA: b\r\n";
    assert_eq!(forwarded(&get(fields)), format!("GET / HTTP/1.1\r\n{BLOCK}Host: {HOST}\r\nA: b\r\n\r\n"));
    for mode in [Mode::Off, Mode::ReportOnly] {
        let own = "Restrict-Access-To-Tenants: evil.example\r\n";
        let outcome = run(get(&format!("{fields}{own}")).as_bytes(), &[], mode);
        let upstream = String::from_utf8(outcome.upstream).unwrap();
        assert_eq!(upstream, format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nA: b\r\n{own}\r\n"), "{mode}");
    }
}

#[test]
fn h047_hop_by_hop_fields_end_here() {
    let fields = "Connection: close, X-Drop, Restrict-Access-To-Tenants\r\nX-Drop: 1\r\nTE: gzip\r\nUpgrade: h2c\r\n";
    let upstream = forwarded(&get(fields));
    assert_eq!(upstream, format!("GET / HTTP/1.1\r\n{BLOCK}Connection: close\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(status(get("Connection: Host\r\n")), 400);
}

#[test]
fn h057_to_h061_framing_is_refused_before_anything_is_dialled() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 05\r\n",
        "Content-Length:\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content_Length: 5\r\n",
    ] {
        assert_eq!(status(post(fields, "hello")), 400, "{fields}");
    }
    for coding in
        ["chunked, chunked", ",chunked", "xchunked", "identity", "gzip, chunked", "\x0bchunked", "chunked;q=1"]
    {
        let found = status(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"));
        assert!([400, 501].contains(&found), "{coding}: {found}");
    }
    let old = format!("POST http://{HOST}/ HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(status(old), 400);
}

#[test]
fn h062_h063_chunks_are_checked() {
    for chunk in ["0x5", "5_", " 5", "-1", "+5", "", "FFFFFFFFFFFFFFFFF", "5;", "5\n"] {
        let outcome = run(
            post("Transfer-Encoding: chunked\r\n", &format!("{chunk}\r\nhello\r\n0\r\n\r\n")).as_bytes(),
            &[],
            Mode::Enforce,
        );
        assert_eq!(outcome.fault.map(ProxyReject::status), Some(400), "{chunk:?}");
    }
    let body = "5;a=b\r\nhello\r\n0\r\nRestrict-Access-To-Tenants: evil.example\r\n\r\n";
    let upstream = forwarded(&post("Transfer-Encoding: chunked\r\n", body));
    assert!(upstream.ends_with("\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"), "{upstream}");
}

#[test]
fn h064_what_follows_a_request_is_the_next_request() {
    let two = format!("{}{}", post("Content-Length: 5\r\n", "hello"), get("N: 2\r\n"));
    let outcome = run(two.as_bytes(), &[], Mode::Enforce);
    assert_eq!((outcome.fault, outcome.requests), (None, 2));
    let other = get("").replace(HOST, "other.example");
    let outcome = run(format!("{}\r\n{other}", post("Content-Length: 5\r\n", "hello")).as_bytes(), &[], Mode::Enforce);
    assert_eq!((outcome.fault, outcome.requests), (None, 2));
    assert!(String::from_utf8(outcome.upstream).unwrap().ends_with("Host: other.example\r\n\r\n"));
}

#[test]
fn h065_to_h067_lines_are_strict() {
    for head in [
        format!("GET http://{HOST}/ HTTP/1.1\nHost: {HOST}\n\n"),
        get("A: b\n"),
        get("A: b\rc\r\n"),
        get("A: \0\r\n"),
        get("A\u{e9}: b\r\n"),
        get(": b\r\n"),
        get("A\r\n"),
        get("A : b\r\n"),
        get("A: b\r\n c\r\n"),
        format!("GET http://{HOST}/ HTTP/1.1\r\n Host: {HOST}\r\n\r\n"),
        format!("GET  http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET\thttp://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/#a HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/a\\b HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/\u{e9} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("get http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        format!("GET http://{HOST}/\r\n\r\n"),
    ] {
        assert_eq!(status(&head), 400, "{head:?}");
    }
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/1.1x", "HTTP/0.9"] {
        assert_eq!(status(format!("GET http://{HOST}/ {version}\r\nHost: {HOST}\r\n\r\n")), 505, "{version}");
    }
    for method in ["TRACE", "FROBNICATE"] {
        let found = status(format!("{method} http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert!([405, 501].contains(&found), "{method}: {found}");
    }
}

#[test]
fn h068_heads_are_bounded() {
    assert_eq!(status(get(&format!("A: {}\r\n", "b".repeat(17 * 1024)))), 431);
    assert_eq!(status(get(&"A: b\r\n".repeat(HTTP1_FIELDS_MAX))), 431);
    assert_eq!(status(get(&format!("A: {}\r\n", "b".repeat(15_000)).repeat(5))), 431);
    assert_eq!(status(format!("GET http://{HOST}/{}", "a".repeat(HTTP1_HEAD_BYTES_MAX + 1))), 431);
    assert_eq!(status("A".repeat(64 * 1024)), 400);
    assert_eq!(forwarded(&get(&format!("A: {}\r\n", "b".repeat(15_000)).repeat(4))).len(), BLOCK.len() + 60_059);
}

#[test]
fn h071_content_where_none_belongs() {
    for method in ["GET", "HEAD"] {
        let request = format!("{method} http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(status(request), 400, "{method}");
    }
}

#[test]
fn every_prefix_of_a_request_waits_and_every_split_reads_alike() {
    for input in [
        get("User-Agent: curl/8.1 (x)\r\nProxy-Authorization: Basic YTpi\r\n"),
        post("Content-Length: 5\r\n", ""),
        format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n"),
        "GET /proxy.pac HTTP/1.1\r\nHost: proxy.example:8080\r\n\r\n".to_owned(),
        format!("\r\n{}", get("")),
    ] {
        let input = input.as_bytes();
        let whole = RequestReader::new().parse(input);
        assert!(matches!(whole, Parsed::Complete { .. }), "{whole:?}");
        let mut reader = RequestReader::new();
        for end in 0..input.len() {
            assert!(reader.parse(&input[..end]).is_incomplete(), "{end}");
            let mut split = RequestReader::new();
            assert!(split.parse(&input[..end]).is_incomplete());
            assert_eq!(split.parse(input), whole);
        }
        assert_eq!(reader.parse(input), whole);
        assert_eq!(RequestReader::new().parse(&[input, b"more"].concat()), whole);
    }
}

#[test]
fn the_reader_tells_what_must_be_known_first() {
    let read = |input: &str| RequestReader::new().parse(input.as_bytes()).complete().unwrap();
    let plain = |input: &str| match read(input) {
        ProxyRequest::Plain(head) => head,
        other => panic!("{other:?}"),
    };
    let head = plain(&get("User-Agent: curl/8.1 (x)\r\nProxy-Authorization: Basic YTpi\r\n"));
    assert_eq!((head.authority.to_string().as_str(), head.agent.as_deref()), ("login.example:80", Some("curl/8.1")));
    assert!(matches!(&head.credentials, Credentials::Basic(basic) if basic.user() == "a"));
    assert!(!head.is_last);
    let twice = "Proxy-Authorization: Basic YTpi\r\n".repeat(2);
    assert_eq!(plain(&get(&twice)).credentials, Credentials::Unreadable);
    assert_eq!(plain(&get("")).credentials, Credentials::Absent);
    for last in [get("Connection: close\r\n"), post("Content-Length: 1\r\n", "x"), get("").replace("1.1", "1.0")] {
        assert!(plain(&last).is_last, "{last:?}");
    }
    let ProxyRequest::Own(own) = read("GET /proxy.pac?x HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n") else { panic!() };
    assert_eq!((own.path.as_str(), own.host.unwrap().to_string().as_str()), ("/proxy.pac?x", "10.0.0.1:8080"));
    let ProxyRequest::Own(own) = read("HEAD /proxy.pac HTTP/1.1\r\nHost: a\"b\r\n\r\n") else { panic!() };
    assert!(own.is_head && own.host.is_none());
}

#[test]
fn an_origin_cannot_ask_for_the_proxys_credentials() {
    let head = RequestReader::new().parse(get("").as_bytes()).complete().unwrap();
    let ProxyRequest::Plain(head) = head else { panic!() };
    let mut exchange = Exchange::plain(edit(Mode::Enforce), head.authority);
    let request = get("");
    assert_eq!(exchange.handle_egress(request.as_bytes(), &mut Gather::new()), Ok(request.len()));
    let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(exchange.handle_ingress(answer, &mut Gather::new()), Err(EditFault::ResponseProxyStatus));
}

#[test]
fn an_exchange_serves_one_request_and_says_whether_more_may_follow() {
    let two = format!("{}{}", get(""), get(""));
    let serve = |answer: &[u8]| {
        let ProxyRequest::Plain(head) = RequestReader::new().parse(two.as_bytes()).complete().unwrap() else {
            panic!()
        };
        let mut exchange = Exchange::plain(edit(Mode::Off), head.authority);
        assert_eq!(exchange.handle_egress(two.as_bytes(), &mut Gather::new()), Ok(two.len() / 2));
        assert!(!exchange.is_served());
        assert_eq!(exchange.handle_egress(&two.as_bytes()[two.len() / 2..], &mut Gather::new()), Ok(0));
        assert!(exchange.handle_ingress(answer, &mut Gather::new()).is_ok());
        (exchange.is_served(), exchange.must_close())
    };
    assert_eq!(serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), (true, false));
    assert_eq!(serve(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), (false, true));
    assert_eq!(serve(b"HTTP/1.1 200 OK\r\n\r\nok"), (false, false));
    assert_eq!(serve(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), (false, true));
}

/// The corpora of llhttp: what is refused on inspected flows is refused here, when the same request comes in absolute form.
#[test]
fn llhttp_requests_in_absolute_form() {
    let cases = literate::cases("llhttp-cases/request");
    let mut looser = vec![];
    for case in &cases {
        let input = absolute(&case.input);
        let outcome = run(&input, &[], Mode::Enforce);
        let refused = outcome.fault.is_some() || outcome.is_waiting;
        if (case.is_error || case.is_lenient()) && !refused && outcome.requests > 0 {
            looser.push(case.name.clone());
        }
        let (seen, tail) = strict::requests(&outcome.upstream);
        assert!(tail != strict::Tail::Head, "{}", case.name);
        seen.iter().for_each(|request| strict::check_invariant(request, SET));
        for cut in 0..input.len() {
            let split = run(&input, &[cut], Mode::Enforce);
            assert_eq!(split.fault, outcome.fault, "{} of {} cut at {cut}", case.name, case.file);
            assert!(
                split.requests == outcome.requests || split.fault.is_some(),
                "{} of {} cut at {cut}",
                case.name,
                case.file
            );
        }
    }
    if !cases.is_empty() {
        assert_eq!(looser, ["Setting a flag and pausing"], "the upgrade for which llhttp stops is taken out here");
    }
}

/// Puts the test's host into every request: in place of the one that stands there, else behind the request line, and before
/// each target that is a path.
fn absolute(input: &[u8]) -> Vec<u8> {
    let host = format!("Host: {HOST}\r\n").into_bytes();
    let is_host = |line: &[u8]| line.len() > 5 && line[..5].eq_ignore_ascii_case(b"host:") && line.ends_with(b"\r\n");
    let lines: Vec<&[u8]> = input.split_inclusive(|&byte| byte == b'\n').collect();
    let mut output = vec![];
    for (index, line) in lines.iter().enumerate() {
        let is_request_line = [&b" HTTP/1.1\r\n"[..], b" HTTP/1.0\r\n"].iter().any(|end| line.ends_with(end));
        let mut head = lines[index + 1..].iter().take_while(|line| **line != b"\r\n");
        if !is_request_line {
            output.extend_from_slice(if is_host(line) { &host } else { line });
            continue;
        }
        match line.windows(2).position(|two| two == b" /") {
            Some(space) => output.extend([&line[..=space], b"http://login.example", &line[space + 1..]].concat()),
            None => output.extend_from_slice(line),
        }
        if !head.any(|line| is_host(line)) {
            output.extend_from_slice(&host);
        }
    }
    output
}
