//! Requests for plain HTTP through the explicit listener: whose they are, what becomes of them, and the hostile cases that
//! apply.

use std::io::Write as _;
use std::net::{IpAddr, TcpStream};
use std::process::Command;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http::Answer;
use penstock_tests::place;
use penstock_tests::plain::PlainOrigin;
use penstock_tests::tunnel::{self, PILOT, STAFF};
use penstock_tests::upstream::{self, Then};
use serde_json::Value;

fn before(origin: &PlainOrigin) -> Appliance {
    Setup::default().host("*", origin.address()).start()
}

fn dial(appliance: &Appliance, source: IpAddr) -> TcpStream {
    tunnel::dial(source, appliance.proxy())
}

fn send(stream: &mut TcpStream, text: &str) -> Answer {
    stream.write_all(text.as_bytes()).unwrap();
    tunnel::read_whole_answer(stream)
}

fn get(host: &str, path: &str) -> String {
    format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn one_connection_visits_several_origins_one_after_the_other() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let mut stream = dial(&appliance, STAFF);
    let hosts = ["a.example", "a.example", "b.example", "a.example"];
    // All at once: the proxy itself keeps them apart.
    let requests: String = hosts.iter().enumerate().map(|(index, host)| get(host, &format!("/{index}"))).collect();
    stream.write_all(requests.as_bytes()).unwrap();
    for (index, host) in hosts.iter().enumerate() {
        let answer = tunnel::read_whole_answer(&mut stream);
        assert_eq!((answer.status, answer.text()), (200, format!("/{index} at {host}")));
    }
    let visits: Vec<usize> = origin.seen().iter().map(|seen| seen.requests.len()).collect();
    assert_eq!(visits, [2, 1, 1], "one connection for each visit");
    let post = "POST http://c.example/up HTTP/1.1\r\nHost: c.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(send(&mut stream, post).text(), "/up at c.example");
    drop(stream);
    let flows =
        || appliance.admin().metrics().sum("penstock_flows_total", &["verdict=\"pass\"", "reason=\"not_listed\""]);
    penstock_tests::wait::until("the visits to be counted", || (flows() == 4.0).then_some(()));
}

#[test]
fn h042_an_inspected_host_gets_the_same_headers_in_the_clear() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let mut stream = dial(&appliance, STAFF);
    let request = "GET http://login.microsoftonline.com/contoso.com/a?secret=1 HTTP/1.1\r\nHost: login.microsoftonline.com\r\n\
        Restrict-Access-To-Tenants: evil.example\r\nrestrict_access_to_tenants: evil.example\r\nUser-Agent: tests/1\r\n\r\n";
    assert_eq!(send(&mut stream, request).status, 200);
    let requests = origin.requests();
    let values: Vec<&str> = requests[0].values("restrict-access-to-tenants").collect();
    assert_eq!(values, ["contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"]);
    assert_eq!(requests[0].line, "GET /contoso.com/a?secret=1 HTTP/1.1");
    assert!(!origin.text().contains("evil.example"), "{}", origin.text());
    let events = appliance.admin().await_events("connector=microsoft-entra", 1);
    let event = &events[0];
    assert_eq!((&event["http"], &event["status"]), (&Value::from("1.1"), &Value::from("allowed")), "{event}");
    assert_eq!(
        (&event["path"], &event["client"]),
        (&Value::from("/contoso.com/a"), &Value::from("tests/1")),
        "{event}"
    );
    assert_eq!(event["sni"], "login.microsoftonline.com");
    assert_eq!(event["headers_stripped"].as_array().unwrap().len(), 2, "{event}");
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_requests_total", &["connector=\"microsoft-entra\"", "http=\"1.1\""]), 1.0);
    // Report-only: recorded, and forwarded as it came.
    let mut stream = dial(&appliance, PILOT);
    assert_eq!(send(&mut stream, request).status, 200);
    let requests = origin.requests();
    assert_eq!(requests[1].values("restrict-access-to-tenants").collect::<Vec<_>>(), ["evil.example"]);
}

