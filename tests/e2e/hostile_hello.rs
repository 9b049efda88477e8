//! Section A of the hostile cases, through the wire: ClientHellos cut, stretched, late, or no ClientHello at all.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::{place, wait};
use rustls::{AlertDescription, ClientConfig, Error};

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";
/// Of the profile `staff` too.
const FLOODER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

fn config(appliance: &Appliance) -> Arc<ClientConfig> {
    client::config(&[&appliance.root()])
}

/// Sends the hello in the pieces that `cut` makes, then signs in.
fn sign_in_with(appliance: &Appliance, cut: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
    let (connection, hello) = client::first_flight(ENTRA, config(appliance));
    let mut stream = appliance.tunnel(ENTRA);
    for piece in cut(&hello) {
        stream.write_all(&piece).unwrap();
    }
    let mut client = client::finish_handshake(connection, stream).unwrap();
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

/// What the appliance answers to raw bytes behind the CONNECT, up to the end of the connection.
fn answer_to(appliance: &Appliance, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = appliance.tunnel(name);
    // It may close before everything is sent.
    let _ = stream.write_all(bytes);
    let (heard, ended) = tunnel::drain(&mut stream);
    assert!(ended, "the connection stays open after {} bytes", bytes.len());
    heard
}

/// Nothing, or one fatal alert: never bytes of an origin.
fn is_refusal(heard: &[u8]) -> bool {
    heard.is_empty() || (heard.len() == 7 && heard.starts_with(&[21, 3]) && heard[5] == 2)
}

/// Splits the payload of the one record in `hello` into records of `bytes` each.
fn in_records(hello: &[u8], bytes: usize) -> Vec<u8> {
    let mut records = Vec::new();
    for piece in hello[5..].chunks(bytes) {
        records.extend_from_slice(&hello[..3]);
        records.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        records.extend_from_slice(piece);
    }
    records
}

#[test]
fn h001_a_hello_in_segments_of_one_byte() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    sign_in_with(&appliance, |hello| hello.iter().map(|byte| vec![*byte]).collect());
    for at in [1, 4, 5, 6, 9, 43, 44, 76, 100, 200] {
        sign_in_with(&appliance, |hello| vec![hello[..at].to_vec(), hello[at..].to_vec()]);
    }
}

#[test]
fn h002_a_hello_in_records_of_one_byte() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for bytes in [1, 2, 3, 4, 5, 100] {
        let (connection, hello) = client::first_flight(ENTRA, config(&appliance));
        let mut stream = appliance.tunnel(ENTRA);
        stream.write_all(&in_records(&hello, bytes)).unwrap();
        // Reassembled, or closed; never passed on unread.
        if let Ok(mut client) = client::finish_handshake(connection, stream) {
            assert_eq!(client.get(ENTRA, "/").status, 200, "records of {bytes}");
        }
    }
    assert!(upstream.seen().iter().all(|seen| seen.violation.is_none()));
}

#[test]
fn h003_stray_records_before_the_hello() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    for stray in [&[22, 3, 1, 0, 0][..], &[21, 3, 1, 0, 2, 1, 0], &[20, 3, 1, 0, 1, 1]] {
        let mut bytes = stray.repeat(10_000);
        bytes.extend_from_slice(&hello);
        assert!(is_refusal(&answer_to(&appliance, ENTRA, &bytes)), "{stray:?}");
    }
    assert!(upstream.requests().is_empty());
}

/// A hello of a length that is announced; padding fills it.
fn long_hello(hello: &[u8], bytes: usize) -> Vec<u8> {
    // Handshake header at 5, extensions' length right before the extensions: found from the back of the fixed part.
    let body = &hello[9..];
    let session = 34 + 1 + usize::from(body[34]);
    let suites = session + 2 + usize::from(u16::from_be_bytes([body[session], body[session + 1]]));
    let extensions_at = suites + 1 + usize::from(body[suites]);
    let extensions = &body[extensions_at + 2..];
    let padding = bytes - 4 - (extensions_at + 2 + extensions.len()) - 4;
    let mut message = vec![1];
    message.extend_from_slice(&u32::try_from(bytes - 4).unwrap().to_be_bytes()[1..]);
    message.extend_from_slice(&body[..extensions_at]);
    message.extend_from_slice(&u16::try_from(extensions.len() + 4 + padding).unwrap().to_be_bytes());
    message.extend_from_slice(&[0, 21]);
    message.extend_from_slice(&u16::try_from(padding).unwrap().to_be_bytes());
    message.extend(std::iter::repeat_n(0, padding));
    message.extend_from_slice(extensions);
    let mut records = vec![];
    for piece in message.chunks(16_384) {
        records.extend_from_slice(&[22, 3, 1]);
        records.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        records.extend_from_slice(piece);
    }
    records
}

