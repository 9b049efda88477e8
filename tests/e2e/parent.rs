//! A parent proxy behind the appliance: tunnels and plain HTTP through it, its credentials, its refusals, and what goes past
//! it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::place;
use penstock_tests::plain::PlainOrigin;
use penstock_tests::squid::Squid;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::wait;
use tempfile::TempDir;

use crate::explicit_auth::line;

/// An appliance that passes everything, for alice alone.
fn parent() -> Setup {
    Setup::default().policy("").users(&line("alice", "secret", &[]))
}

/// An appliance that reaches origins through `parent`.
fn behind(parent: SocketAddr, pair: &str, more: &str) -> (Setup, TempDir) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("parent");
    fs::write(&file, format!("{pair}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let tables = format!("[upstream.proxy]\naddress = \"{parent}\"\ncredentials_file = {file:?}\n{more}");
    (Setup::default().dataplane(&tables), directory)
}

fn connect(appliance: &Appliance, authority: &str) -> (TcpStream, u16, String) {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    let answer = tunnel::ask(&mut stream, head.as_bytes());
    (stream, answer.status, String::from_utf8_lossy(&answer.body).into_owned())
}

fn get(appliance: &Appliance, name: &str) -> (u16, bool, String) {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let request = format!("GET http://{name}/a?b HTTP/1.1\r\nHost: {name}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let answer = tunnel::read_whole_answer(&mut stream);
    let is_asked = answer.header("proxy-authenticate").is_some();
    (answer.status, is_asked, String::from_utf8_lossy(&answer.body).into_owned())
}

fn await_fault(appliance: &Appliance, kind: &str) {
    let labels = ["leg=\"upstream\"".to_owned(), format!("kind=\"{kind}\"")];
    let labels = labels.each_ref().map(String::as_str);
    wait::until(kind, || (appliance.admin().metrics().sum("penstock_faults_total", &labels) >= 1.0).then_some(()));
}

#[test]
fn an_inspected_host_is_reached_through_a_parent_with_credentials() {
    let upstream = Upstream::plan().start();
    let parent = parent().upstream(&upstream).start();
    let (setup, _file) = behind(parent.proxy(), "alice:secret", "");
    let appliance = setup.authority(upstream.ca()).start();
    assert_eq!(appliance.client("claude.ai").get("claude.ai", "/").status, 200, "{}", appliance.log());
    assert_eq!(appliance.passed_client("passed.example", &upstream.ca()).get("passed.example", "/").status, 200);
    appliance.admin().await_events("connector=anthropic-claude", 1);
    assert!(!appliance.log().contains("secret") && !appliance.log().contains("YWxpY2U6"));
}

/// As organisations have it: Squid asks for credentials, and resolves the names.
#[test]
fn squid_is_a_parent_with_credentials() {
    let upstream = Upstream::plan().start();
    let port = upstream.address().port();
    let hosts = [("claude.ai", Ipv4Addr::LOCALHOST), ("passed.example", Ipv4Addr::LOCALHOST)];
    let Some(squid) = Squid::start(&hosts, port) else { return };
    let ask = |pair: &str, name: &str| {
        let (setup, _file) = behind(squid.address(), pair, "");
        let policy = format!("[defaults]\nconnect_ports = [{port}]\n{}", place::read(place::example_policy()));
        let appliance = setup.authority(upstream.ca()).policy(&policy).start();
        let (stream, status, body) = connect(&appliance, &format!("{name}:{port}"));
        if status != 200 {
            return (status, body);
        }
        let config = client::config(&[&appliance.root(), &upstream.ca()]);
        let mut client = Client::connect(stream, name, config).unwrap();
        (client.get(&format!("{name}:{port}"), "/").status, String::new())
    };
    assert_eq!(ask("alice:secret", "claude.ai").0, 200, "{}", squid.log());
    assert_eq!(ask("alice:secret", "passed.example").0, 200, "{}", squid.log());
    let (status, body) = ask("alice:wrong", "claude.ai");
    assert!(status == 502 && body.contains("parent_credentials"), "{status} {body}");
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn plain_http_goes_through_the_parent_too() {
    let origin = PlainOrigin::start();
    let parent = parent().host("*", origin.address()).start();
    let (setup, _file) = behind(parent.proxy(), "alice:secret", "");
    let appliance = setup.start();
    assert_eq!(get(&appliance, "www.example.org").0, 200, "{}", appliance.log());
    assert_eq!(get(&appliance, "login.live.com").0, 200);
    let requests = origin.requests();
    assert_eq!(requests[1].values("sec-restrict-tenant-access-policy").count(), 1);
    assert!(!origin.text().contains("proxy-auth"), "{}", origin.text());
}

#[test]
fn a_wrong_password_for_the_parent_is_a_fault_and_no_question_to_the_client() {
    let origin = PlainOrigin::start();
    let parent = parent().host("*", origin.address()).start();
    let (setup, _file) = behind(parent.proxy(), "alice:wrong", "");
    let appliance = setup.start();
    let (_stream, status, body) = connect(&appliance, "claude.ai:443");
    assert!(status == 502 && body.contains("parent_credentials"), "{status} {body}");
    await_fault(&appliance, "parent_credentials");
    let (status, is_asked, body) = get(&appliance, "www.example.org");
    assert_eq!((status, is_asked), (502, false), "{body}");
    assert!(origin.requests().is_empty());
}

/// A parent that answers by the name that it is asked for, and keeps what it was asked.
fn odd_parent(heads: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    upstream::listen(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let answer = match head.split([' ', ':', '.']).nth(1).unwrap_or_default() {
            "refused" => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "failed" => "HTTP/1.1 503 Later\r\n\r\n".to_owned(),
            "interim" => "HTTP/1.1 101 Other\r\n\r\n".to_owned(),
            "broken" => "HTTP/1.1 200 OK\n\n".to_owned(),
            "long" => format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(100 * 1024)),
            "first" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nSSH-2.0-x\r\n".to_owned(),
            "gone" => String::new(),
            "silent" => {
                let _ = stream.read(&mut byte);
                String::new()
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        };
        heads.lock().unwrap().push(head);
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn refusals_of_the_parent_are_told_apart() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (setup, _file) = behind(odd_parent(Arc::clone(&heads)), "alice:secret", "[deadlines]\nhandshake_ms = 500\n");
    let appliance = setup.start();
    for (name, status, kind) in [
        ("refused", 502, "parent_refused"),
        ("failed", 502, "parent_failed"),
        ("interim", 502, "malformed"),
        ("broken", 502, "malformed"),
        ("long", 502, "too_large"),
        ("gone", 502, "closed"),
        ("silent", 504, "deadline"),
    ] {
        let (_stream, found, body) = connect(&appliance, &format!("{name}.example:443"));
        assert!(found == status && body.contains(kind), "{name}: {found} {body}");
        await_fault(&appliance, kind);
    }
    let asked = heads.lock().unwrap()[0].clone();
    assert_eq!(
        asked,
        "CONNECT refused.example:443 HTTP/1.1\r\nHost: refused.example:443\r\n\
         Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n"
    );
    // An origin that speaks first is heard from its first byte.
    let (mut stream, status, _) = connect(&appliance, "first.example:443");
    assert_eq!(status, 200);
    let mut said = [0; 11];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"SSH-2.0-x\r\n");
    // A request in absolute form stays one.
    assert_eq!(get(&appliance, "plain.example").0, 200);
    let asked = heads.lock().unwrap().last().unwrap().clone();
    assert!(asked.starts_with("GET http://plain.example/a?b HTTP/1.1\r\n"), "{asked}");
    assert_eq!(asked.matches("Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n").count(), 1, "{asked}");
    // The parent is not asked for addresses that are never dialled.
    let before = heads.lock().unwrap().len();
    let (_stream, status, body) = connect(&appliance, "10.0.0.1:443");
    assert!(status == 403 && body.contains("address_forbidden"), "{status} {body}");
    assert_eq!(heads.lock().unwrap().len(), before);
}

#[test]
fn an_upstream_is_told_whom_a_connection_is_for_where_the_operator_says_so() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let origin = upstream::listen(move |mut stream| {
        let mut bytes = [0; 64];
        let count = stream.read(&mut bytes).unwrap_or(0);
        kept.lock().unwrap().push(String::from_utf8_lossy(&bytes[..count]).into_owned());
    });
    let rule = "[[upstream.proxy_header]]\nhosts = [\"*.told.example\"]\nversion = \"v1\"\n";
    let appliance = Setup::default().host("*", origin).dataplane(rule).start();
    for (name, is_told) in [("a.told.example", true), ("told.example", false)] {
        let (mut stream, status, _) = connect(&appliance, &format!("{name}:443"));
        assert_eq!(status, 200);
        let own = stream.local_addr().unwrap();
        stream.write_all(b"hello").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        let said = lines.lock().unwrap().pop().unwrap();
        let header = format!("PROXY TCP4 {} {} {} {}\r\n", own.ip(), origin.ip(), own.port(), origin.port());
        assert_eq!(said.starts_with(&header), is_told, "{name}: {said:?}");
    }
}