#[test]
fn h042_policy_may_refuse_plain_http() {
    let origin = PlainOrigin::start();
    let policy = place::read(place::example_policy()) + "\n[plain_http]\ninspected = \"deny\"\n";
    let appliance = Setup::default().policy(&policy).host("*", origin.address()).start();
    let answer = send(&mut dial(&appliance, STAFF), &get("login.microsoftonline.com", "/"));
    assert!(answer.status == 403 && answer.text().contains("plain_http"), "{answer:?}");
    assert_eq!(send(&mut dial(&appliance, STAFF), &get("www.example.org", "/")).status, 200);
    assert_eq!(origin.requests().len(), 1);
    let events = appliance.admin().await_events("status=denied", 1);
    assert_eq!(
        (&events[0]["code"], &events[0]["sni"]),
        (&Value::from("plain_http"), &Value::from("login.microsoftonline.com"))
    );
}

#[test]
fn denied_hosts_and_closed_ports_are_refused() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    for (host, reason) in
        [("onedrive.live.com", "denied_host"), ("www.example.org:8081", "port"), ("www.example.org:25", "port")]
    {
        let answer = send(&mut dial(&appliance, STAFF), &get(host, "/"));
        assert!(answer.status == 403 && answer.text().contains(reason), "{host}: {answer:?}");
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn h111_plain_requests_to_inside_addresses_are_never_dialled() {
    let origin = PlainOrigin::start();
    let appliance = Setup::default().host("allowed.example", origin.address()).start();
    for host in [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fd00::1]",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
    ] {
        let answer = send(&mut dial(&appliance, STAFF), &get(host, "/latest/meta-data"));
        assert!(matches!(answer.status, 400 | 403 | 502), "{host}: {answer:?}");
    }
    assert_eq!(send(&mut dial(&appliance, STAFF), &get("allowed.example", "/")).status, 200);
}

#[test]
fn h035_h057_to_h068_what_is_ambiguous_never_leaves() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let with = |fields: &str, body: &str| {
        format!("POST http://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n{fields}\r\n{body}")
    };
    for (request, statuses) in [
        ("GET http://login.live.com/ HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned(), &[400][..]),
        ("GET http://u@login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n\r\n".to_owned(), &[400]),
        ("GET http://login.live.com/ HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("GET https://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n\r\n".to_owned(), &[405]),
        (with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), &[400]),
        (with("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), &[400]),
        (with("Content-Length: +5\r\n", "hello"), &[400]),
        (with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), &[400, 501]),
        (with("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"), &[400]),
        (with("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"), &[400]),
        (with("A : b\r\n", ""), &[400]),
        (with("A: b\r\n c\r\n", ""), &[400]),
        (with("A: b\n", ""), &[400]),
        ("GET  http://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n\r\n".to_owned(), &[400]),
        ("GET http://login.live.com/ HTTP/1.2\r\nHost: login.live.com\r\n\r\n".to_owned(), &[505]),
        ("TRACE http://login.live.com/ HTTP/1.1\r\nHost: login.live.com\r\n\r\n".to_owned(), &[405]),
        (with(&format!("A: {}\r\n", "b".repeat(100 * 1024)), ""), &[431]),
        (with(&"A: b\r\n".repeat(101), ""), &[431]),
    ] {
        let mut stream = dial(&appliance, STAFF);
        let _ = stream.write_all(request.as_bytes());
        let answer = tunnel::read_answer(&mut stream);
        assert!(statuses.contains(&answer.status), "{:?}: {answer:?}", &request[..60]);
    }
    assert!(origin.text().is_empty(), "{}", origin.text());
}

#[test]
fn h114_nothing_that_was_meant_for_the_proxy_reaches_an_origin_in_the_clear() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    for (source, host) in [(STAFF, "www.example.org"), (STAFF, "login.live.com"), (PILOT, "login.microsoftonline.com")]
    {
        let request = format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic cHJveHk6c2VjcmV0\r\n\
             Proxy-Connection: keep-alive\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
        );
        assert_eq!(send(&mut dial(&appliance, source), &request).status, 200);
    }
    let text = origin.text();
    assert!(!text.contains("proxy-") && !text.contains("chjvehk6") && !text.contains("x-hop"), "{text}");
}