#[test]
fn h004_a_very_long_hello_is_read_or_closed() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    for bytes in [11_414, 16_384, 60_000] {
        let mut stream = appliance.tunnel(ENTRA);
        stream.write_all(&long_hello(&hello, bytes)).unwrap();
        let mut first = [0; 1];
        // A server's handshake record, or a refusal; the origin never gets a hello that was not read.
        if stream.read(&mut first).unwrap_or(0) == 1 {
            assert!(matches!(first[0], 21 | 22), "{bytes}: {first:?}");
        }
    }
    let mut huge = vec![22, 3, 1, 0x40, 0, 1, 0x10, 0, 0];
    huge.extend(vec![0; 1 << 20]);
    assert!(is_refusal(&answer_to(&appliance, ENTRA, &huge)));
    assert!(upstream.requests().is_empty());
}

#[test]
fn h008_case_and_a_trailing_dot_do_not_matter() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, mut upper) = client::first_flight(ENTRA, config(&appliance));
    let at = upper.windows(ENTRA.len()).position(|window| window == ENTRA.as_bytes()).unwrap();
    upper[at..at + ENTRA.len()].copy_from_slice(b"LOGIN.MicrosoftOnline.com");
    let mut stream = appliance.tunnel("LOGIN.microsoftonline.COM.");
    stream.write_all(&upper).unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(first, [22]);
    // It was inspected: the record comes from a leaf minted for the normalised name.
    let minted = appliance.admin().metrics().sum("penstock_leaf_minted_total", &[]);
    assert_eq!(minted, 1.0);
}

#[test]
fn h009_a_name_with_forbidden_bytes_is_closed() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    let at = hello.windows(ENTRA.len()).position(|window| window == ENTRA.as_bytes()).unwrap();
    for byte in [0, b' ', b'\n', b'/', b':', 0xc3, b'.'] {
        let mut bad = hello.clone();
        bad[at + 5] = byte;
        bad[at + 6] = byte;
        assert!(is_refusal(&answer_to(&appliance, ENTRA, &bad)), "{byte:#x}");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn h010_no_server_name_towards_an_inspected_host_is_not_passed() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut nameless = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
    nameless.enable_sni = false;
    let (_, hello) = client::first_flight(ENTRA, Arc::new(nameless));
    let heard = answer_to(&appliance, ENTRA, &hello);
    assert!(is_refusal(&heard), "{heard:?}");
    assert!(upstream.seen().is_empty());
}

#[test]
fn h015_early_data_is_not_accepted_and_no_request_is_lost() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut config = client::config_mut(&[&appliance.root()], &[&rustls::version::TLS13]);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..3 {
        let (mut connection, _) = client::first_flight(ENTRA, Arc::clone(&config));
        assert!(connection.early_data().is_none(), "a ticket of the appliance must not allow early data");
        let mut client = appliance.client_with(STAFF, ENTRA, Arc::clone(&config)).unwrap();
        assert_eq!(client.get(ENTRA, "/").status, 200);
    }
    assert_eq!(upstream.await_requests(3).len(), 3);
}

#[test]
fn h016_a_ticket_of_the_real_server_is_ignored() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    // One client that believes both authorities, so that it offers the origin's ticket to the appliance.
    let config = client::config(&[&appliance.root(), &upstream.ca()]);
    let direct = TcpStream::connect(upstream.address()).unwrap();
    let mut origin = client::Client::connect(direct, ENTRA, Arc::clone(&config)).unwrap();
    origin.finish();
    let _ = origin.rest();
    let mut client = appliance.client_with(STAFF, ENTRA, config).unwrap();
    assert_eq!(client.get(ENTRA, "/").status, 200);
}

#[test]
fn h017_our_ticket_for_one_host_does_not_open_another() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let config = config(&appliance);
    assert_eq!(appliance.client_with(STAFF, ENTRA, Arc::clone(&config)).unwrap().get(ENTRA, "/").status, 200);
    // The same session, offered under another name.
    let (_, mut swapped) = client::first_flight(ENTRA, config);
    let at = swapped.windows(ENTRA.len()).position(|window| window == ENTRA.as_bytes()).unwrap();
    swapped[at..at + ENTRA.len()].copy_from_slice(b"login.microsoftonline.org");
    let heard = answer_to(&appliance, ENTRA, &swapped);
    assert!(is_refusal(&heard), "a ticket opened another name: {heard:?}");
}

#[test]
fn h019_a_hello_of_ssl_2_is_closed() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut hello = vec![0x80, 0x2e, 0x01, 0x03, 0x01, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10];
    hello.extend([0; 37]);
    assert!(is_refusal(&answer_to(&appliance, ENTRA, &hello)));
    assert!(upstream.seen().is_empty());
}

