//! Deny: the client hears that policy refused it, nothing reaches the origin, and it is counted and recorded once.

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::tunnel::{self, PILOT, STAFF};
use penstock_tests::upstream::{Upstream, no_expectations};
use rustls::{AlertDescription, Error};

const DENIED: &str = "onedrive.live.com";

/// What the client hears: 403 to its CONNECT, or a fatal alert behind it.
pub(crate) fn refusal(appliance: &Appliance, name: &str) -> String {
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let answer =
        tunnel::ask(&mut stream, format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").as_bytes());
    if answer.status != 200 {
        return format!("{}", answer.status);
    }
    match Client::connect(stream, name, client::config(&[&appliance.root()])) {
        Ok(_) => "a connection".to_owned(),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::AlertReceived(alert)) => format!("{alert:?}"),
            _ => format!("{error}"),
        },
    }
}

#[test]
fn a_denied_host_is_refused_with_a_word() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let heard = refusal(&appliance, DENIED);
    assert!(heard == "403" || heard == format!("{:?}", AlertDescription::AccessDenied), "{heard}");
    assert!(upstream.seen().is_empty(), "a denied flow reached the origin");
    let events = appliance.admin().await_events("status=denied", 1);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["sni"].as_str().unwrap_or(DENIED), DENIED);
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_flows_total", &["verdict=\"deny\""]), 1.0);
}

#[test]
fn a_body_of_a_refusal_is_short_and_tells_no_secret() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut stream = tunnel::dial(STAFF, appliance.proxy());
    let answer = tunnel::ask(&mut stream, b"CONNECT intranet.example:25 HTTP/1.1\r\nHost: intranet.example:25\r\n\r\n");
    assert_eq!(answer.status, 403, "{answer:?}");
    let body = answer.text();
    assert!(body.len() < 1024, "{body}");
    for secret in [appliance.state().to_str().unwrap(), env!("CARGO_PKG_VERSION"), "penstock/", "/src/"] {
        assert!(!body.contains(secret), "{body}");
    }
}

#[test]
fn report_only_denies_nothing() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Setup::default().upstream(&upstream).start();
    let stream = tunnel::open(PILOT, appliance.proxy(), &format!("{DENIED}:443"));
    let mut client = Client::connect(stream, DENIED, client::config(&[&upstream.ca()])).unwrap();
    assert_eq!(client.get(DENIED, "/").status, 200);
}
