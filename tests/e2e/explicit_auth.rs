//! Credentials on the explicit listener: 407 and the same connection again, real clients, the file of users as it changes.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::plain::PlainOrigin;
use penstock_tests::saas::Saas;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::{place, wait};
use serde_json::Value;

/// A line for the file of users, made by the operator's command.
pub(crate) fn line(name: &str, password: &str, groups: &[&str]) -> String {
    let mut command = Command::new(place::binary("penstock"));
    command.args(["user", "hash", name]).args(groups.iter().flat_map(|group| ["--group", group]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `alice:secret` and `bob:word`.
const ALICE: &str = "Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n";
const BOB: &str = "Proxy-Authorization: Basic Ym9iOndvcmQ=\r\n";

fn users() -> String {
    line("alice", "secret", &["finance", "staff"]) + &line("bob", "word", &[])
}

fn before(origin: &PlainOrigin) -> Appliance {
    Setup::default().users(&users()).host("*", origin.address()).start()
}

fn get(fields: &str) -> String {
    format!("GET http://www.example.org/ HTTP/1.1\r\nHost: www.example.org\r\n{fields}\r\n")
}

fn send(stream: &mut TcpStream, text: &str) -> u16 {
    stream.write_all(text.as_bytes()).unwrap();
    tunnel::read_whole_answer(stream).status
}

#[test]
fn a_request_without_credentials_is_asked_for_them_and_repeated_on_the_same_connection() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    stream.write_all(get("").as_bytes()).unwrap();
    let asked = tunnel::read_answer(&mut stream);
    assert_eq!(
        (asked.status, asked.header("proxy-authenticate")),
        (407, Some("Basic realm=\"Penstock\", charset=\"UTF-8\""))
    );
    assert_eq!(asked.header("connection"), Some("keep-alive"));
    assert_eq!(send(&mut stream, &get("Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n")), 407);
    assert_eq!(send(&mut stream, &get("Proxy-Authorization: Bearer x\r\n")), 407);
    assert_eq!(send(&mut stream, &get(&format!("{ALICE}{ALICE}"))), 407);
    assert_eq!(send(&mut stream, &get(ALICE)), 200);
    assert_eq!(send(&mut stream, &get(BOB)), 200);
    assert_eq!(send(&mut stream, &get("")), 407, "each request says who asks");
    let connect =
        |fields: &str| format!("CONNECT www.example.org:443 HTTP/1.1\r\nHost: www.example.org\r\n{fields}\r\n");
    assert_eq!(send(&mut stream, &connect("")), 407);
    stream.write_all(connect(ALICE).as_bytes()).unwrap();
    assert_eq!(tunnel::read_answer(&mut stream).status, 200);
    // A body that nobody read ends the connection.
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let post = "POST http://www.example.org/ HTTP/1.1\r\nHost: www.example.org\r\nContent-Length: 5\r\n\r\nhello";
    stream.write_all(post.as_bytes()).unwrap();
    let asked = tunnel::read_answer(&mut stream);
    assert_eq!((asked.status, asked.header("connection")), (407, Some("close")));
    assert!(tunnel::drain(&mut stream).1);
    assert_eq!(origin.requests().len(), 2);
    assert!(!origin.text().contains("proxy-auth"), "{}", origin.text());
}

#[test]
fn h114_credentials_are_taken_off_and_the_audit_knows_the_user() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let request = format!("GET http://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n{ALICE}\r\n");
    assert_eq!(send(&mut stream, &request), 200);
    assert!(!origin.text().contains("proxy-") && !origin.text().contains("ywxpy2u6c2vjcmv0"), "{}", origin.text());
    let events = appliance.admin().await_events("user=alice", 1);
    assert_eq!(
        (&events[0]["username"], &events[0]["status"]),
        (&Value::from("a***"), &Value::from("allowed")),
        "{events:?}"
    );
    let log = appliance.log();
    assert!(!log.contains("secret") && !log.contains("YWxpY2U6"), "{log}");
    drop(stream);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    assert_eq!(send(&mut stream, &get("Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n")), 407);
    drop(stream);
    let denied = appliance.admin().await_events("status=denied", 1);
    assert_eq!((&denied[0]["code"], &denied[0]["user"]), (&Value::from("credentials"), &Value::Null), "{denied:?}");
}

#[test]
fn users_and_groups_get_their_profiles() {
    let origin = PlainOrigin::start();
    let policy = place::read(place::example_policy()).replacen(
        "[[assignment]]",
        "[[profile]]\nname = \"free\"\nmode = \"off\"\nrestrictions = []\n\n[[assignment]]\nprofile = \"free\"\nusers = [\"group:finance\"]\n\n[[assignment]]",
        1,
    );
    let appliance = Setup::default().policy(&policy).users(&users()).host("*", origin.address()).start();
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    for user in [ALICE, BOB] {
        let request = format!("GET http://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n{user}\r\n");
        assert_eq!(send(&mut stream, &request), 200);
    }
    let requests = origin.requests();
    let header = "sec-restrict-tenant-access-policy";
    assert_eq!(requests[0].values(header).count(), 0, "alice is in a group without restrictions");
    assert_eq!(requests[1].values(header).count(), 1, "bob is not");
    assert_eq!(origin.seen().len(), 2, "another user, another connection");
    let explained = |more: &[&str]| {
        let output =
            appliance.penstock(&[&["explain", "--sni", "login.live.com", "--user", "alice", "--json"], more].concat());
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["profile"].clone()
    };
    assert_eq!((explained(&["--group", "Finance"]), explained(&[])), (Value::from("free"), Value::from("staff")));
}

#[test]
fn the_file_is_read_again_when_it_changes_and_a_wrong_one_changes_nothing() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let replace = |text: &str| {
        let new = appliance.users().with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, appliance.users()).unwrap();
    };
    let status = |fields: &str| send(&mut tunnel::dial(STAFF, appliance.proxy()), &get(fields));
    assert_eq!(status(ALICE), 200);
    replace("# nobody\nalice:secret:\n");
    wait::until("the error to be told", || appliance.log().contains("users:2: error: the hash of").then_some(()));
    assert_eq!(status(ALICE), 200);
    replace(&line("bob", "word", &[]));
    wait::until("alice to be gone", || (status(ALICE) == 407).then_some(()));
    assert_eq!(status(BOB), 200);
    replace(&users());
    let signalled = Command::new("kill").args(["-HUP", &appliance.pid("dataplane").to_string()]).status().unwrap();
    assert!(signalled.success());
    wait::until("alice to be back", || (status(ALICE) == 200).then_some(()));
}