#[test]
fn h020_what_is_not_tls_gets_the_default_and_no_certificate() {
    let address = upstream::listen(|mut stream| {
        let mut bytes = [0; 7];
        let _ = stream.read_exact(&mut bytes);
        let _ = stream.write_all(b"SSH-2.0-server\r\n");
    });
    let appliance = Setup::default().host("*", address).start();
    let mut stream = appliance.tunnel(PASSED);
    stream.write_all(b"SSH-2.0-client\r\n").unwrap();
    assert!(tunnel::drain(&mut stream).0.starts_with(b"SSH-2.0-server"), "the default for what is not TLS is pass");
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: login.microsoftonline.com\r\n\r\n"[..],
        b"SSH-2.0-client\r\n",
        b"\x00\x0e8openvpn.....",
    ] {
        assert!(
            is_refusal(&answer_to(&appliance, ENTRA, bytes)),
            "{:?} reached an inspected host",
            String::from_utf8_lossy(bytes)
        );
    }
    assert_eq!(appliance.admin().metrics().sum("penstock_leaf_minted_total", &[]), 0.0);
}

#[test]
fn h021_an_end_in_mid_hello_leaves_nothing_open() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    let admin = appliance.admin();
    for index in 0..40 {
        let mut stream = appliance.tunnel(ENTRA);
        stream.write_all(&hello[..hello.len() / 2]).unwrap();
        match index % 3 {
            0 => stream.shutdown(Shutdown::Write).unwrap(),
            1 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => {}
        }
    }
    wait::until("the flows to end", || {
        let metrics = admin.metrics();
        (metrics.sum("penstock_flows_active", &[]) == 0.0).then_some(())
    });
    let sockets = || std::fs::read_dir(format!("/proc/{}/fd", appliance.pid("dataplane"))).unwrap().count();
    let settled = sockets();
    assert!(settled < 400, "{settled} descriptors");
}

#[test]
fn h022_an_unknown_alpn_gets_an_alert_when_inspected() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for protocols in [vec![b"h3".to_vec()], vec![b"http/1.0".to_vec()], vec![b"\xff\xfe".to_vec()]] {
        let mut config = client::config_mut(&[&appliance.root()], rustls::ALL_VERSIONS);
        config.alpn_protocols.clone_from(&protocols);
        let error = appliance.client_with(STAFF, ENTRA, Arc::new(config)).err().expect("a refusal");
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert!(
            matches!(inner, Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol))),
            "{protocols:?}: {error}"
        );
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn h023_old_versions_get_an_alert_and_the_origin_is_not_asked() {
    let Some(openssl) = place::program("openssl") else { return };
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut command = std::process::Command::new(openssl);
    command.args(["s_client", "-proxy", &appliance.proxy().to_string(), "-connect", &format!("{ENTRA}:443"), "-tls1"]);
    command.args(["-cipher", "ALL:@SECLEVEL=0", "-servername", ENTRA]).stdin(std::process::Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("alert protocol version") || said.contains("unsupported protocol"), "{said}");
    assert!(upstream.requests().is_empty());
}

/// A thousand clients send a byte now and then; a good one is served all the same, and all of them are let go at the
/// deadline.
#[test]
fn h024_alone_slow_hellos_hold_up_nobody() {
    super::pass::raise_descriptor_limit();
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    let count = if place::quick() { 100 } else { 1000 };
    let mut slow: Vec<TcpStream> = (0..count).map(|_| appliance.tunnel(ENTRA)).collect();
    for byte in 0..3 {
        for stream in &mut slow {
            let _ = stream.write_all(&hello[byte..=byte]);
        }
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200, "round {byte}");
        thread::sleep(Duration::from_millis(300));
    }
    if !place::quick() {
        let admin = appliance.admin();
        for stream in &mut slow {
            assert!(is_refusal(&tunnel::drain(stream).0));
        }
        wait::until("all of them to be counted", || {
            let late = admin.metrics().sum("penstock_faults_total", &["phase=\"sniff\"", "kind=\"deadline\""]);
            (late == f64::from(count)).then_some(())
        });
    }
}

