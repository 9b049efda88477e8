//! Pass: the appliance joins two sockets and changes nothing, whatever the length, the number or the manner of ending.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http2::{Ask, Http2Client};
use penstock_tests::place;
use penstock_tests::tunnel;
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::{client, wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

const PASSED: &str = "www.example.org";
const MEBIBYTE: usize = 1024 * 1024;

/// A real ClientHello for a host that no connector names.
pub(crate) fn hello(appliance: &Appliance) -> Vec<u8> {
    client::first_flight(PASSED, client::config(&[&appliance.root()])).1
}

/// An appliance with a plain TCP service behind every name, and a tunnel to it that has sent its ClientHello.
fn joined(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (Appliance, TcpStream, usize) {
    let appliance = Setup::default().host("*", upstream::listen(serve)).shards(1).start();
    let hello = hello(&appliance);
    let mut stream = appliance.tunnel(PASSED);
    stream.write_all(&hello).unwrap();
    (appliance, stream, hello.len())
}

/// Bytes that repeat with a prime period, so that a lost or doubled page shows.
fn pattern() -> Vec<u8> {
    (0..65_521_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn send_pattern(stream: &mut TcpStream, bytes: usize) {
    let block = pattern();
    let mut left = bytes;
    while left > 0 {
        let count = left.min(block.len());
        stream.write_all(&block[..count]).unwrap();
        left -= count;
    }
}

/// Reads so many bytes and compares each.
fn expect_pattern(stream: &mut TcpStream, bytes: usize) {
    let block = pattern();
    let mut buffer = vec![0; block.len()];
    let mut left = bytes;
    while left > 0 {
        let count = left.min(block.len());
        stream.read_exact(&mut buffer[..count]).unwrap();
        assert!(buffer[..count] == block[..count], "bytes differ, {left} before the end");
        left -= count;
    }
}

fn skip(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut skipped = vec![0; bytes];
    stream.read_exact(&mut skipped).unwrap();
    skipped
}

#[test]
fn a_passed_flow_shows_the_origins_own_certificate() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.passed_client(PASSED, &upstream.ca());
    client.send(b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n");
    assert_eq!(client.answer().text(), "fine");
    drop(client);
    let config = client::config_mut(&[&upstream.ca()], rustls::ALL_VERSIONS);
    let client = Http2Client::connect(appliance.tunnel(PASSED), PASSED, config).expect("ALPN is the origin's");
    assert_eq!(client.ask(Ask::get(PASSED, "/")).unwrap().text(), "fine");
    drop(client);
    let refused = appliance.try_client(PASSED);
    assert!(refused.is_err(), "a passed host must not show a minted certificate");
    wait::until("the flows to be counted", || {
        (appliance.admin().metrics().sum("penstock_flows_total", &["verdict=\"pass\""]) >= 3.0).then_some(())
    });
    // Nothing was decrypted, so nothing may be known of it beyond the flow.
    assert_eq!(appliance.admin().metrics().sum("penstock_requests_total", &[]), 0.0);
}

#[test]
fn bytes_are_the_same_up_and_down() {
    let bytes = if place::quick() { 16 } else { 256 } * MEBIBYTE;
    let (length, arrived) = mpsc::channel();
    let length = Mutex::new(length);
    let wanted = Arc::new(Mutex::new(0));
    let hello_bytes = Arc::clone(&wanted);
    let (appliance, mut stream, hello_length) = joined(move |mut stream| {
        let hello_length =
            wait::until("the length", || Some(*hello_bytes.lock().unwrap()).filter(|&length| length > 0));
        skip(&mut stream, hello_length);
        expect_pattern(&mut stream, bytes);
        length.lock().unwrap().send(()).unwrap();
        send_pattern(&mut stream, bytes);
    });
    *wanted.lock().unwrap() = hello_length;
    send_pattern(&mut stream, bytes);
    arrived.recv_timeout(Duration::from_secs(240)).unwrap();
    expect_pattern(&mut stream, bytes);
    let (rest, ended) = tunnel::drain(&mut stream);
    assert!(rest.is_empty() && ended);
    drop(stream);
    let admin = appliance.admin();
    wait::until("the bytes to be counted", || {
        let metrics = admin.metrics();
        let moved =
            |direction: &str| metrics.sum("penstock_relay_bytes_total", &[&format!("direction=\"{direction}\"")]);
        (moved("egress") >= bytes as f64 && moved("ingress") >= bytes as f64).then_some(())
    });
    let metrics = admin.metrics();
    assert!(metrics.sum("penstock_relay_bytes_total", &["path=\"splice\""]) > bytes as f64, "bulk must be spliced");
    wait::until("the pipes to come back", || (admin.metrics().sum("penstock_pipes_in_use", &[]) == 0.0).then_some(()));
}

#[test]
fn half_close_from_below_lets_the_answer_through() {
    let (_appliance, mut stream, hello_length) = joined(|mut stream| {
        let mut everything = Vec::new();
        stream.read_to_end(&mut everything).unwrap();
        stream.write_all(&u32::try_from(everything.len()).unwrap().to_be_bytes()).unwrap();
        send_pattern(&mut stream, MEBIBYTE);
    });
    stream.write_all(b"a question").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(skip(&mut stream, 4), u32::try_from(hello_length + 10).unwrap().to_be_bytes());
    expect_pattern(&mut stream, MEBIBYTE);
    assert_eq!(tunnel::drain(&mut stream), (vec![], true));
}

#[test]
fn half_close_from_above_lets_the_rest_through() {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let (_appliance, mut stream, hello_length) = joined(move |mut stream| {
        stream.write_all(b"goodbye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut everything = Vec::new();
        stream.read_to_end(&mut everything).unwrap();
        sender.lock().unwrap().send(everything.len()).unwrap();
    });
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"goodbye");
    send_pattern(&mut stream, MEBIBYTE);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receiver.recv_timeout(wait::LIMIT).unwrap(), hello_length + MEBIBYTE);
}

#[test]
fn a_reset_from_above_is_a_reset_below() {
    let (_appliance, mut stream, hello_length) = joined(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        thread::sleep(Duration::from_millis(200));
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert!(hello_length > 16);
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_from_below_is_a_reset_above() {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let (_appliance, mut stream, hello_length) = joined(move |mut stream| {
        stream.write_all(b"x").unwrap();
        let mut buffer = [0; 4096];
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.kind()),
            }
        };
        sender.lock().unwrap().send(end).unwrap();
    });
    assert!(hello_length > 0);
    skip(&mut stream, 1);
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    assert_eq!(receiver.recv_timeout(wait::LIMIT).unwrap(), Some(ErrorKind::ConnectionReset));
}

/// A client that takes its time holds up nobody: while it dawdles, a second flow on the same shard gets its bytes.
#[test]
fn a_slow_client_holds_up_nobody() {
    // More than the sockets between the two ends hold.
    let bytes = 32 * MEBIBYTE;
    let serve = move |mut stream: TcpStream| {
        let _ = stream.read(&mut [0; 4096]);
        send_pattern(&mut stream, bytes);
    };
    let (appliance, mut slow, _) = joined(serve);
    let mut quick = appliance.tunnel(PASSED);
    quick.write_all(&hello(&appliance)).unwrap();
    expect_pattern(&mut quick, bytes);
    let block = pattern();
    for (index, piece) in block.chunks(1021).enumerate().take(48) {
        assert!(skip(&mut slow, piece.len()) == piece, "{index}");
        thread::sleep(Duration::from_millis(5));
    }
    let taken = 48 * 1021;
    assert!(skip(&mut slow, block.len() - taken) == block[taken..]);
    expect_pattern(&mut slow, bytes - block.len());
}

/// Two thousand flows at once, all alive from the first to the last.
#[test]
fn alone_two_thousand_flows_live_side_by_side() {
    raise_descriptor_limit();
    let address = upstream::listen(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    let appliance = Setup::default().host("*", address).start();
    let hello = hello(&appliance);
    let count = if place::quick() { 200 } else { 2000 };
    let mut flows: Vec<TcpStream> = (0..count).map(|_| open_echo(&appliance, &hello)).collect();
    let active = appliance.admin().metrics().sum("penstock_flows_active", &["verdict=\"pass\""]);
    assert_eq!(active, f64::from(count));
    for round in 0..3_u8 {
        for (index, flow) in flows.iter_mut().enumerate() {
            flow.write_all(&message(round, index)).unwrap();
        }
        for (index, flow) in flows.iter_mut().enumerate() {
            assert_eq!(skip(flow, 16), message(round, index), "flow {index} got another flow's bytes");
        }
    }
    drop(flows);
    let admin = appliance.admin();
    wait::until("all flows to end", || (admin.metrics().sum("penstock_flows_active", &[]) == 0.0).then_some(()));
    wait::until("every flow to be counted", || {
        (admin.metrics().sum("penstock_flows_total", &["verdict=\"pass\""]) == f64::from(count)).then_some(())
    });
}

fn open_echo(appliance: &Appliance, hello: &[u8]) -> TcpStream {
    let mut stream = appliance.tunnel(PASSED);
    stream.write_all(hello).unwrap();
    assert!(skip(&mut stream, hello.len()) == hello);
    stream
}

fn message(round: u8, index: usize) -> Vec<u8> {
    let mut message = vec![round; 16];
    message[8..].copy_from_slice(&(index as u64).to_be_bytes());
    message
}

/// As many descriptors as the machine gives.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[test]
fn many_short_flows_leave_nothing_behind() {
    let address: SocketAddr = upstream::listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"done");
    });
    let appliance = Setup::default().host("*", address).start();
    let hello = hello(&appliance);
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", appliance.pid("dataplane"))).unwrap().count();
    let short = || {
        let mut stream = appliance.tunnel(PASSED);
        stream.write_all(&hello).unwrap();
        assert_eq!(skip(&mut stream, 4), b"done");
    };
    (0..50).for_each(|_| short());
    let admin = appliance.admin();
    let settle =
        || wait::until("flows to end", || (admin.metrics().sum("penstock_flows_active", &[]) == 0.0).then_some(()));
    settle();
    let before = descriptors();
    (0..300).for_each(|_| short());
    settle();
    wait::until("descriptors to be given back", || (descriptors() <= before + 8).then_some(()));
}