#[test]
fn a_wrong_file_keeps_the_appliance_from_starting() {
    let refused = Setup::default().users("alice:\n").try_start_in(tempfile::TempDir::new().unwrap().into());
    let why = refused.err().unwrap();
    assert!(why.contains("users:1: error: write name:hash:groups"), "{why}");
}

#[test]
fn guessing_ends_in_429_and_does_not_lock_out_who_was_verified() {
    let origin = PlainOrigin::start();
    let appliance = Setup::default().users(&users()).shards(1).host("*", origin.address()).start();
    let mut own = tunnel::dial(STAFF, appliance.proxy());
    assert_eq!(send(&mut own, &get(BOB)), 200);
    let mut last = 0;
    for number in 0..30 {
        let mut stream = tunnel::dial(STAFF, appliance.proxy());
        let token = format!("Proxy-Authorization: Basic YWxpY2U6{}\r\n", ["YWFh", "YWFi", "YWFj", "YWFk"][number % 4]);
        last = send(&mut stream, &get(&token));
        assert!(matches!(last, 407 | 429), "{number}: {last}");
    }
    assert_eq!(last, 429);
    assert_eq!(send(&mut own, &get(BOB)), 200);
}

#[test]
fn the_script_needs_no_credentials() {
    let appliance = Setup::default().users(&users()).start();
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    assert_eq!(send(&mut stream, "GET /proxy.pac HTTP/1.1\r\nHost: proxy:8080\r\n\r\n"), 200);
}

fn curl(appliance: &Appliance, arguments: &[&str]) -> Output {
    let mut command = Command::new(place::program("curl").unwrap());
    command.args(["--silent", "--show-error", "--noproxy", "", "--proxy", &format!("http://{}", appliance.proxy())]);
    command.arg("--cacert").arg(appliance.root()).args(arguments).output().unwrap()
}

#[test]
fn curl_and_python_sign_in_at_the_proxy() {
    let saas = Saas::start();
    let appliance = Setup::default().users(&users()).saas(&saas).start();
    let url = "https://login.live.com/__seen";
    for how in [&["--proxy-basic"][..], &["--proxy-anyauth"]] {
        let right = curl(
            &appliance,
            &[how, &["--proxy-user", "alice:secret", "-w", "%{http_connect}", "-o", "/dev/null", url]].concat(),
        );
        assert_eq!(String::from_utf8_lossy(&right.stdout), "200", "{how:?} {right:?}");
    }
    let wrong = curl(&appliance, &["--proxy-user", "alice:no", "-w", "%{http_connect}", "-o", "/dev/null", url]);
    assert_eq!(String::from_utf8_lossy(&wrong.stdout), "407", "{wrong:?}");
    let Some(python) = place::python() else { return };
    let script = "import sys,ssl,httpx,requests\np,root,url=sys.argv[1:]\n\
        s=requests.Session();s.trust_env=False;s.proxies={'https':p};s.verify=root\n\
        print('requests',[s.get(url).status_code for _ in range(2)])\n\
        c=httpx.Client(proxy=p,trust_env=False,verify=ssl.create_default_context(cafile=root))\n\
        print('httpx',[c.get(url).status_code for _ in range(2)])";
    let proxy = format!("http://alice:secret@{}", appliance.proxy());
    let output =
        Command::new(python).args(["-c", script, &proxy, appliance.root().to_str().unwrap(), url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("requests [200, 200]") && said.contains("httpx [200, 200]"), "{said}{output:?}");
    let events = appliance.admin().await_events("user=alice", 6);
    assert!(events.iter().all(|event| event["connector"] == "microsoft-consumer"), "{events:?}");
}

#[test]
fn chromium_answers_the_proxys_question() {
    let (Some(chromium), Some(python)) = (place::program("chromium"), place::python()) else { return };
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let script = place::workspace().join("tests/clients/chromium_proxy.py");
    let mut command = Command::new(python);
    command.arg(script).arg(chromium).arg(appliance.proxy().to_string()).arg(appliance.state().join("chromium"));
    let output = command.args(["alice", "secret", "http://www.example.org/signed-in"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("/signed-in at www.example.org") && said.contains("asked: 1"), "{said}{output:?}");
    assert!(!origin.text().contains("proxy-auth"));
}
