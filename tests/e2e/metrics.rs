//! Metrics: the names of the contract are there, have the right kind, and move when what they count happens.

use penstock_core::metrics::{CATALOGUE, Kind};
use penstock_tests::appliance::Appliance;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";

/// Families that only exist once their event has happened; no test here makes it happen.
const RARE: &[&str] = &["penstock_denials_total"];

#[test]
fn every_name_of_the_contract_is_there_and_moves() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let admin = appliance.admin();
    for _ in 0..3 {
        let mut client = appliance.client(ENTRA);
        client.send(format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\nrestrict-access-to-tenants: x\r\n\r\n"));
        assert_eq!(client.answer().status, 200);
    }
    drop(appliance.passed_client("www.example.org", &upstream.ca()));
    // A fault: the upstream's certificate is not for the one who asks.
    assert!(appliance.try_client("www.example.org").is_err());
    let _ = super::deny::refusal(&appliance, "onedrive.live.com");
    let metrics = wait::until("all flows to be counted", || {
        let metrics = admin.metrics();
        (metrics.sum("penstock_flows_total", &[]) >= 5.0 && metrics.sum("penstock_audit_events_total", &[]) >= 3.0)
            .then_some(metrics)
    });
    for metric in CATALOGUE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        if !RARE.contains(&metric.name) {
            assert_eq!(metrics.kinds.get(metric.name).map(String::as_str), Some(kind), "{}", metric.name);
        }
        for series in metrics.series(metric.name) {
            for label in metric.labels {
                assert!(series.contains(&format!("{label}=\"")), "{series} lacks {label}");
            }
        }
    }
    for (name, labels, least) in [
        ("penstock_flows_total", &["verdict=\"inspect\""][..], 2.0),
        ("penstock_handshakes_total", &["leg=\"upstream\"", "engine=\"rustls\""], 3.0),
        ("penstock_handshakes_total", &["leg=\"downstream\"", "engine=\"rustls\""], 3.0),
        ("penstock_handshake_seconds_count", &["leg=\"downstream\""], 3.0),
        ("penstock_sniff_seconds_count", &[], 4.0),
        ("penstock_requests_total", &["connector=\"microsoft-entra\"", "http=\"1.1\"", "mode=\"enforce\""], 3.0),
        ("penstock_headers_stripped_total", &["connector=\"microsoft-entra\""], 3.0),
        ("penstock_relay_bytes_total", &["path=\"edit\"", "direction=\"egress\""], 100.0),
        ("penstock_leaf_minted_total", &[], 1.0),
        ("penstock_policy_epoch", &[], 1.0),
        ("penstock_policy_install_seconds_count", &[], 1.0),
        ("penstock_link_up", &[], 1.0),
        ("penstock_certificate_expiry_seconds", &["kind="], 1.8e9),
        ("penstock_build_info", &["version="], 1.0),
    ] {
        assert!(metrics.sum(name, labels) >= least, "{name} {labels:?} is {}", metrics.sum(name, labels));
    }
    let minted = metrics.sum("penstock_leaf_minted_total", &[]) + metrics.sum("penstock_leaf_cache_hits_total", &[]);
    assert!(minted >= 3.0, "{minted}");
}

/// The network never makes a label: a host name that a client invents must not show up.
#[test]
fn names_from_the_network_are_no_labels() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    drop(appliance.passed_client("very-peculiar-name.example", &upstream.ca()));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/peculiar-path").status, 200);
    let text = appliance.admin().open_get("/metrics").1;
    for word in ["peculiar", "microsoftonline", "127.0.0.1"] {
        assert!(!text.contains(word), "{word} is in /metrics");
    }
}

#[test]
fn health_needs_no_token_and_everything_else_does() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let admin = appliance.admin();
    for path in ["/healthz", "/readyz", "/metrics", "/ca/root.pem"] {
        assert_eq!(admin.open_get(path).0, 200, "{path}");
    }
    assert_eq!(admin.open_get("/ca/root.pem").1, penstock_tests::place::read(appliance.root()));
    for path in ["/api/v1/policy", "/api/v1/events", "/api/v1/policy/history"] {
        let (status, body) = admin.open_get(path);
        assert_eq!(status, 401, "{path}: {body}");
        assert!(body.contains("\"status\"") || body.contains("\"title\""), "no problem document: {body}");
        assert_eq!(admin.get(path).0, 200, "{path}");
    }
}
