//! Audit events on their way to NATS JetStream, through the death of the server and a door that wants credentials.

use std::collections::BTreeSet;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::TestAuthority;
use penstock_tests::nats::Nats;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;

const CLAUDE: &str = "claude.ai";

fn ask(appliance: &Appliance, places: std::ops::Range<u32>) {
    let mut client = appliance.client(CLAUDE);
    for place in places {
        assert_eq!(client.get(CLAUDE, &format!("/{place}")).status, 200);
    }
}

/// The places whose events the stream has, each as often as it has them.
fn told(nats: &Nats) -> Vec<u32> {
    let path = |event: &serde_json::Value| event["path"].as_str()?.strip_prefix('/')?.parse().ok();
    let mut places: Vec<u32> = nats.messages().iter().filter_map(|(_, event)| path(event)).collect();
    places.sort_unstable();
    places
}

#[test]
fn nothing_is_lost_or_told_twice_when_the_nats_server_dies_and_comes_back() {
    let Some(mut nats) = Nats::start() else { return };
    let export = format!(
        "[[export]]\nname = \"nats\"\nkind = \"nats\"\nservers = [{:?}]\nsubject = \"egress.events\"\ntls = false\n",
        nats.address()
    );
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).control(&export).start();
    let admin = appliance.admin();
    ask(&appliance, 0..100);
    wait::until("the first events", || (told(&nats).len() == 100).then_some(()));
    let await_failure = |pending: u64| {
        wait::until("the failure", || {
            let told = appliance.penstock(&["exports", "--json"]);
            let answer: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
            let export = answer["exports"][0].clone();
            (export["error"].is_string() && export["pending"].as_u64() >= Some(pending)).then_some(export)
        })
    };
    // It hangs with events in hand, for so long that they are sent again.
    nats.hang();
    ask(&appliance, 100..120);
    await_failure(20);
    nats.resume();
    wait::until("what was sent twice", || (told(&nats) == (0..120).collect::<Vec<_>>()).then_some(()));
    // It dies with events in hand, and stays away: flows go on, and the store keeps what it is not told.
    nats.hang();
    ask(&appliance, 120..150);
    await_failure(30);
    nats.kill();
    ask(&appliance, 150..400);
    admin.await_events("limit=1000&connector=anthropic-claude", 400);
    let failing = await_failure(280);
    assert!(failing["to"].as_str().unwrap().ends_with(" egress.events"), "{failing}");
    assert!(failing["waits_since"].is_string() && failing["cursor"].as_u64() >= Some(100), "{failing}");
    nats.revive();
    ask(&appliance, 400..450);
    wait::until("all events", || (told(&nats).iter().collect::<BTreeSet<_>>().len() == 450).then_some(()));
    assert_eq!(told(&nats), (0..450).collect::<Vec<_>>());
    let ids: BTreeSet<String> = nats.messages().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), nats.messages().len());
    let metrics = admin.metrics();
    assert_eq!(metrics.sum("penstock_export_lost_total", &["export=\"nats\""]), 0.0);
    assert!(metrics.sum("penstock_export_failures_total", &["export=\"nats\""]) >= 1.0);
}

#[test]
fn a_nats_server_is_known_by_its_certificate_and_opens_to_credentials() {
    let authority = TestAuthority::new("NATS");
    let Some(nats) = Nats::start_guarded(&authority) else { return };
    let of = |name: &str, more: String| {
        let servers = nats.address();
        format!(
            "[[export]]\nname = {name:?}\nkind = \"nats\"\nservers = [{servers:?}]\nsubject = \"egress.events\"\n{more}\n"
        )
    };
    let (credentials, ca) = (nats.file("user.creds"), nats.file("ca.pem"));
    let exports = [
        of("good", format!("credentials_file = {credentials:?}\nca_file = {ca:?}")),
        of("stranger", format!("ca_file = {ca:?}")),
        of("unknown", format!("credentials_file = {credentials:?}")),
        of("nowhere", format!("credentials_file = {credentials:?}\nca_file = {ca:?}"))
            .replace("egress.events", "no.stream.takes.this"),
    ]
    .concat();
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).control(&exports).start();
    ask(&appliance, 0..10);
    wait::until("the events", || (told(&nats) == (0..10).collect::<Vec<_>>()).then_some(()));
    for (name, why) in [("stranger", "authorization"), ("unknown", "certificate"), ("nowhere", "no stream")] {
        wait::until(why, || {
            let told = appliance.penstock(&["exports"]);
            let text = String::from_utf8_lossy(&told.stdout).to_lowercase();
            text.lines().find(|line| line.starts_with(name))?.contains(why).then_some(())
        });
    }
    assert_eq!(told(&nats).len(), 10);
}
