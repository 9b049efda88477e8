//! Makes requests and answers from a seed, each with what must become of it, by a model that knows nothing of the product.
#![allow(dead_code, reason = "each test file uses its part")]

#[path = "../http/dice.rs"]
mod dice;

pub(crate) use dice::Dice;

use super::drive::{BLOCK, HOST};
use super::strict::RESTRICTION_HEADERS;

/// A request, what must go upstream of it, and what matters for the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) input: Vec<u8>,
    pub(crate) expected: Vec<u8>,
    pub(crate) is_head: bool,
    pub(crate) is_upgrade: bool,
    pub(crate) is_last: bool,
    pub(crate) is_http_1_0: bool,
    /// Names of the client's own restriction headers, lower-case, each once, in order.
    pub(crate) stripped: Vec<String>,
}

/// A head in the making: lines, and whether each stays.
struct Lines(Vec<(String, bool)>);

impl Lines {
    fn add(&mut self, dice: &mut Dice, line: String, stays: bool) {
        let place = dice.below(self.0.len() + 1);
        self.0.insert(place, (line, stays));
    }
}

/// What `Connection`, `TE` and `Upgrade` say.
struct Hop {
    close: bool,
    keep_alive: bool,
    te: bool,
    upgrade: bool,
    /// A nominated field.
    nominated: Option<&'static str>,
}

pub(crate) fn request(dice: &mut Dice) -> Made {
    let method = dice.pick(&["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PROPFIND"]);
    let target =
        dice.pick(&["/", "/a/b?c=d", "/x?q=%0d%0a\\\"{}|^`", "https://login.example/abs?1", "//double//", "/%2e%2e/"]);
    let is_http_1_0 = dice.one_in(12);
    let mut lines = Lines(vec![(format!("{}{HOST}", dice.pick(&["Host: ", "host:", "HOST:\t "])), true)]);
    for _ in 0..dice.below(8) {
        let line = ordinary_line(dice);
        lines.add(dice, line, true);
    }
    let mut made = Made { is_head: method == "HEAD", is_http_1_0, ..Made::default() };
    add_restriction_headers(dice, &mut lines, &mut made);
    add_hop_fields(dice, &mut lines);
    let hop = add_connection(dice, &mut lines, &mut made, method);
    let (input_body, expected_body) = add_body(dice, &mut lines, method, is_http_1_0);
    if hop.te || dice.one_in(10) {
        lines.add(dice, "TE: trailers".into(), hop.te);
    }
    write(&mut made, &lines, &hop, &format!("{method} {target} HTTP/1.{}\r\n", u8::from(!is_http_1_0)));
    made.input.extend(input_body);
    made.expected.extend(expected_body);
    made
}

fn ordinary_line(dice: &mut Dice) -> String {
    let name = dice.pick(&[
        "Accept",
        "X-Y",
        "Cookie",
        "a!#$%&'*+-.^_`|~9",
        "Restrict-Access-To-Tenant",
        "Sec-Fetch-Mode",
        "Keep-Alive",
    ]);
    let value = dice.pick(&[
        "",
        " ",
        " a",
        "\tb, c ",
        " caf\u{e9}=1",
        " \"q;\u{7fff}\"",
        " Restrict-Access-To-Tenants: x",
        ":",
        " a:b",
    ]);
    format!("{name}:{value}")
}

fn add_restriction_headers(dice: &mut Dice, lines: &mut Lines, made: &mut Made) {
    for _ in 0..dice.below(4) {
        let name = dice.pick(RESTRICTION_HEADERS);
        let number = if name.starts_with("anthropic") { dice.pick(&["", "1", "07"]) } else { "" };
        let name = format!("{name}{number}");
        let disguised = name.chars().map(|character| match (character, dice.below(6)) {
            ('-', 0) => '_',
            ('-', 1) => '.',
            (_, 2) => character.to_ascii_uppercase(),
            _ => character,
        });
        let line = format!("{}:{}", disguised.collect::<String>(), dice.pick(&["", " evil.example", " *"]));
        lines.add(dice, line, false);
    }
    for (line, stays) in &lines.0 {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        if !stays && !made.stripped.contains(&name) {
            made.stripped.push(name);
        }
    }
}

fn add_hop_fields(dice: &mut Dice, lines: &mut Lines) {
    for line in
        ["Proxy-Authorization: Basic eA==", "proxy_connection: keep-alive", "Trailer: X-Sum", "HTTP2-Settings: AAMA"]
    {
        if dice.one_in(6) {
            lines.add(dice, line.into(), false);
        }
    }
}

