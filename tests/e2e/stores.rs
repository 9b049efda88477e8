//! The same chain over each pair of stores: a policy is written, a sign-in is refused, found in the report and exported, and
//! the policy is rolled back; and two appliances on one etcd and one PostgreSQL.

use std::fs;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::etcd::Etcd;
use penstock_tests::place;
use penstock_tests::postgres::Postgres;
use penstock_tests::process;
use penstock_tests::tunnel;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

fn stores(etcd: &Etcd, postgres: &Postgres, name: &str) -> String {
    format!(
        "[store.policy]\netcd = [\"{}\"]\nname = \"{name}\"\n[store.events]\npostgres = \"{}\"\n",
        etcd.url(),
        postgres.url()
    )
}

/// The example with the sign-in host refused as a whole.
fn refusing() -> String {
    let example = place::read(place::example_policy());
    let refusing = example.replace("[deny]\nhosts = [", &format!("[deny]\nhosts = [\"{ENTRA}\", "));
    assert_ne!(refusing, example);
    refusing
}

fn epoch_of(appliance: &Appliance) -> u64 {
    let nodes = appliance.admin().json("/api/v1/nodes");
    nodes["nodes"][0]["epoch"].as_u64().unwrap_or(0)
}

fn is_refused(appliance: &Appliance) -> bool {
    tunnel::try_open(appliance.proxy(), &format!("{ENTRA}:443")).is_none()
}

fn chain(stores: &str) {
    let folder = TempDir::new().unwrap();
    let lines = folder.path().join("events.jsonl");
    let more = format!("[[export]]\nname = \"lines\"\nkind = \"file\"\npath = {lines:?}\n{stores}");
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).control(&more).start();
    let admin = appliance.admin();
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/contoso.com/allowed").status, 200);

    let before = epoch_of(&appliance);
    let epoch = admin.apply(&refusing());
    assert!(epoch > before);
    assert!(is_refused(&appliance), "the policy is not in force");
    let denied = admin.await_events("status=denied", 1);
    assert_eq!((&denied[0]["sni"], &denied[0]["epoch"]), (&ENTRA.into(), &epoch.into()));
    let report = wait::until("the report", || {
        let report = admin.json("/api/v1/report?status=denied");
        (!report["rows"].as_array().unwrap().is_empty()).then_some(report)
    });
    assert_eq!(report["rows"][0]["status"], "denied", "{report}");
    let (status, csv) = admin.get("/api/v1/events?status=denied&format=csv");
    assert_eq!(status, 200, "{csv}");
    assert!(csv.starts_with("time,node,") && csv.contains(ENTRA), "{csv}");
    let counts = admin.json("/api/v1/report/denials?by=day");
    assert_eq!(counts["rows"][0]["denied"], 1, "{counts}");
    wait::until("the export", || {
        let text = fs::read_to_string(&lines).ok()?;
        (text.contains("\"denied\"") && text.contains("\"allowed\"")).then_some(())
    });

    let back = admin.send("POST", "/api/v1/policy/rollback", "application/json", &format!("{{\"epoch\":{before}}}"));
    assert_eq!(back.0, 200, "{}", back.1);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/contoso.com/again").status, 200);

    // All of it is there after a restart, and the policy of the last epoch in force.
    let appliance = appliance.restart();
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/contoso.com/later").status, 200);
    wait::until("what was before the restart, and what came after", || {
        let events = appliance.admin().events("limit=1000");
        let has = |path: &str| events.iter().filter(|event| event["path"] == path).count() == 1;
        ["/contoso.com/allowed", "/contoso.com/again", "/contoso.com/later"].into_iter().all(has).then_some(())
    });
    let history = appliance.admin().json("/api/v1/policy/history");
    let epochs: Vec<u64> =
        history["revisions"].as_array().unwrap().iter().map(|it| it["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [epoch + 1, epoch, before]);
}

#[test]
fn the_chain_over_sqlite() {
    chain("");
}

#[test]
fn the_chain_over_etcd_and_postgresql() {
    let (Some(etcd), Some(postgres)) = (Etcd::start(), Postgres::start()) else { return };
    chain(&stores(&etcd, &postgres, "one"));
}

/// Each with a data plane of its own; one's control is killed in the middle, and both servers go and come back.
#[test]
fn two_appliances_have_one_policy_and_one_report() {
    let (Some(mut etcd), Some(mut postgres)) = (Etcd::start(), Postgres::start()) else { return };
    let upstream = Upstream::plan().start();
    let start = |name: &str| Setup::default().upstream(&upstream).control(&stores(&etcd, &postgres, name)).start();
    let (one, other) = (start("one"), start("other"));
    assert_eq!(one.client(ENTRA).get(ENTRA, "/contoso.com/one").status, 200);
    assert_eq!(other.client(ENTRA).get(ENTRA, "/contoso.com/other").status, 200);
    let paths = |appliance: &Appliance, count: usize| -> Vec<Value> {
        appliance.admin().await_events("connector=microsoft-entra&status=allowed&limit=1000", count)
    };
    assert_eq!((paths(&one, 2).len(), paths(&other, 2).len()), (2, 2));

    let epoch = one.admin().apply(&refusing());
    let control = one.running("control").unwrap();
    process::signal(control, Signal::KILL);
    wait::until("the policy at the other's data plane", || (epoch_of(&other) == epoch).then_some(()));
    assert!(is_refused(&other));
    wait::until("control again", || one.running("control").filter(|pid| *pid != control));
    wait::until("it to serve", || (one.admin().try_status("/readyz") == Some(200)).then_some(()));
    assert_eq!(epoch_of(&one), epoch);

    // PostgreSQL is away: flows go on, and their events come when it is back, each once.
    let admin = other.admin();
    let epoch = admin.apply(&place::read(place::example_policy()));
    wait::until("the policy at the one's data plane", || (epoch_of(&one) == epoch).then_some(()));
    postgres.kill();
    for index in 0..10 {
        assert_eq!(one.client(ENTRA).get(ENTRA, &format!("/contoso.com/away-{index}")).status, 200);
    }
    postgres.revive();
    let mut found: Vec<String> =
        paths(&other, 12).iter().map(|event| event["path"].as_str().unwrap().to_owned()).collect();
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!((count, found.len()), (12, 12), "{found:?}");

    // etcd is away: flows go on, and nothing can be published until it is back.
    etcd.kill();
    assert_eq!(one.client(ENTRA).get(ENTRA, "/contoso.com/without").status, 200);
    assert_eq!(admin.send("PUT", "/api/v1/policy", "application/toml", &refusing()).0, 503);
    etcd.revive();
    etcd.compact();
    let epoch = admin.apply(&refusing());
    wait::until("the policy at the one's data plane", || (epoch_of(&one) == epoch).then_some(()));
    assert!(is_refused(&one));
}