#[test]
fn h025_absurd_hellos_are_closed() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(ENTRA, config(&appliance));
    let mut overrun = hello.clone();
    overrun[7] = 0xff;
    // The first extension claims more than there is. Record header 5, message header 4, version 2, random 32; then session
    // id, cipher suites and compression methods with their lengths, the length of all extensions, the extension's type.
    let mut inner = hello.clone();
    let session = 5 + 4 + 2 + 32;
    let suites = session + 1 + usize::from(hello[session]);
    let methods = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let first = methods + 1 + usize::from(hello[methods]) + 2;
    inner[first + 2] = 0xff;
    let mut many = vec![];
    for index in 0..15_000_u16 {
        many.extend_from_slice(&[0x7a, (index % 251) as u8, 0, 0]);
    }
    let mut body = hello[9..9 + 34].to_vec();
    body.extend_from_slice(&[0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend_from_slice(&u16::try_from(many.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&many);
    let mut message = vec![1];
    message.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    message.extend_from_slice(&body);
    let mut thousands = vec![];
    for piece in message.chunks(16_000) {
        thousands.extend_from_slice(&[22, 3, 1]);
        thousands.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        thousands.extend_from_slice(piece);
    }
    for (index, bad) in [inner, thousands].iter().enumerate() {
        let mut stream = appliance.tunnel(ENTRA);
        let _ = stream.write_all(bad);
        let _ = stream.shutdown(Shutdown::Write);
        assert!(is_refusal(&tunnel::drain(&mut stream).0), "{index}");
    }
    let mut stream = appliance.tunnel(ENTRA);
    let _ = stream.write_all(&overrun);
    let _ = stream.shutdown(Shutdown::Write);
    assert!(is_refusal(&tunnel::drain(&mut stream).0));
    assert!(upstream.requests().is_empty());
}

#[test]
fn h026_many_names_under_a_wildcard_are_minted_within_bounds() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).shards(1).start();
    let count = if place::quick() { 50 } else { 500 };
    for index in 0..count {
        let name = format!("host-{index}.google.com");
        assert_eq!(appliance.client(&name).get(&name, "/").status, 200);
    }
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_leaf_minted_total", &[]), f64::from(count));
    assert_eq!(appliance.client("host-0.google.com").get("host-0.google.com", "/").status, 200);
}

/// One source asks for ever new names. Its own new names are refused, and told so; what is kept, what is passed and what
/// others ask for goes on.
#[test]
fn h026_names_without_end_cost_their_sender_alone() {
    let upstream = Upstream::plan().start();
    let limits = "[limits]\nmints_per_second_and_source_max = 1\n";
    let appliance = Setup::default().upstream(&upstream).shards(1).dataplane(limits).start();
    let authority = upstream.ca();
    let get = |source, name: &str| {
        let client = appliance.client_with(source, name, client::config(&[&appliance.root()]));
        client.map(|mut client| client.get(name, "/").status)
    };
    let kept = "host-0.google.com";
    wait::until("a leaf to be minted for a name", || get(STAFF, kept).ok());
    // Were each connection to take a second, nothing would be refused: all at once they do not.
    let refused = thread::scope(|scope| {
        let mut asks = Vec::new();
        for index in 1..=40 {
            asks.push(scope.spawn(move || get(FLOODER, &format!("flood-{index}.google.com"))));
        }
        assert_eq!(get(FLOODER, kept).unwrap(), 200, "its own kept leaves are no matter of minting");
        assert_eq!(get(STAFF, kept).unwrap(), 200);
        assert_eq!(appliance.passed_client(PASSED, &authority).get(PASSED, "/").status, 200);
        asks.into_iter().filter_map(|ask| ask.join().unwrap().err()).count()
    });
    assert!(refused > 0, "nothing was refused");
    let labels = ["leg=\"downstream\"", "phase=\"mint\"", "kind=\"source_full\""];
    wait::until(&format!("{refused} refusals to be counted"), || {
        let counted = appliance.admin().metrics().sum("penstock_faults_total", &labels);
        (counted == f64::from(u32::try_from(refused).unwrap())).then_some(())
    });
    // The next second brings the next leaf, to whoever was refused too.
    for (source, name) in [(STAFF, "other.google.com"), (FLOODER, "flood-1.google.com")] {
        wait::until("a leaf in a later second", || get(source, name).ok());
    }
}

#[test]
fn h027_bytes_right_behind_the_hello_arrive_once_and_in_order() {
    let address = upstream::listen(|mut stream| {
        let mut everything = Vec::new();
        stream.read_to_end(&mut everything).unwrap();
        stream.write_all(&everything).unwrap();
    });
    let appliance = Setup::default().host("*", address).start();
    let (_, hello) = client::first_flight(PASSED, config(&appliance));
    for extra in [1, 1000, 20_000, 200_000] {
        let mut bytes = hello.clone();
        bytes.extend((0..extra).map(|index: u32| (index % 253) as u8));
        let mut stream = appliance.tunnel(PASSED);
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(tunnel::drain(&mut stream).0 == bytes, "{extra} bytes behind the hello");
    }
    // Also when they come in the same segment as the CONNECT itself.
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let mut eager = format!("CONNECT {PASSED}:443 HTTP/1.1\r\nHost: {PASSED}:443\r\n\r\n").into_bytes();
    eager.extend_from_slice(&hello);
    let answer = tunnel::ask(&mut stream, &eager);
    if answer.status == 200 {
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(tunnel::drain(&mut stream).0 == hello);
    } else {
        assert_eq!(answer.status, 400);
    }
}
