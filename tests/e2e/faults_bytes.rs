//! Sockets at their worst: every hop hands on one byte at a time through the smallest buffers, and the data plane is stopped
//! and woken all the while, which interrupts each of its waits. What arrives is what was sent, to the byte.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::http2::{Ask, Http2Client};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Then, Upstream};
use penstock_tests::{place, process};
use rustix::process::Signal;
use socket2::SockRef;

const ENTRA: &str = "login.microsoftonline.com";
const CLAUDE: &str = "claude.ai";
const PASSED: &str = "www.example.org";
const BYTES: usize = 48 * 1024;

/// A port whose connections lead to `to`, a byte at a time.
fn drip(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    narrow(&listener);
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for here in listener.incoming().map_while(Result::ok) {
            let Ok(there) = TcpStream::connect(to) else { continue };
            for (from, to) in [(&here, &there), (&there, &here)] {
                narrow(to);
                to.set_nodelay(true).unwrap();
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                thread::spawn(move || by_bytes(from, to));
            }
        }
    });
    address
}

fn by_bytes(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 512];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if buffer[..count].iter().any(|byte| to.write_all(&[*byte]).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The least that the kernel gives.
fn narrow(socket: &impl std::os::fd::AsFd) {
    let socket = SockRef::from(socket);
    socket.set_recv_buffer_size(1).unwrap();
    socket.set_send_buffer_size(1).unwrap();
}

/// Bytes of which each tells its place.
fn pattern(seed: usize) -> Vec<u8> {
    (seed..seed + BYTES).map(|place| (place.wrapping_mul(2_654_435_761) >> 15) as u8).collect()
}

/// A tunnel by way of `door`.
fn open(door: SocketAddr, name: &str) -> TcpStream {
    tunnel::open(STAFF, door, &format!("{name}:443"))
}

fn passed(door: SocketAddr, hello: &[u8]) {
    let mut stream = open(door, PASSED);
    let sent = [hello, &pattern(1)].concat();
    let (mut writing, copy) = (stream.try_clone().unwrap(), sent.clone());
    let writer = thread::spawn(move || {
        writing.write_all(&copy).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let (heard, ended) = tunnel::drain(&mut stream);
    writer.join().unwrap();
    assert!(ended && heard == sent, "{} bytes of {}", heard.len(), sent.len());
}

/// With a length, then in chunks.
fn inspected(appliance: &Appliance, door: SocketAddr, name: &str) {
    let mut client = Client::connect(open(door, name), name, client::config(&[&appliance.root()])).unwrap();
    let body = pattern(2);
    client.send(format!("POST /whole HTTP/1.1\r\nHost: {name}\r\nContent-Length: {BYTES}\r\n\r\n"));
    client.send(&body);
    assert!(client.answer().body == body, "{name}");
    client.send(format!("POST /pieces HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for piece in body.chunks(1021) {
        client.send([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    assert!(client.answer().body == body, "{name}");
}

fn inspected_http2(appliance: &Appliance, door: SocketAddr) {
    let config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    let client = Http2Client::connect(open(door, ENTRA), ENTRA, config).unwrap();
    let asks = (3..6).map(|seed| Ask::post(ENTRA, "/streams", pattern(seed))).collect();
    for (seed, answer) in (3..).zip(client.ask_all(asks)) {
        assert!(answer.unwrap().body == pattern(seed), "stream {seed}");
    }
}

fn exact(engine: &str) {
    let upstream = Upstream::plan().answering(|request, out| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
        out.write_all(head.as_bytes()).and_then(|()| out.write_all(&request.body)).map_or(Then::Reset, |()| Then::Keep)
    });
    let upstream = upstream.start();
    let boring = "[[engine]]\nhosts = [\"claude.ai\"]\nupstream = \"boring\"\ndownstream = \"boring\"\n";
    let policy = format!("{}\n{boring}", place::read(place::example_policy()));
    let setup = Setup::default().policy(&policy).shards(1).dataplane(&format!("io_engine = \"{engine}\"\n"));
    let setup = setup.host("*", drip(upstream.address())).authority(upstream.ca()).host(PASSED, drip(upstream::echo()));
    let appliance = setup.start();
    let (door, pid) = (drip(appliance.proxy()), appliance.pid("dataplane"));
    let hello = client::first_flight(PASSED, client::config(&[&appliance.root()])).1;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for signal in [Signal::STOP, Signal::CONT] {
                    process::signal(pid, signal);
                    thread::sleep(Duration::from_millis(3));
                }
            }
        });
        let flows = [
            scope.spawn(|| passed(door, &hello)),
            scope.spawn(|| inspected(&appliance, door, ENTRA)),
            scope.spawn(|| inspected(&appliance, door, CLAUDE)),
            scope.spawn(|| inspected_http2(&appliance, door)),
        ];
        let ends: Vec<_> = flows.map(|flow| flow.join()).into_iter().collect();
        done.store(true, Ordering::Relaxed);
        storm.join().unwrap();
        assert!(ends.iter().all(Result::is_ok));
    });
    upstream.verify();
    assert_eq!(upstream.requests().len(), 7);
    assert_eq!(appliance.admin().metrics().sum("penstock_faults_total", &[]), 0.0);
}

#[test]
fn every_byte_arrives_through_the_narrowest_sockets_and_interrupts_uring() {
    exact("uring");
}

#[test]
fn every_byte_arrives_through_the_narrowest_sockets_and_interrupts_epoll() {
    exact("epoll");
}
