//! A second ClientHello that names another host than the first: on inspected flows the engine refuses it, on passed ones
//! the relay does.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, mpsc};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::{Shown, TestAuthority};
use penstock_tests::client;
use penstock_tests::tunnel;
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::wait;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::{ClientConfig, HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";

/// A HelloRetryRequest that asks for a key share of P-256 (RFC 8446 section 4.1.4).
fn hello_retry_request() -> Vec<u8> {
    let mut message = vec![2, 0, 0, 52, 3, 3];
    message.extend(penstock_core::tls::server_hello::RETRY_RANDOM);
    message.extend([0, 0x13, 0x01, 0, 0, 12, 0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23]);
    [&[22, 3, 3, 0, u8::try_from(message.len()).unwrap()][..], &message].concat()
}

/// An origin that reads one hello, answers with `answer`, and then hands over whatever comes, to its end.
fn origin(answer: Vec<u8>) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let (sender, received) = mpsc::channel();
    let sender = Mutex::new(sender);
    let address = upstream::listen(move |mut stream| {
        read_record(&mut stream);
        stream.write_all(&answer).unwrap();
        let (bytes, _) = tunnel::drain(&mut stream);
        let _ = sender.lock().unwrap().send(bytes);
    });
    (address, received)
}

fn read_record(stream: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record).unwrap();
    record.resize(5 + usize::from(u16::from_be_bytes([record[3], record[4]])), 0);
    stream.read_exact(&mut record[5..]).unwrap();
    record
}

/// A hello whose one key share is for X25519, in one record.
fn hello(appliance: &Appliance, name: &str) -> Vec<u8> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(client::roots(&[&appliance.root()]))
        .with_no_client_auth();
    client::first_flight(name, Arc::new(config)).1
}

const CHANGE_CIPHER_SPEC: &[u8] = &[20, 3, 3, 0, 1, 1];

#[test]
fn h018_a_passed_flow_ends_when_the_second_hello_names_another_host() {
    let (address, received) = origin(hello_retry_request());
    let appliance = Setup::default().host("*", address).start();
    for name in [ENTRA, "www.example.com"] {
        let mut stream = appliance.tunnel(PASSED);
        stream.write_all(&hello(&appliance, PASSED)).unwrap();
        assert_eq!(read_record(&mut stream), hello_retry_request());
        stream.write_all(CHANGE_CIPHER_SPEC).unwrap();
        // In two pieces, so that the first cannot be judged alone.
        let second = hello(&appliance, name);
        stream.write_all(&second[..100]).unwrap();
        let _ = stream.write_all(&second[100..]);
        let (heard, ended) = tunnel::drain(&mut stream);
        assert!(ended && (heard.is_empty() || heard == [21, 3, 1, 0, 2, 2, 47]), "{heard:?}");
        // What may go on does, unless it came together with what may not.
        let went_on = received.recv_timeout(wait::LIMIT).unwrap();
        assert!(CHANGE_CIPHER_SPEC.starts_with(&went_on), "a byte of the second hello went on: {went_on:?}");
    }
    let events = appliance.admin().await_events("status=denied", 2);
    assert!(events.iter().all(|event| event["code"] == "name_changed" && event["sni"] == PASSED), "{events:?}");
    let admin = appliance.admin();
    wait::until("the flows to be counted", || {
        (admin.metrics().sum("penstock_flows_total", &["reason=\"name_changed\""]) == 2.0).then_some(())
    });
}

#[test]
fn h018_a_second_hello_sent_ahead_is_held_until_the_server_has_answered() {
    // The client knows that it will be asked again, and does not wait to be.
    let (address, received) = origin(hello_retry_request());
    let appliance = Setup::default().host("*", address).start();
    let mut stream = appliance.tunnel(PASSED);
    stream.write_all(&[hello(&appliance, PASSED), hello(&appliance, ENTRA)].concat()).unwrap();
    let (_, ended) = tunnel::drain(&mut stream);
    assert!(ended);
    assert_eq!(received.recv_timeout(wait::LIMIT).unwrap(), b"", "a byte of the second hello went on");
}

