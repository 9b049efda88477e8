//! `GET /proxy.pac`: what the listener serves of itself, and a browser that obeys it.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::Command;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::http::Answer;
use penstock_tests::place;
use penstock_tests::plain::PlainOrigin;
use penstock_tests::tunnel::{self, PILOT, STAFF};

fn fetch(appliance: &Appliance, source: IpAddr, head: &str) -> Answer {
    let mut stream = tunnel::dial(source, appliance.proxy());
    stream.write_all(head.as_bytes()).unwrap();
    tunnel::read_whole_answer(&mut stream)
}

#[test]
fn the_script_names_the_listener_as_the_client_does() {
    let appliance = Setup::default().start();
    let answer = fetch(&appliance, STAFF, "GET /proxy.pac HTTP/1.1\r\nHost: proxy.contoso.com:8080\r\n\r\n");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/x-ns-proxy-autoconfig"));
    assert!(answer.text().starts_with("var proxy = \"PROXY proxy.contoso.com:8080\";\n"), "{}", answer.text());
    assert!(answer.text().contains("\".login.live.com\": 1") && answer.text().contains("function FindProxyForURL"));
    for (head, status) in [
        ("GET /proxy.pac HTTP/1.1\r\nHost: a\"; alert(1); \"\r\n\r\n", 400),
        ("GET /proxy.pac HTTP/1.1\r\nHost: a';b\r\n\r\n", 400),
        ("GET /proxy.pac HTTP/1.1\r\n\r\n", 400),
        ("GET /proxy.pac HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /other HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("GET /proxy.pac/x HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        ("POST /proxy.pac HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        ("GET /proxy.pac HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
    ] {
        assert_eq!(fetch(&appliance, STAFF, head).status, status, "{head:?}");
    }
}

#[test]
fn what_a_source_gets_follows_the_policy_at_once() {
    let appliance = Setup::default().start();
    let head = "GET /proxy.pac HTTP/1.1\r\nHost: proxy:8080\r\n\r\n";
    assert!(fetch(&appliance, PILOT, head).text().contains("return proxy;\n}\n"));
    let policy = place::read(place::example_policy())
        + "\n[pac]\nsources = [\"127.0.0.1/32\"]\n[[pac.group]]\nsources = [\"127.0.0.3/32\"]\ndefault = \"direct\"\n";
    std::fs::write(appliance.state().join("new.toml"), &policy).unwrap();
    let applied = appliance.penstock(&["policy", "apply", appliance.state().join("new.toml").to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    assert!(fetch(&appliance, STAFF, head).text().ends_with("return proxy;\n}\n"));
    assert_eq!(
        fetch(&appliance, PILOT, head).text(),
        "function FindProxyForURL(url, host) {\n  return \"DIRECT\";\n}\n"
    );
    let group = fetch(&appliance, IpAddr::from([127, 0, 0, 3]), head).text();
    assert!(group.ends_with("return \"DIRECT\";\n}\n") && group.contains("steered_names"), "{group}");
}

#[test]
fn chromium_obeys_the_script() {
    let Some(chromium) = place::program("chromium") else { return };
    let origin = PlainOrigin::start();
    let appliance = Setup::default().host("*", origin.address()).start();
    let profile = appliance.state().join("chromium");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--dump-dom",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--proxy-pac-url=http://{}/proxy.pac", appliance.proxy()))
        .arg("http://www.example.org/through-the-proxy")
        .output()
        .unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(
        page.contains("/through-the-proxy at www.example.org"),
        "{page}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
