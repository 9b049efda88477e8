//! Hostile cases of HTTP/1.1 answers that the exchange alone decides, one test each, by the case's number.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "http1/drive.rs"]
mod drive;

use drive::{Drive, OK, get, post};
use penstock_core::flow::Leg;
use penstock_core::http1::EditFault;
use penstock_core::limits::HTTP1_INTERIM_MAX;

/// The exchange with one GET waiting.
fn waiting() -> Drive {
    let mut drive = Drive::new();
    drive.egress(get(""));
    drive
}

/// The fault of an answer, of which nothing goes downstream.
fn refused_answer(answer: impl AsRef<[u8]>) -> EditFault {
    let answer = answer.as_ref();
    for cut in (0..answer.len()).step_by(answer.len() / 256 + 1) {
        let mut drive = waiting();
        drive.ingress(&answer[..cut]).ingress(&answer[cut..]);
        let fault = drive.fault.unwrap_or_else(|| panic!("not refused: {:?}", String::from_utf8_lossy(answer)));
        assert_eq!((fault.leg(), fault.status()), (Leg::Upstream, 502));
        assert_eq!(drive.downstream, b"", "{fault}");
        assert!(drive.exchange.may_answer() && drive.exchange.must_close());
    }
    waiting().ingress(answer).fault.unwrap()
}

#[test]
fn h037_alt_svc_is_removed_from_answers() {
    let mut drive = waiting();
    drive
        .ingress("HTTP/1.1 200 OK\r\nalt-svc: h3=\":443\"\r\nA: b\r\nAlt-Svc: h2=\"x:1\"\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(drive.downstream_text(), "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn h072_an_answer_before_the_body_has_ended() {
    let mut drive = Drive::new();
    drive
        .egress(post("Content-Length: 100\r\n", "begun"))
        .ingress("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nno");
    assert!(!drive.exchange.must_close());
    drive.egress(" and on").ingress("pe");
    assert!(drive.exchange.must_close() && drive.exchange.is_idle());
    assert_eq!((drive.downstream_text().ends_with("\r\n\r\nnope"), drive.statuses()), (true, vec![Some(413)]));
    drive.egress(get("")).ingress(OK);
    assert_eq!((drive.requests.len(), drive.statuses().len()), (1, 1));
}

#[test]
fn h074_answers_that_are_refused() {
    use EditFault::*;
    for (answer, fault) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ResponseFramingMalformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", ResponseFramingMalformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", ResponseFramingMalformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", ResponseFramingMalformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", ResponseFramingMalformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", ResponseFramingMalformed),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            ResponseFramingMalformed,
        ),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ResponseFramingMalformed),
        ("HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", ResponseFramingMalformed),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ResponseUpgrade),
        ("HTTP/1.1 200 OK\r\nA\0: b\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", ResponseFieldMalformed),
        ("HTTP/1.1 200 OK\nA: b\n\n", ResponseLineMalformed),
        ("HTTP/1.1 2000 OK\r\n\r\n", ResponseLineMalformed),
        ("HTTP/1.1 20 OK\r\n\r\n", ResponseLineMalformed),
        ("HTTP/1.1 020 OK\r\n\r\n", ResponseLineMalformed),
        ("HTTP/1.1  200 OK\r\n\r\n", ResponseLineMalformed),
        ("HTTP/1.1 200 O\0K\r\n\r\n", ResponseLineMalformed),
        ("HTTP/1.2 200 OK\r\n\r\n", ResponseLineMalformed),
        ("HTTP/2.0 200 OK\r\n\r\n", ResponseLineMalformed),
        ("http/1.1 200 OK\r\n\r\n", ResponseLineMalformed),
        ("ICY 200 OK\r\n\r\n", ResponseLineMalformed),
        ("\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", ResponseLineMalformed),
        ("<html>\r\n", ResponseLineMalformed),
    ] {
        assert_eq!(refused_answer(answer), fault, "{answer:?}");
    }
}

#[test]
fn h074_bodies_where_none_belong_are_not_relayed() {
    for (head, method) in [
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET"),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD"),
        (OK, "GET"),
    ] {
        for pieces in [vec![head, "hello"], vec![&*format!("{head}hello")]] {
            let mut drive = Drive::new();
            drive.egress(get("").replace("GET", method));
            for piece in pieces {
                drive.ingress(piece);
            }
            assert_eq!(drive.downstream_text(), head);
            assert!(drive.exchange.must_close() && !drive.exchange.may_answer(), "{head}");
        }
    }
}

#[test]
fn h074_endless_interim_answers() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let mut drive = waiting();
    drive.ingress(interim.repeat(HTTP1_INTERIM_MAX)).ingress(OK).egress(get(""));
    assert_eq!(drive.downstream_text(), interim.repeat(HTTP1_INTERIM_MAX) + OK);
    drive.ingress(interim.repeat(HTTP1_INTERIM_MAX + 1));
    assert_eq!(drive.fault, Some(EditFault::ResponseInterim));
    let mut drive = Drive::new();
    drive.egress(get("").replace("1.1\r", "1.0\r")).ingress("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(drive.fault, Some(EditFault::ResponseInterim));
}

#[test]
fn h074_a_chunk_error_ends_the_answer_where_it_stands() {
    for cut in 0..60 {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n";
        let mut drive = waiting();
        drive.ingress(&answer[..cut]).ingress(&answer[cut..]);
        assert_eq!(drive.fault, Some(EditFault::ResponseChunkMalformed));
        assert!(drive.downstream_text().ends_with("2\r\nok\r\n") && !drive.exchange.may_answer());
    }
}

#[test]
fn h074_an_answer_to_nobody() {
    let mut drive = Drive::new();
    drive.ingress("HTTP/1.1 408 Request Timeout\r\n\r\n");
    assert_eq!((drive.fault, &drive.downstream[..]), (Some(EditFault::ResponseUnasked), &b""[..]));
    assert!(!drive.exchange.may_answer());
}

#[test]
fn h075_heads_without_end() {
    assert_eq!(refused_answer(format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(10 << 20))), EditFault::ResponseTooLong);
    assert_eq!(refused_answer(format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:\r\n".repeat(1000))), EditFault::ResponseTooLong);
}
