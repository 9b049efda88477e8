//! An answer before it is written: status, headers and what the content is made of.
//!
//! Owns the encoding of an HTTP/1.1 response head. `connection` and `http2` write it; every endpoint builds one.

use std::time::Duration;

use serde_json::Value;

use crate::clock;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
    /// Whether the connection ends after this answer.
    pub(crate) closes: bool,
    /// How long the answer is held back before its first byte.
    pub(crate) delay: Duration,
}

/// What follows the head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// `count` server-sent events, one each `interval`, in chunked coding.
    Events {
        count: u32,
        interval: Duration,
    },
    /// The first `0` bytes of the fixed pattern (see `plain::pattern`).
    Pattern(u64),
    /// These bytes stand for head and content; nothing else is written, and the connection ends.
    Raw(Vec<u8>),
    /// `count` bytes, one each `interval`, under a content length.
    Slow {
        count: u32,
        interval: Duration,
    },
    /// The upgrade is done; frames are echoed from here.
    WebSocket,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, content: Content) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, content, closes: false, delay: Duration::ZERO }
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", Content::Bytes(value.to_string().into_bytes()))
    }

    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", Content::Bytes(text.into().into_bytes()))
    }

    /// A small page; `body` is HTML already.
    pub(crate) fn page(status: u16, title: &str, body: &str) -> Self {
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body><h1>{title}</h1>\n{body}\n</body></html>\n"
        );
        Self::new(status, "text/html; charset=utf-8", Content::Bytes(html.into_bytes()))
    }

    pub(crate) fn redirect(location: &str) -> Self {
        Self::text(302, "").with("Location", location)
    }

    /// What any host says of a path it does not have.
    pub(crate) fn unknown(host: &str, path: &str) -> Self {
        let error = serde_json::json!({ "code": "not_found", "message": format!("{host} has nothing at {path}") });
        Self::json(404, &serde_json::json!({ "error": error }))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) const fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(crate) const fn delayed(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The head with its empty line; `closes` is said in it.
    pub(crate) fn encode_head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\nDate: {}\r\n", self.status, reason(self.status), clock::http_date());
        for (name, value) in &self.headers {
            if matches!(self.content, Content::WebSocket) && *name == "Content-Type" {
                continue;
            }
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(bytes) = self.length() {
            head.push_str(&format!("Content-Length: {bytes}\r\n"));
        } else if self.has_content() && matches!(self.content, Content::Events { .. }) {
            head.push_str("Transfer-Encoding: chunked\r\n");
        }
        if self.closes {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// How long the content is, where that is known before it is sent.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            _ if !self.has_content() => None,
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Pattern(bytes) => Some(*bytes),
            Content::Slow { count, .. } => Some(u64::from(*count)),
            Content::Events { .. } | Content::Raw(_) | Content::WebSocket => None,
        }
    }

    /// Whether this status has content at all (RFC 9110, 6.4.1).
    pub(crate) const fn has_content(&self) -> bool {
        !matches!(self.status, 100..=199 | 204 | 304)
    }
}

/// Escapes what HTML would read as markup.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn reason(status: u16) -> &'static str {
    const REASONS: [(u16, &str); 22] = [
        (101, "Switching Protocols"),
        (200, "OK"),
        (201, "Created"),
        (202, "Accepted"),
        (204, "No Content"),
        (206, "Partial Content"),
        (301, "Moved Permanently"),
        (302, "Found"),
        (304, "Not Modified"),
        (307, "Temporary Redirect"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (409, "Conflict"),
        (413, "Content Too Large"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
    ];
    REASONS.iter().find(|(code, _)| *code == status).map_or("Status", |(_, reason)| reason)
}

#[cfg(test)]
impl Response {
    /// The content as text, for the vendors' tests.
    pub(crate) fn body_text(&self) -> String {
        match &self.content {
            Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("no text in {other:?}"),
        }
    }

    /// The content as JSON, for the vendors' tests.
    pub(crate) fn body_json(&self) -> Value {
        serde_json::from_str(&self.body_text()).unwrap()
    }

    /// The value of a header, for the vendors' tests.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_its_length_and_whether_it_closes() {
        let head = String::from_utf8(Response::text(200, "hello").closing().encode_head()).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Length: 5\r\nConnection: close\r\n\r\n"), "{head}");
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        let head = String::from_utf8(Response::text(204, "").encode_head()).unwrap();
        assert!(!head.contains("Content-Length"), "{head}");
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
