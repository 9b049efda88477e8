//! Clients that let the body of a request trickle, and those whose body merely waits for its origin.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http2::Ask;
use penstock_tests::plain::PlainOrigin;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{Then, Upstream};
use penstock_tests::wait;

use crate::hostile_http2::{DATA, END_HEADERS, END_STREAM, HEADERS, begin, frame, frames, post};

const ENTRA: &str = "login.microsoftonline.com";

/// Wants a portion of a body each second, and nothing else for a quarter of an hour.
const IMPATIENT: &str = "request_body_ms = 1000";

fn impatient(upstream: &Upstream) -> Appliance {
    Setup::default().upstream(upstream).deadlines(IMPATIENT).start()
}

/// Sends a few bytes again and again until the connection is closed.
fn trickle(mut send: impl FnMut() -> std::io::Result<()>) {
    wait::until("the connection to be closed", || {
        thread::sleep(Duration::from_millis(100));
        send().is_err().then_some(())
    });
}

fn faults(appliance: &Appliance) -> f64 {
    let labels = ["leg=\"downstream\"", "phase=\"edit\"", "kind=\"too_slow\""];
    appliance.admin().metrics().sum("penstock_faults_total", &labels)
}

fn await_faults(appliance: &Appliance, count: f64) {
    wait::until(&format!("{count} faults in\n{}", appliance.log()), || (faults(appliance) == count).then_some(()));
}

#[test]
fn h069_a_body_that_trickles_is_cut() {
    let upstream = Upstream::plan().start();
    let appliance = impatient(&upstream);
    let head = format!("POST /slow HTTP/1.1\r\nHost: {ENTRA}\r\n");
    for (framing, drip) in
        [("Content-Length: 100000\r\n\r\n", "x"), ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n")]
    {
        let mut client = appliance.client(ENTRA);
        client.send(format!("{head}{framing}"));
        trickle(|| client.try_send(drip));
    }
    await_faults(&appliance, 2.0);
    let requests = wait::until("both requests to be recorded", || {
        let events = appliance.admin().events("status=fault");
        let requests: Vec<_> = events.into_iter().filter(|event| event["path"] == "/slow").collect();
        (requests.len() == 2).then_some(requests)
    });
    assert!(requests.iter().all(|event| event["method"] == "POST"), "{requests:?}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn h069_a_body_that_trickles_over_http_2_is_cut() {
    let upstream = Upstream::plan().start();
    let appliance = impatient(&upstream);
    let mut client = begin(&appliance);
    // Other streams may come and go meanwhile; they bring no content.
    client.send(frame(HEADERS, END_HEADERS, 1, &post(&[])));
    trickle(|| client.try_send(frame(DATA, 0, 1, b"x")));
    await_faults(&appliance, 1.0);
    // The same within one frame.
    let mut client = begin(&appliance);
    client.send(frame(HEADERS, END_HEADERS, 1, &post(&[])));
    let upload = frame(DATA, END_STREAM, 1, &[7; 16_000]);
    let mut bytes = upload.iter();
    trickle(|| client.try_send([*bytes.next().unwrap()]));
    await_faults(&appliance, 2.0);
    assert!(upstream.requests().is_empty());
}

#[test]
fn h069_a_body_that_trickles_in_the_clear_is_cut() {
    let origin = PlainOrigin::start();
    let appliance = Setup::default().host("*", origin.address()).deadlines(IMPATIENT).start();
    let begin = |host: &str| -> TcpStream {
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        write!(stream, "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 40\r\n\r\n").unwrap();
        stream
    };
    let (mut slow, mut other) = (begin(ENTRA), begin("passed.example"));
    trickle(|| other.write_all(b"").and_then(|()| slow.write_all(b"x")));
    await_faults(&appliance, 1.0);
    // What is not inspected is nobody's business.
    other.write_all(&[b'x'; 40]).unwrap();
    assert_eq!(tunnel::read_whole_answer(&mut other).status, 200);
}

/// Longer than a process that is ready to run waits for its turn, on any machine.
const PATIENT: &str = "request_body_ms = 3000";

/// Uploads larger than all buffers on the way, to an origin that does not read for several times the deadline: by TCP's flow
/// control, and by that of HTTP/2.
#[test]
fn h069_an_upload_that_waits_for_its_origin_is_borne_with() {
    let plan = Upstream::plan().dawdling(Duration::from_secs(7)).answering(|request, out| {
        let text = request.body.len().to_string();
        write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            .map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = Setup::default().upstream(&upstream).deadlines(PATIENT).start();
    let mut client = appliance.client(ENTRA);
    client.send(format!("POST / HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"));
    client.send(vec![7; UPLOAD_BYTES]);
    assert_eq!(client.answer().text(), UPLOAD_BYTES.to_string());
    let answer = appliance.http2_client(ENTRA).ask(Ask::post(ENTRA, "/", vec![7; UPLOAD_BYTES]));
    let answer = answer.unwrap_or_else(|error| panic!("{error}; {} faults\n{}", faults(&appliance), appliance.log()));
    assert_eq!(answer.text(), UPLOAD_BYTES.to_string());
    assert_eq!(faults(&appliance), 0.0);
}

#[test]
fn h069_an_upload_in_the_clear_that_waits_for_its_origin_is_borne_with() {
    let address = penstock_tests::upstream::listen(|mut stream| {
        thread::sleep(Duration::from_secs(7));
        let mut left = vec![0; 64 * 1024];
        let mut count = 0;
        while count < UPLOAD_BYTES {
            count += stream.read(&mut left).unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let appliance = Setup::default().host("*", address).deadlines(PATIENT).start();
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    write!(stream, "POST http://{ENTRA}/ HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n").unwrap();
    stream.write_all(&vec![7; UPLOAD_BYTES]).unwrap();
    assert_eq!(tunnel::read_whole_answer(&mut stream).status, 204);
    assert_eq!(faults(&appliance), 0.0);
}

/// Messages of a few bytes, further apart than a body may be slow.
#[test]
fn h069_a_quiet_call_of_grpc_is_borne_with() {
    let upstream = Upstream::plan().start();
    let appliance = impatient(&upstream);
    let mut client = begin(&appliance);
    client.send(frame(HEADERS, END_HEADERS, 1, &post(&[("content-type", "application/grpc"), ("te", "trailers")])));
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(1_500));
        client.send(frame(DATA, 0, 1, b"message"));
    }
    client.send(frame(DATA, END_STREAM, 1, b""));
    let mut received = Vec::new();
    while !frames(&received).iter().any(|frame| frame.stream == 1 && frame.kind == DATA) {
        received.extend(client.some());
    }
    assert_eq!(upstream.await_requests(1)[0].body, b"message".repeat(3));
    assert_eq!(faults(&appliance), 0.0);
}

const UPLOAD_BYTES: usize = 24 * 1024 * 1024;
