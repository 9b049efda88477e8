//! The appliance's own answers: short, honest, with the flow's id, and never a path, a version or a secret.

use alloc::format;
use alloc::vec::Vec;

/// An answer that ends the connection. `reason` is a label or a sentence for the reader; `flow` is the flow's id, by which
/// the operator finds the rest.
pub fn response(status: u16, reason: &str, flow: &str) -> Vec<u8> {
    let phrase = phrase(status);
    let body = format!("{status} {phrase}\nThis answer was made by the network's proxy: {reason}\nflow: {flow}\n");
    // A 405 must say what is allowed (RFC 9110 section 15.5.6); the resource that was asked for allows nothing here.
    let allow = if status == 405 { "Allow: \r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n{allow}\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body.as_bytes());
    answer
}

/// Asks for credentials (RFC 9110 section 11.7.1). The connection goes on unless `is_last`: clients repeat the request on it.
/// `realm` is plain text without quotes and backslashes.
pub fn challenge(realm: &str, flow: &str, is_last: bool) -> Vec<u8> {
    let body = format!("407 {}\nThis answer was made by the network's proxy: credentials\nflow: {flow}\n", phrase(407));
    let connection = if is_last { "close" } else { "keep-alive" };
    format!(
        "HTTP/1.1 407 {}\r\nProxy-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: {connection}\r\nProxy-Connection: {connection}\r\n\r\n{body}",
        phrase(407),
        body.len()
    )
    .into_bytes()
}

/// A proxy auto-configuration script, which ends the connection. Browsers keep it for a short while.
pub fn script(text: &str, is_head: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\nContent-Length: {}\r\n\
         Cache-Control: max-age=60\r\nConnection: close\r\n\r\n",
        text.len()
    );
    [head.as_bytes(), if is_head { b"" } else { text.as_bytes() }].concat()
}

/// The reason phrase of a status that the appliance gives (RFC 9110 section 15, RFC 6585 section 5).
const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_framed_right_and_close() {
        for status in [200, 400, 403, 405, 421, 502, 504, 999] {
            let answer = response(status, "wrong_host", "1-2a-3");
            let mut fields = [httparse::EMPTY_HEADER; 16];
            let mut parsed = httparse::Response::new(&mut fields);
            let head = parsed.parse(&answer).unwrap().unwrap();
            assert_eq!(parsed.code, Some(status));
            assert_eq!(parsed.reason, Some(phrase(status)));
            let field = |name| parsed.headers.iter().find(|field| field.name == name).map(|field| field.value);
            assert_eq!(field("Content-Length"), Some(std::format!("{}", answer.len() - head).as_bytes()));
            assert_eq!(field("Connection"), Some(&b"close"[..]));
            assert_eq!(field("Allow").is_some(), status == 405);
            let body = std::str::from_utf8(&answer[head..]).unwrap();
            assert!(body.contains("wrong_host") && body.contains("flow: 1-2a-3\n"), "{body}");
        }
    }
}
