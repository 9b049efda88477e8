//! Clients that refuse the minted leaf: told each time, refused unless the policy says otherwise, and then passed for a
//! bounded time alone.

use std::io::{Read as _, Write as _};

use penstock_tests::appliance::Appliance;
use penstock_tests::client;
use penstock_tests::place;
use penstock_tests::tunnel::{PILOT, STAFF};
use penstock_tests::upstream::{Upstream, no_expectations};
use penstock_tests::wait;

const CLAUDE: &str = "claude.ai";

fn policy(more: &str) -> String {
    format!("{}\n{more}", place::read(place::example_policy()))
}

/// A client that believes the origin's authority and nobody else, as one with a pinned certificate does.
fn pinned(
    appliance: &Appliance,
    upstream: &Upstream,
    source: std::net::IpAddr,
    name: &str,
) -> std::io::Result<client::Client> {
    appliance.client_with(source, name, client::config(&[&upstream.ca()]))
}

#[test]
fn a_client_that_refuses_the_certificate_is_told_with_its_fingerprint() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    for _ in 0..2 {
        assert!(pinned(&appliance, &upstream, STAFF, CLAUDE).is_err(), "never passed without a bypass");
    }
    let events = appliance.admin().await_events("status=fault", 2);
    for event in &events {
        assert_eq!(event["fault"], "downstream/handshake/untrusted");
        assert_eq!((&event["sni"], &event["source"]), (&CLAUDE.into(), &"127.0.0.1".into()));
        let client = event["client"].as_str().unwrap();
        assert!(client.starts_with("t13d") && client.len() == 36, "{client}");
    }
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_faults_total", &["kind=\"untrusted\"", "leg=\"downstream\""]), 2.0);
    assert_eq!(metrics.sum("penstock_coverage_gaps_total", &[]), 0.0);
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_client_that_hangs_up_on_the_certificate_is_told_too() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let (_, hello) = client::first_flight(CLAUDE, client::config(&[&appliance.root()]));
    let mut stream = appliance.tunnel(CLAUDE);
    stream.write_all(&hello).unwrap();
    let mut some = [0; 100];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let events = appliance.admin().await_events("status=fault", 1);
    let fault = events[0]["fault"].as_str().unwrap();
    assert!(matches!(fault, "downstream/handshake/closed" | "downstream/handshake/connection_reset"), "{fault}");
    assert!(events[0]["client"].as_str().unwrap().starts_with("t13d"));
}

#[test]
fn a_bypass_passes_the_client_that_it_names_after_a_refusal_and_counts_the_gap() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    assert!(pinned(&appliance, &upstream, STAFF, CLAUDE).is_err());
    let events = appliance.admin().await_events("status=fault", 1);
    let ja4 = events[0]["client"].as_str().unwrap().to_owned();
    let bypass =
        format!("[[bypass]]\nsources = [\"127.0.0.1\"]\nja4 = [\"{ja4}\"]\nhosts = [\"{CLAUDE}\"]\nfor = \"1h\"\n");
    appliance.admin().apply(&policy(&bypass));

    // The bypass alone opens nothing: a client that does not refuse is inspected, with the same fingerprint too.
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/").status, 200);
    assert!(pinned(&appliance, &upstream, STAFF, CLAUDE).is_err());
    let admin = appliance.admin();
    admin.await_events("status=fault", 2);
    for _ in 0..4 {
        // On whichever shard it comes.
        let mut client = pinned(&appliance, &upstream, STAFF, CLAUDE).unwrap();
        client.finish();
    }
    // Another machine, another host and another fingerprint stay as they are.
    assert!(pinned(&appliance, &upstream, PILOT, CLAUDE).is_err());
    assert!(pinned(&appliance, &upstream, STAFF, "login.microsoftonline.com").is_err());
    let mut other = client::config_mut(&[&upstream.ca()], rustls::ALL_VERSIONS);
    other.alpn_protocols.clear();
    assert!(appliance.client_with(STAFF, CLAUDE, std::sync::Arc::new(other)).is_err());

    let events = admin.await_events("status=allowed", 5);
    let gaps: Vec<_> = events.iter().filter(|event| event["code"] == "pinned_client").collect();
    assert_eq!(gaps.len(), 4, "{events:?}");
    assert!(gaps.iter().all(|event| event["connector"] == "anthropic-claude" && event["sni"] == CLAUDE));
    wait::until("the gaps to be counted", || {
        let gaps = admin.metrics().sum("penstock_coverage_gaps_total", &["connector=\"anthropic-claude\""]);
        (gaps == 4.0).then_some(())
    });
    // Taking the bypass away ends it at once.
    admin.apply(&policy(""));
    assert!(pinned(&appliance, &upstream, STAFF, CLAUDE).is_err());
}

#[test]
fn explain_tells_of_a_bypass() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("policy.toml");
    let ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let bypass =
        format!("[[bypass]]\nsources = [\"127.0.0.0/8\"]\nja4 = [\"{ja4}\"]\nhosts = [\"{CLAUDE}\"]\nfor = \"30m\"\n");
    std::fs::write(&file, policy(&bypass)).unwrap();
    let mut command = std::process::Command::new(place::binary("penstock"));
    command.args(["explain", "--json", "--policy"]).arg(&file).args(["--sni", CLAUDE, "--ja4", ja4]);
    let output = command.output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["bypass_seconds"]), (&"inspect".into(), &1800.into()));
}
