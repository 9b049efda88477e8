//! Clients over HTTP/2 that begin and do not go on, and clients that merely wait.

use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::Client;
use penstock_tests::http2::Ask;
use penstock_tests::upstream::{Then, Upstream};
use penstock_tests::{place, wait};

use crate::hostile_http2::{
    END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, begin, connect, frame, frames, get,
    request,
};

const ENTRA: &str = "login.microsoftonline.com";

/// Ends what owes something within a second, and nothing else for a quarter of an hour.
const IMPATIENT: &str = "stall_ms = 1000\nrequest_head_ms = 1000";

/// An origin whose answers hold more than a client without room takes, or more than all buffers on the way hold.
fn verbose() -> Upstream {
    let plan = Upstream::plan().answering(|request, out| {
        let bytes = if request.values("x-large").count() > 0 { 24 * MIB } else { 8 * 1024 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        out.write_all(head.as_bytes())
            .and_then(|()| out.write_all(&vec![7; bytes]))
            .map_or(Then::Reset, |()| Then::Keep)
    });
    plan.start()
}

fn impatient(upstream: &Upstream) -> Appliance {
    Setup::default().upstream(upstream).deadlines(IMPATIENT).start()
}

fn window(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, &[7; 8])
}

/// A connection whose client grants streams no room, with 100 requests.
fn without_room(appliance: &Appliance) -> Client {
    let mut client = connect(appliance);
    let requests: Vec<u8> = (0..100).flat_map(|number| get(2 * number + 1)).collect();
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]), &requests].concat());
    let mut received = Vec::new();
    while frames(&received).iter().filter(|frame| frame.kind == HEADERS).count() < 100 {
        received.extend(client.some());
    }
    client
}

/// A connection whose client grants all the room there is, and reads nothing of what comes.
fn without_reading(appliance: &Appliance) -> Client {
    let mut client = begin(appliance);
    let room = (1 << 31) - 1 - 65_535;
    let large = frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("x-large", "")]));
    client.send([large, window(0, room), window(1, room)].concat());
    client
}

/// Sends `drip` again and again until the connection is closed.
fn drip(client: &mut Client, drip: &[u8]) {
    wait::until("the connection to be closed", || {
        // A few times a second: no flood, and far more often than the deadline.
        thread::sleep(Duration::from_millis(100));
        client.try_send(drip).is_err().then_some(())
    });
}

fn await_fault(appliance: &Appliance, labels: [&str; 3]) {
    wait::until(&format!("a fault with {labels:?} in\n{}", appliance.log()), || {
        (appliance.admin().metrics().sum("penstock_faults_total", &labels) >= 1.0).then_some(())
    });
}

const STALLED: [&str; 3] = ["leg=\"downstream\"", "phase=\"relay\"", "kind=\"stalled\""];
const LATE: [&str; 3] = ["leg=\"downstream\"", "phase=\"edit\"", "kind=\"deadline\""];

#[test]
fn h080_drips_do_not_put_the_stall_deadline_off() {
    let upstream = verbose();
    let appliance = impatient(&upstream);
    let mut client = without_room(&appliance);
    drip(&mut client, &[window(1, 1), window(0, 1), ping()].concat());
    await_fault(&appliance, STALLED);
    upstream.verify();
}

#[test]
fn h083_a_reader_that_grants_no_room_or_does_not_read_is_reaped() {
    let upstream = verbose();
    let appliance = impatient(&upstream);
    drip(&mut without_room(&appliance), &ping());
    await_fault(&appliance, STALLED);
    // A connection of its own counts.
    let appliance = impatient(&upstream);
    drip(&mut without_reading(&appliance), &ping());
    await_fault(&appliance, STALLED);
}

/// Also in debug builds, and with what the allocator keeps.
#[test]
fn h083_a_stalled_connection_costs_less_than_a_mebibyte() {
    let upstream = verbose();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let open = |count: usize| -> Vec<Client> {
        let rooms = (0..2 * count).map(|_| without_room(&appliance));
        rooms.chain((0..count).map(|_| without_reading(&appliance))).collect()
    };
    // What is made once: certificates, caches, the first of each buffer.
    let _first = open(2);
    let before = appliance.settled_memory();
    let count = if place::quick() { 5 } else { 15 };
    let _stalled = open(count);
    let after = appliance.settled_memory();
    let each = after.saturating_sub(before) / (3 * count);
    println!("{each} bytes for each stalled connection");
    assert!(each < MIB, "{each} bytes for each stalled connection");
}

#[test]
fn h093_a_preface_or_a_head_that_trickles_meets_its_deadline() {
    let upstream = Upstream::plan().start();
    let settings = frame(SETTINGS, 0, 0, &[]);
    let head = frame(HEADERS, END_STREAM | END_HEADERS, 1, &request(&[("x-long", &"a".repeat(120))]));
    for (whole, trickled) in [
        (&b""[..], [PREFACE, &settings].concat()),
        (&PREFACE[..12], PREFACE[12..].to_vec()),
        (PREFACE, settings.repeat(10)[1..].to_vec()),
        (&[PREFACE, &settings].concat(), head),
    ] {
        let appliance = impatient(&upstream);
        let mut client = connect(&appliance);
        client.send(whole);
        let mut rest = trickled.iter();
        wait::until("the connection to be closed", || {
            thread::sleep(Duration::from_millis(200));
            let byte = rest.next().expect("closed before all of it was sent");
            client.try_send([*byte]).is_err().then_some(())
        });
        await_fault(&appliance, LATE);
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h093_a_preface_that_never_comes_meets_its_deadline() {
    let upstream = Upstream::plan().start();
    let appliance = impatient(&upstream);
    let mut client = connect(&appliance);
    let said = client.rest();
    assert!(frames(&said).iter().all(|frame| frame.kind == SETTINGS));
    await_fault(&appliance, LATE);
}

/// What waits for several times the deadlines, because nobody owes anything: a long poll, and an event stream.
#[test]
fn whoever_merely_waits_is_not_stalled() {
    let plan = Upstream::plan().answering(|request, out| {
        let stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut written = if request.target() == "/events" { out.write_all(stream) } else { Ok(()) };
        for number in 0..2 {
            thread::sleep(Duration::from_secs(2));
            if request.target() == "/events" {
                written = written.and_then(|()| write!(out, "5\r\ntick{number}\r\n"));
            }
        }
        let end: &[u8] = if request.target() == "/events" {
            b"0\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npoll"
        };
        written.and_then(|()| out.write_all(end)).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = plan.start();
    let appliance = impatient(&upstream);
    let client = appliance.http2_client(ENTRA);
    let answers = client.ask_all(vec![Ask::get(ENTRA, "/poll"), Ask::get(ENTRA, "/events")]);
    let bodies: Vec<Vec<u8>> = answers.into_iter().map(|answer| answer.unwrap().body).collect();
    assert_eq!(bodies, [&b"poll"[..], b"tick0tick1"]);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/poll").text(), "poll");
    // The connection is idle for as long, and goes on.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(client.ask(Ask::get(ENTRA, "/poll")).unwrap().body, b"poll");
    assert_eq!(appliance.admin().metrics().sum("penstock_faults_total", &["kind=\"stalled\""]), 0.0);
}

const MIB: usize = 1024 * 1024;
