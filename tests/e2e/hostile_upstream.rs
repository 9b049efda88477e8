//! Hostile origins (h074, h075, h056): answers that are broken, endless, enormous, or lie about their length.

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::upstream::{Then, Upstream};

const ENTRA: &str = "login.microsoftonline.com";

/// Every byte that a client gets when the origin answers with `answer` and then does `then`.
fn heard(answer: &[u8], then: Then) -> Vec<u8> {
    let upstream = Upstream::plan().bytes(answer, then).start();
    let appliance = before(&upstream);
    let mut client = appliance.client(ENTRA);
    client.send(format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    client.rest()
}

fn before(upstream: &Upstream) -> Appliance {
    Setup::default().upstream(upstream).shards(1).start()
}

/// The one 502, or nothing at all.
fn is_fault(heard: &[u8]) -> bool {
    heard.is_empty() || heard.starts_with(b"HTTP/1.1 502 ")
}

#[test]
fn h074_broken_answers_become_502_or_a_close() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
        b"HTTP/2 200\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
    ] {
        let heard = heard(answer, Then::Close);
        assert!(is_fault(&heard), "{:?} gave {:?}", String::from_utf8_lossy(answer), String::from_utf8_lossy(&heard));
    }
}

#[test]
fn h074_endless_interim_answers_are_cut() {
    let heard = heard(&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(5000), Then::Close);
    assert!(heard.len() < 64 * 1024, "{} bytes of interim answers", heard.len());
}

#[test]
fn h074_a_broken_chunk_ends_the_connection() {
    for body in ["5\r\nabcde\r\nzz\r\n", "5\r\nabcdefgh\r\n0\r\n\r\n", "fffffffffffffffff\r\n", "5\nabcde\r\n0\r\n\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let heard = heard(answer.as_bytes(), Then::Keep);
        let text = String::from_utf8_lossy(&heard).into_owned();
        assert!(!text.ends_with("0\r\n\r\n"), "{body:?}: a broken body looks whole: {text:?}");
    }
}

/// Bytes behind an answer are never taken for the answer to a later request, and a body where none may be is no answer.
#[test]
fn h074_surplus_bytes_are_nobodys_answer() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmugg"[..],
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmugg",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nsmugg",
    ] {
        let upstream = Upstream::plan().bytes(answer, Then::Keep).start();
        let appliance = before(&upstream);
        let mut client = appliance.client(ENTRA);
        client.send(format!("GET /a HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
        assert!(client.next_answer(false).is_some_and(|answer| matches!(answer.status, 200 | 204 | 304)));
        let _ = client.try_send(format!("GET /b HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(!rest.contains("smugg") || rest.is_empty(), "{rest:?}");
    }
}

/// An answer cut short must not look whole.
#[test]
fn h074_a_truncated_answer_is_seen_to_be_truncated() {
    for (answer, then) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"[..], Then::Close),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", Then::Reset),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Then::Close),
        (b"HTTP/1.1 200 OK\r\nConte", Then::Close),
    ] {
        let upstream = Upstream::plan().bytes(answer, then).start();
        let appliance = before(&upstream);
        let mut client = appliance.client(ENTRA);
        client.send(format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
        let answer = client.next_answer(false);
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 502), "{answer:?}");
    }
}

/// A body that ends with the connection is legal, and arrives whole.
#[test]
fn a_body_that_ends_with_the_connection_arrives_whole() {
    let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    answer.extend(std::iter::repeat_n(b'x', 300_000));
    let heard = heard(&answer, Then::Close);
    assert_eq!(heard.len(), answer.len());
    assert!(heard.ends_with(b"xxxx"));
}

#[test]
fn h075_an_enormous_head_is_502() {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    for index in 0..100_000 {
        answer.extend_from_slice(format!("X-{index}: {}\r\n", "y".repeat(90)).as_bytes());
    }
    answer.extend_from_slice(b"\r\n");
    assert!(is_fault(&heard(&answer, Then::Close)));
    let mut fields = b"HTTP/1.1 200 OK\r\n".to_vec();
    (0..2000).for_each(|_| fields.extend_from_slice(b"X: y\r\n"));
    fields.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    assert!(is_fault(&heard(&fields, Then::Close)));
}

#[test]
fn h056_an_origin_that_reflects_the_header_does_not_put_it_into_our_records() {
    let upstream = Upstream::plan().answering(|request, out| {
        let reflected: String = request.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{reflected}", reflected.len())
            .map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let appliance = before(&upstream);
    assert!(appliance.client(ENTRA).get(ENTRA, "/").text().contains("fabrikam"));
    let events = appliance.admin().await_events("", 1);
    assert!(!format!("{events:?}").contains("fabrikam"), "{events:?}");
    assert!(!appliance.log().contains("fabrikam"));
    assert!(!appliance.admin().open_get("/metrics").1.contains("fabrikam"));
}
