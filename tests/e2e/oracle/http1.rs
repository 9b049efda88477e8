//! HTTP/1.1 as http-parser-js reads it, the JavaScript parser of Node.js.

use std::process::Command;

use penstock_core::http1::{Event, Exchange, Gather, Request};
use penstock_core::sni::Sni;
use penstock_tests::place;
use serde_json::Value;

use super::{HOST, SET, edit, is_restriction, read_by};

/// A stream of requests as it went upstream, and what the exchange said of it.
struct Forwarded {
    bytes: Vec<u8>,
    requests: Vec<Request>,
    /// The stream was given up: its last request may be cut short.
    refused: bool,
}

/// Offers a client's bytes to an exchange in pieces of `step` bytes.
fn forward(input: &[u8], step: usize) -> Forwarded {
    let mut exchange = Exchange::new(edit(), Sni::parse(HOST.as_bytes()).unwrap());
    let mut forwarded = Forwarded { bytes: vec![], requests: vec![], refused: false };
    let mut waiting = Vec::new();
    for piece in input.chunks(step.max(1)) {
        waiting.extend_from_slice(piece);
        loop {
            let taken = {
                let mut gather = Gather::new();
                let Ok(taken) = exchange.handle_egress(&waiting, &mut gather) else {
                    forwarded.refused = true;
                    return forwarded;
                };
                forwarded.bytes.extend(gather.pieces().concat());
                taken
            };
            waiting.drain(..taken);
            while let Some(event) = exchange.poll_event() {
                if let Event::Request(request) = event {
                    forwarded.requests.push(request);
                }
            }
            if taken == 0 {
                break;
            }
        }
    }
    forwarded
}

/// Bodies, disguises and odd but right heads, one after the other on one connection.
fn crafted() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    let lines = [
        "Accept: */*",
        "restrict-access-to-tenants: evil.example",
        "RESTRICT_ACCESS_TO_TENANTS: evil.example",
        "Restrict.Access.Context: 1",
        "sec-Restrict-Tenant-Access-Policy: none",
        "Connection: Restrict-Access-To-Tenants",
        "Connection: keep-alive, X-Nominated\r\nX-Nominated: 1",
        "X-Odd:\t a\t b \t",
        "X-Empty:",
        "Cookie: a=b; c=\"d e\"",
        "X-High: caf\u{e9}",
    ];
    let bodies = [
        "\r\n".to_owned(),
        "Content-Length: 5\r\n\r\nhello".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nRestrict-Access-To-Tenants: evil.example\r\n\r\n".to_owned(),
    ];
    for (number, line) in lines.iter().enumerate() {
        let mut stream = String::new();
        for body in &bodies {
            let method = if body.len() == 2 { "GET" } else { "POST" };
            stream += &format!("{method} /{number}/a?b=c HTTP/1.1\r\n{line}\r\nHost: {HOST}\r\n{line}\r\n{body}");
        }
        streams.push(stream.into_bytes());
    }
    streams
}

/// The public table of requests, right and wrong, aimed at the inspected host.
fn probes() -> Vec<Vec<u8>> {
    let Some(folder) = place::corpus("http11probe-cases") else { return vec![] };
    let mut streams = Vec::new();
    for line in place::read(folder.join("cases.jsonl")).lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let hex: String = case["payload_hex"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap()).collect();
        let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        let aimed = text.replace("localhost:8080", HOST).replace("localhost", HOST);
        streams.push(aimed.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect());
    }
    streams
}

/// What Node.js's JavaScript parser reads in each stream; `None` when it is not installed.
fn read_by_node(streams: &[Forwarded]) -> Option<Vec<Value>> {
    let python = place::python()?;
    let environment = python.parent()?.parent()?;
    let mut reader = Command::new(environment.join("bin/node"));
    reader.arg(place::workspace().join("tests/clients/http_parser.js"));
    reader.env("NODE_PATH", environment.join("node/node_modules"));
    Some(read_by(reader, streams.iter().map(|stream| stream.bytes.as_slice())))
}

fn check(stream: &Forwarded, read: &Value) {
    let shown = String::from_utf8_lossy(&stream.bytes);
    if !stream.refused {
        assert_eq!(read["error"], Value::Null, "{shown}");
    }
    let requests = read["requests"].as_array().unwrap();
    assert_eq!(requests.len(), stream.requests.len(), "{shown}\n{read}");
    for (request, announced) in requests.iter().zip(&stream.requests) {
        assert_eq!(request["method"], announced.method, "{shown}");
        let url = request["url"].as_str().unwrap();
        assert!(url.contains(announced.path.as_str()), "{url} {}", announced.path);
        let headers = request["headers"].as_array().unwrap();
        let mut found: Vec<(&str, &str)> = Vec::new();
        for header in headers {
            let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
            if is_restriction(name) {
                found.push((name, value));
            }
        }
        assert_eq!(found, SET, "{shown}");
        let hosts = headers.iter().filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case("host"));
        assert_eq!(hosts.count(), 1, "{shown}");
    }
}

#[test]
fn a_parser_of_others_reads_what_goes_upstream_as_the_exchange_does() {
    let inputs: Vec<Vec<u8>> = crafted().into_iter().chain(probes()).collect();
    let mut streams: Vec<Forwarded> = Vec::new();
    for input in &inputs {
        for step in [input.len(), 1, 7] {
            let stream = forward(input, step);
            assert_eq!(stream.bytes.is_empty(), stream.requests.is_empty());
            if !stream.bytes.is_empty() {
                streams.push(stream);
            }
        }
    }
    assert!(streams.len() > 30, "{}", streams.len());
    let Some(read) = read_by_node(&streams) else { return };
    for (stream, read) in streams.iter().zip(&read) {
        check(stream, read);
    }
}