#[test]
fn what_may_follow_a_hello_does_not_wait_for_the_server() {
    // Early data and the ChangeCipherSpec before it (RFC 8446 section 4.2.10, appendix D.4).
    let early: Vec<u8> = [CHANGE_CIPHER_SPEC, &[23, 3, 3, 0x40, 0], &[7; 0x4000], &[23, 3, 3, 0, 2, 1, 2]].concat();
    let expected = early.len();
    let address = upstream::listen(move |mut stream| {
        read_record(&mut stream);
        // It says nothing before all of it has come.
        let mut bytes = vec![0; expected];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    });
    let appliance = Setup::default().host("*", address).start();
    let mut stream = appliance.tunnel(PASSED);
    stream.write_all(&hello(&appliance, PASSED)).unwrap();
    stream.write_all(&early).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(tunnel::drain(&mut stream).0 == early);
}

/// A TLS server that speaks P-384 alone, so that common clients are asked for a second hello.
fn retrying_server(authority: &Arc<TestAuthority>) -> SocketAddr {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::SECP384R1];
    let key = authority.certify(PASSED, Shown::Good);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    let config = Arc::new(config);
    upstream::listen(move |stream| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut bytes = vec![0; 1 << 20];
        if tls.read_exact(&mut bytes).is_ok() {
            let _ = tls.write_all(&bytes);
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    })
}

#[test]
fn h018_an_honest_retry_on_a_passed_flow_works_and_carries_much() {
    let authority = Arc::new(TestAuthority::new("retrying"));
    let directory = tempfile::TempDir::new().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, authority.root_pem()).unwrap();
    let appliance = Setup::default().host("*", retrying_server(&authority)).start();
    let mut client = appliance.passed_client(PASSED, &ca);
    assert_eq!(client.connection().handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
    let sent: Vec<u8> = (0..1_u32 << 20).map(|index| (index % 251) as u8).collect();
    client.send(&sent);
    assert!(client.rest() == sent);
    // Both directions were spliced in the end: the watch was over.
    let admin = appliance.admin();
    wait::until("the bytes to be counted", || {
        (admin.metrics().sum("penstock_relay_bytes_total", &["path=\"splice\""]) > 1e5).then_some(())
    });
}

#[test]
fn h018_an_inspected_flow_ends_when_the_second_hello_names_another_host() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let good = hello(&appliance, ENTRA);
    // The share is for a group that nobody has, so the appliance must ask for another.
    let share = good.windows(4).position(|window| window == [0, 0x1d, 0, 0x20]).unwrap();
    let mut first = good.clone();
    first[share..share + 2].copy_from_slice(&[0x2a, 0x2a]);
    let mut other = good.clone();
    let name = other.windows(ENTRA.len()).position(|window| window == ENTRA.as_bytes()).unwrap();
    other[name..name + ENTRA.len()].copy_from_slice(b"login.microsoftonline.org");
    for (second, is_same) in [(good, true), (other, false)] {
        let mut stream = appliance.tunnel(ENTRA);
        stream.write_all(&first).unwrap();
        let retry = read_record(&mut stream);
        assert_eq!(retry[5 + 6..5 + 38], penstock_core::tls::server_hello::RETRY_RANDOM);
        assert_eq!(read_record(&mut stream), CHANGE_CIPHER_SPEC);
        stream.write_all(&second).unwrap();
        if is_same {
            assert_eq!(read_record(&mut stream)[0], 22);
        } else {
            let (heard, ended) = tunnel::drain(&mut stream);
            assert!(ended && (heard.is_empty() || heard[0] == 21), "{heard:?}");
        }
    }
    assert!(upstream.requests().is_empty());
}