#[test]
fn bodies_of_all_kinds_go_through_and_end_where_they_end() {
    let origin = PlainOrigin::answering(|request, out| {
        let sent = match request.target() {
            "/until-close" => {
                out.write_all(b"HTTP/1.1 200 OK\r\n\r\nto the end").unwrap();
                return Then::Close;
            }
            "/chunked" => out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            "/cut" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").unwrap();
                return Then::Close;
            }
            "/nothing" => return Then::Close,
            "/407" => {
                out.write_all(b"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")
            }
            _ => write!(
                out,
                "HTTP/1.1 200 OK\r\nContent-Length: {0}\r\n\r\n{1}",
                request.body.len(),
                "x".repeat(request.body.len())
            ),
        };
        sent.map_or(Then::Reset, |()| Then::Keep)
    });
    let appliance = before(&origin);
    let mut stream = dial(&appliance, STAFF);
    let bytes = 4 * 1024 * 1024;
    let head = format!("POST http://a.example/up HTTP/1.1\r\nHost: a.example\r\nContent-Length: {bytes}\r\n\r\n");
    let mut writer = stream.try_clone().unwrap();
    let upload =
        std::thread::spawn(move || writer.write_all(&[head.into_bytes(), vec![b'y'; bytes]].concat()).unwrap());
    assert_eq!(tunnel::read_whole_answer(&mut stream).body.len(), bytes);
    upload.join().unwrap();
    stream.write_all(get("a.example", "/chunked").as_bytes()).unwrap();
    let answer = tunnel::read_answer(&mut stream);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let until_close = send(&mut dial(&appliance, STAFF), &get("a.example", "/until-close"));
    assert_eq!(until_close.text(), "to the end");
    for path in ["/nothing", "/407"] {
        let answer = send(&mut dial(&appliance, STAFF), &get("a.example", path));
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
    }
    let mut cut = dial(&appliance, STAFF);
    cut.write_all(get("a.example", "/cut").as_bytes()).unwrap();
    let (bytes, ended) = tunnel::drain(&mut cut);
    assert!(ended && bytes.ends_with(b"short"), "{}", String::from_utf8_lossy(&bytes));
}

#[test]
fn an_origin_that_is_gone_is_told_honestly() {
    let gone = upstream::listen(drop);
    let appliance = Setup::default().host("*", gone).start();
    let answer = send(&mut dial(&appliance, STAFF), &get("a.example", "/"));
    assert!(answer.status == 502 && answer.text().contains("flow: "), "{answer:?}");
    let appliance = Setup::default().host("*", "127.0.0.1:1".parse().unwrap()).start();
    assert_eq!(send(&mut dial(&appliance, STAFF), &get("a.example", "/")).status, 502);
}

#[test]
fn curl_and_python_speak_plain_http_through_the_proxy() {
    let origin = PlainOrigin::start();
    let appliance = before(&origin);
    let proxy = format!("http://{}", appliance.proxy());
    let mut curl = Command::new(place::program("curl").unwrap());
    curl.args(["--silent", "--show-error", "--noproxy", "", "--proxy", &proxy, "-d", "a=b"]);
    let output = curl.args(["http://a.example/1?x", "http://b.example/2", "http://a.example"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "/1?x at a.example/2 at b.example/ at a.example", "{output:?}");
    let Some(python) = place::python() else { return };
    let script = "import sys,httpx,requests\np=sys.argv[1]\ns=requests.Session();s.trust_env=False;s.proxies={'http':p}\n\
        print([s.get(f'http://{h}.example/r').text for h in 'aab'])\n\
        c=httpx.Client(proxy=p,trust_env=False)\nprint([c.post(f'http://{h}.example/h',content=b'x').text for h in 'aab'])";
    let output = Command::new(python).args(["-c", script, &proxy]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("['/r at a.example', '/r at a.example', '/r at b.example']"), "{said}{output:?}");
    assert!(said.contains("['/h at a.example', '/h at a.example', '/h at b.example']"), "{said}{output:?}");
}
