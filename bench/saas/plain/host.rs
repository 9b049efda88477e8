//! The host that no vendor claims: text, deterministic bytes, uploads with their digest, slow answers, events and
//! an echoing WebSocket.
//!
//! Owns the paths of a plain host; the making of the odd contents stands in the files beside it. `endpoint` calls it.

use std::time::Duration;

use serde_json::json;

use super::{digest, pattern, websocket};
use crate::request::Request;
use crate::response::{Content, Response};

pub(crate) fn answer(request: &Request) -> Response {
    let segments = request.segments();
    match (request.method(), segments.as_slice()) {
        ("GET" | "HEAD", []) => Response::text(200, format!("This is {}, unrestricted.\n", request.host)),
        ("GET" | "HEAD", ["bytes", count]) => bytes(request, count),
        ("GET", ["delay", milliseconds]) => delay(milliseconds),
        (_, ["early", code] | ["status", code]) => status(code),
        ("GET", ["echo-ws"]) => websocket::upgrade(request),
        ("GET", ["slow"]) => {
            let (count, interval) = pace(request, 10, 200);
            Response::new(200, "text/plain", Content::Slow { count, interval })
        }
        ("GET", ["sse"]) => {
            let (count, interval) = pace(request, 5, 100);
            Response::new(200, "text/event-stream", Content::Events { count, interval })
                .with("Cache-Control", "no-store")
        }
        ("POST" | "PUT", ["upload"]) => digest::Upload::new().answer(),
        ("POST" | "PUT", ["echo"]) => {
            let content_type = request.head.first("content-type").unwrap_or("application/octet-stream");
            Response::new(200, content_type, Content::Bytes(request.body.to_vec()))
        }
        _ => Response::unknown(&request.host, request.path()),
    }
}

fn bytes(request: &Request, count: &str) -> Response {
    match count.parse() {
        Ok(count) if count <= PATTERN_BYTES_MAX => {
            let response = Response::new(200, "application/octet-stream", Content::Pattern(count));
            // A digest of a gigabyte takes longer than its transfer, so a load tool leaves it out.
            if request.query("digest").as_deref() == Some("0") {
                return response;
            }
            response.with("X-Content-Sha256", pattern::sha256(count))
        }
        _ => bad("the number of bytes", PATTERN_BYTES_MAX),
    }
}

fn delay(milliseconds: &str) -> Response {
    match milliseconds.parse() {
        Ok(milliseconds) if milliseconds <= DELAY_MS_MAX => {
            Response::text(200, "Late.\n").delayed(Duration::from_millis(milliseconds))
        }
        _ => bad("the delay in milliseconds", DELAY_MS_MAX),
    }
}

fn status(code: &str) -> Response {
    match code.parse() {
        Ok(code @ 200..=599) => Response::text(code, format!("Status {code}.\n")),
        _ => bad("the status, from 200,", 599),
    }
}

fn pace(request: &Request, count: u32, interval_ms: u64) -> (u32, Duration) {
    let count = request.query("count").and_then(|text| text.parse().ok()).unwrap_or(count);
    let interval_ms = request.query("interval_ms").and_then(|text| text.parse().ok()).unwrap_or(interval_ms);
    (count.min(PACED_COUNT_MAX), Duration::from_millis(interval_ms.min(DELAY_MS_MAX)))
}

fn bad(what: &str, max: u64) -> Response {
    let message = format!("{what} must be a number up to {max}");
    Response::json(400, &json!({ "error": { "code": "bad_request", "message": message } }))
}

const PATTERN_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
const DELAY_MS_MAX: u64 = 60_000;
const PACED_COUNT_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Response {
        answer(&Request::example("www.example.com", &[&format!("GET {target} HTTP/1.1")], ""))
    }

    #[test]
    fn bytes_say_their_digest_unless_told_not_to() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(get("/bytes/0").header("x-content-sha256"), Some(empty));
        assert_eq!(get("/bytes/10?digest=0").header("x-content-sha256"), None);
        assert_eq!(get("/bytes/10?digest=0").content, Content::Pattern(10));
        assert_eq!(get("/bytes/many").status, 400);
        assert_eq!(get("/bytes/99999999999999").status, 400);
    }

    #[test]
    fn odd_answers_come_as_asked() {
        assert_eq!(get("/status/503").status, 503);
        assert_eq!(get("/status/101").status, 400);
        assert_eq!(get("/delay/250").delay, Duration::from_millis(250));
        assert_eq!(get("/delay/999999999").status, 400);
        let paced = Content::Slow { count: 3, interval: Duration::from_millis(1) };
        assert_eq!(get("/slow?count=3&interval_ms=1").content, paced);
        assert!(matches!(get("/sse").content, Content::Events { count: 5, .. }));
    }

    #[test]
    fn what_is_not_there_is_a_json_404() {
        let answer = get("/nothing");
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body_json()["error"]["code"], "not_found");
    }
}