fn add_connection(dice: &mut Dice, lines: &mut Lines, made: &mut Made, method: &str) -> Hop {
    let mut hop = Hop {
        close: dice.one_in(16),
        keep_alive: dice.one_in(2),
        te: dice.one_in(8),
        upgrade: dice.one_in(6),
        nominated: None,
    };
    let websocket = dice.one_in(2);
    if hop.upgrade {
        lines.add(dice, format!("Upgrade: {}", if websocket { "WebSocket" } else { "h2c" }), false);
    }
    let mut options: Vec<&str> = vec![];
    let known = [(hop.close, "close"), (hop.keep_alive, "Keep-Alive"), (hop.te, "te"), (hop.upgrade, "UPGRADE")];
    options.extend(known.iter().filter(|(is_set, _)| *is_set).map(|(_, option)| *option));
    if dice.one_in(6) {
        let nominated = dice.pick(&["restrict-access-to-tenants", "X-Nominated", "http2-settings"]);
        hop.nominated = Some(nominated);
        options.insert(dice.below(options.len() + 1), nominated);
        if dice.one_in(2) {
            lines.add(dice, "x-nominated: 1".into(), nominated != "X-Nominated");
        }
    }
    made.is_upgrade = hop.upgrade && websocket && method == "GET" && !made.is_http_1_0;
    made.is_last = hop.close || (made.is_http_1_0 && !hop.keep_alive);
    let is_renewed = hop.nominated.is_some() || (hop.upgrade && !made.is_upgrade);
    let cut = dice.below(options.len() + 1);
    for half in [&options[..cut], &options[cut..]] {
        if !half.is_empty() {
            lines.add(dice, format!("Connection: {}", half.join(", ")), !is_renewed);
        }
    }
    if made.is_upgrade {
        for (line, stays) in &mut lines.0 {
            *stays |= line.starts_with("Upgrade:");
        }
    }
    hop
}

/// The body as it comes and as it goes on.
fn add_body(dice: &mut Dice, lines: &mut Lines, method: &str, is_http_1_0: bool) -> (Vec<u8>, Vec<u8>) {
    let body: Vec<u8> =
        (0..dice.below(60)).map(|_| dice.pick(&["\r\n", "G", "0", "\r\n\r\n", ":"]).as_bytes()[0]).collect();
    if ["GET", "HEAD"].contains(&method) || dice.one_in(4) {
        return (vec![], vec![]);
    }
    if is_http_1_0 || dice.one_in(2) {
        let space = dice.pick(&["", " "]);
        lines.add(dice, format!("Content-Length:{space}{}", body.len()), true);
        return (body.clone(), body);
    }
    lines.add(dice, "Transfer-Encoding: chunked".into(), true);
    let mut kept = vec![];
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + dice.below(rest.len()));
        let extension = dice.pick(&["", "", ";a", ";a=b;c=\"d\\\";\""]);
        kept.extend(format!("{}{:x}{extension}\r\n", "0".repeat(dice.below(3)), chunk.len()).bytes());
        kept.extend(chunk);
        kept.extend(b"\r\n");
        rest = after;
    }
    kept.extend(dice.pick(&["0\r\n", "000;last\r\n"]).bytes());
    let trailers = dice.pick(&["", "", "Restrict-Access-To-Tenants: x\r\n", "A: b\r\nTransfer-Encoding: chunked\r\n"]);
    ([&kept[..], trailers.as_bytes(), b"\r\n"].concat(), [&kept[..], b"\r\n"].concat())
}

fn write(made: &mut Made, lines: &Lines, hop: &Hop, request_line: &str) {
    let mut input = request_line.to_owned();
    let mut expected = request_line.to_owned() + BLOCK;
    let is_renewed = lines.0.iter().any(|(line, stays)| !stays && line.starts_with("Connection:"));
    if is_renewed {
        let options =
            [(hop.close, "close"), (hop.keep_alive, "keep-alive"), (hop.te, "TE"), (made.is_upgrade, "Upgrade")];
        let kept: Vec<&str> = options.iter().filter(|(is_set, _)| *is_set).map(|(_, option)| *option).collect();
        if !kept.is_empty() {
            expected += &format!("Connection: {}\r\n", kept.join(", "));
        }
    }
    for (line, stays) in &lines.0 {
        input += &format!("{line}\r\n");
        if *stays {
            expected += &format!("{line}\r\n");
        }
    }
    made.input = (input + "\r\n").into_bytes();
    made.expected = (expected + "\r\n").into_bytes();
}

/// An answer to `made`, what must go downstream of it, and whether nothing may follow.
pub(crate) fn answer(dice: &mut Dice, made: &Made) -> (Vec<u8>, Vec<u8>, bool) {
    let mut text = String::new();
    if !made.is_http_1_0 && dice.one_in(5) {
        text += "HTTP/1.1 100 Continue\r\n\r\n";
    }
    let alt_svc = dice.pick(&["", "Alt-Svc: h3=\":443\"\r\n"]);
    let fields = format!("A: b\r\n{alt_svc}");
    let body = &"event: hello\r\n\r\n0\r\n\r\n"[..dice.below(21)];
    let (status, framing, body, ends) = match dice.below(6) {
        0 => ("204 No Content", String::new(), String::new(), false),
        1 => ("304 Not Modified", "Content-Length: 9\r\n".into(), String::new(), false),
        2 => {
            ("403 \u{e9}", format!("content-length:  0{} \r\nConnection: close\r\n", body.len()), body.to_owned(), true)
        }
        3 if body.is_empty() => {
            ("200", "Transfer-Encoding: Chunked\r\n".into(), "0\r\nTrailer: x\r\n\r\n".into(), false)
        }
        3 => (
            "200 OK",
            "Transfer-Encoding: chunked\r\n".into(),
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
            false,
        ),
        _ => ("200 OK", format!("Content-Length: {}\r\n", body.len()), body.to_owned(), false),
    };
    let body = if made.is_head { String::new() } else { body };
    text += &format!("HTTP/1.1 {status}\r\n{fields}{framing}\r\n{body}");
    (text.clone().into_bytes(), text.replace(alt_svc, "").into_bytes(), ends || made.is_last)
}
