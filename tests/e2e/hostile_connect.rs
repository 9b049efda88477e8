//! Section G of the hostile cases as far as the explicit listener meets them: CONNECT to where nobody may go, in odd
//! spellings, with baggage.

use std::io::{Read as _, Write as _};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::place;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Upstream};

/// The status to a CONNECT; a tunnel that is granted and then closed without a byte counts as 502.
fn status(appliance: &Appliance, authority: &str) -> u16 {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let answer =
        tunnel::ask(&mut stream, format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes());
    if answer.status != 200 {
        return answer.status;
    }
    let _ = stream.write_all(b"SSH-2.0-probe\r\n");
    match tunnel::drain(&mut stream) {
        (bytes, _) if bytes.is_empty() => 502,
        _ => 200,
    }
}

#[test]
fn h111_forbidden_destinations_are_never_dialled() {
    let inside = upstream::listen(|mut stream| {
        let _ = stream.write_all(b"reached");
    });
    // Only one name may lead to a loopback address; everything else is refused after resolution.
    let appliance = Setup::default().host("allowed.example", inside).start();
    for address in [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[ff02::1]",
        "localhost",
    ] {
        let found = status(&appliance, &format!("{address}:443"));
        assert!(matches!(found, 400 | 403 | 502), "{address}: {found}");
    }
    for port in [25, 22, 7080] {
        assert_eq!(status(&appliance, &format!("allowed.example:{port}")), 403, "port {port}");
    }
    assert_eq!(status(&appliance, "allowed.example:443"), 200);
}

#[test]
fn h112_odd_spellings_of_an_authority_are_refused() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let long = format!("{}.example", "a".repeat(64 * 1024));
    for name in [
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "[fe80::1%eth0]",
        "a..example",
        ".example",
        "a b.example",
        "a\0.example",
        "user@host.example",
        "*.example",
        "[::1",
        "[127.0.0.1]",
        &long,
    ] {
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        let _ = stream.write_all(format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").as_bytes());
        let answer = tunnel::read_answer(&mut stream);
        assert!(matches!(answer.status, 400 | 403 | 431), "{:?}: {answer:?}", &name[..20.min(name.len())]);
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn h113_baggage_of_a_connect_is_refused_or_delivered_once() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let name = "www.example.org:443";
    for lines in
        ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 0\r\nContent-Length: 1\r\n"]
    {
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        let answer =
            tunnel::ask(&mut stream, format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n{lines}\r\n").as_bytes());
        assert_eq!(answer.status, 400, "{lines:?}: {answer:?}");
    }
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let _ = stream.write_all(
        format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\nX: {}\r\n\r\n", "y".repeat(100 * 1024)).as_bytes(),
    );
    assert_eq!(tunnel::read_answer(&mut stream).status, 431);
    for broken in [
        "CONNECT a.example:443 HTTP/1.1\nHost: a.example:443\n\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost : a\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    ] {
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        assert_eq!(tunnel::ask(&mut stream, broken.as_bytes()).status, 400, "{broken:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn h114_credentials_for_the_proxy_stay_here() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let name = "login.microsoftonline.com";
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let head = format!(
        "CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\nProxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\r\n"
    );
    assert_eq!(tunnel::ask(&mut stream, head.as_bytes()).status, 200);
    let config = penstock_tests::client::config(&[&appliance.root()]);
    let mut client = penstock_tests::client::Client::connect(stream, name, config).unwrap();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: {name}\r\nProxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    let bytes = String::from_utf8_lossy(&upstream.seen()[0].bytes).to_lowercase();
    assert!(!bytes.contains("proxy-") && !bytes.contains("chjvehk6"), "{bytes}");
}

#[test]
fn a_rule_opens_a_port_to_its_hosts_for_a_server_that_speaks_first() {
    let inside = upstream::listen(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-server\r\n");
        let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
    });
    let policy = place::read(place::example_policy())
        + "\n[[connect]]\nhosts = [\"git.example\"]\nports = [22]\n[defaults]\nnot_tls = \"deny\"\n";
    let appliance = Setup::default().policy(&policy).host("*", inside).start();
    let mut stream = tunnel::open(STAFF, appliance.proxy(), "git.example:22");
    let mut words = [0; 16];
    stream.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"SSH-2.0-server\r\n");
    stream.write_all(b"SSH-2.0-client\r\n").unwrap();
    stream.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"SSH-2.0-client\r\n");
    assert_eq!(status(&appliance, "other.example:22"), 403);
    assert_eq!(status(&appliance, "git.example:23"), 403);
    assert_eq!(status(&appliance, "git.example:443"), 502, "what is no TLS is closed elsewhere");
}
