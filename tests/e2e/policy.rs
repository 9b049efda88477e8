//! Policy: applied as a whole or not at all, in force for new flows at once, and never mixed within a request.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_core::audit::timestamp;
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::tunnel::{self, PILOT};
use penstock_tests::upstream::{Upstream, no_expectations};
use penstock_tests::{place, wait};

const ENTRA: &str = "login.microsoftonline.com";
const HEADER: &str = "Restrict-Access-To-Tenants";

fn example() -> String {
    place::read(place::example_policy())
}

/// The example with another list of tenants.
fn with_tenant(tenant: &str) -> String {
    let text = example().replace("\"contoso.com\", \"fabrikam.onmicrosoft.com\"", &format!("\"{tenant}\""));
    assert_ne!(text, example());
    text
}

fn header_now(appliance: &Appliance, upstream: &Upstream) -> String {
    let before = upstream.requests().len();
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let requests = upstream.await_requests(before + 1);
    requests[before].values(HEADER).collect::<Vec<_>>().join(" and ")
}

#[test]
fn a_new_policy_is_in_force_when_its_epoch_is_answered() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let admin = appliance.admin();
    let first = admin.json("/api/v1/policy/history");
    let epoch = admin.apply(&with_tenant("tailspin.example"));
    assert!(header_now(&appliance, &upstream).starts_with("tailspin.example,"), "{first}");
    let history = admin.json("/api/v1/policy/history").to_string();
    assert!(history.contains(&epoch.to_string()), "{history}");
    for shard in admin.metrics().series("penstock_policy_epoch") {
        assert!(shard.contains("shard=\""), "{shard}");
    }
    let metrics = admin.metrics();
    for shard in ["shard=\"0\"", "shard=\"1\""] {
        assert_eq!(metrics.sum("penstock_policy_epoch", &[shard]), epoch as f64);
    }
}

#[test]
fn a_roll_back_brings_the_old_one_back() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let before = header_now(&appliance, &upstream);
    let second = appliance.admin().apply(&with_tenant("tailspin.example"));
    assert_ne!(header_now(&appliance, &upstream), before);
    let output = appliance.penstock(&["policy", "rollback", &(second - 1).to_string()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(header_now(&appliance, &upstream), before);
}

#[test]
fn a_bad_policy_keeps_the_old_one_in_force() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let admin = appliance.admin();
    for (break_it, place_of_fault) in [
        (example().replace("\"contoso.com\", \"fabrikam", "\"not a tenant\", \"fabrikam"), ":7:"),
        (example().replace("connector = \"anthropic-claude\"", "connector = \"anthropic-clawed\""), ":16:"),
        (example().replace("mode = \"enforce\" ", "mode = \"enforced\" "), ":29:"),
        (format!("{}\nsurprise = 1\n", example()), ":54:"),
        ("[[restriction]\n".to_owned(), ":1:"),
    ] {
        let (status, body) = admin.send("PUT", "/api/v1/policy", "application/toml", &break_it);
        assert!((400..500).contains(&status), "{status} {body}");
        assert!(body.contains(place_of_fault) || body.contains("\"line\""), "no place {place_of_fault} in {body}");
        assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    }
    // The tripwire has seen the example's headers on each.
    assert_eq!(upstream.requests().len(), 5);
}

/// Nothing is published when it ends: the data plane knows the time.
#[test]
fn an_exception_ends_by_the_clock_of_the_data_plane() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(15);
    let until = timestamp(u64::try_from(now.as_millis()).unwrap());
    let exception = format!(
        "\n[[exception]]\nwho = [\"127.0.0.1\"]\nwhy = \"a case\"\nuntil = {until}\nrestrictions = [\"entra\"]\n"
    );
    let epoch = appliance.admin().apply(&(example() + &exception));
    // The origin's own certificate, and no header.
    assert_eq!(appliance.passed_client(ENTRA, &upstream.ca()).get(ENTRA, "/").status, 200);
    assert_eq!(upstream.await_requests(1)[0].values(HEADER).count(), 0);
    let events = appliance.admin().await_events("", 1);
    assert_eq!((&events[0]["code"], &events[0]["status"]), (&"exception".into(), &"allowed".into()), "{events:?}");

    let mut inspected = wait::until("the end of the exception", || appliance.try_client(ENTRA).ok());
    assert_eq!(inspected.get(ENTRA, "/").status, 200);
    assert_eq!(upstream.await_requests(2)[1].values(HEADER).count(), 1);
    assert_eq!(appliance.admin().metrics().sum("penstock_policy_epoch", &["shard=\"0\""]), epoch as f64);
}

#[test]
fn the_operators_command_applies_shows_and_refuses() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let good = appliance.state().join("good.toml");
    std::fs::write(&good, with_tenant("tailspin.example")).unwrap();
    let difference = appliance.penstock(&["policy", "diff", good.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&difference.stdout).contains("tailspin.example"), "{difference:?}");
    let applied = appliance.penstock(&["policy", "apply", good.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    assert!(header_now(&appliance, &upstream).starts_with("tailspin.example,"));
    let bad = appliance.state().join("bad.toml");
    std::fs::write(&bad, example().replace("organization_ids = [\"1111", "organization_ids = [\"x111")).unwrap();
    let refused = appliance.penstock(&["policy", "apply", bad.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(header_now(&appliance, &upstream).starts_with("tailspin.example,"));
    let checked = Command::new(place::binary("penstock")).args(["policy", "check"]).arg(&bad).output().unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let said = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(said.contains("bad.toml:17:"), "{said}");
    let misused = Command::new(place::binary("penstock")).args(["policy", "cheque"]).output().unwrap();
    assert_eq!(misused.status.code(), Some(2));
}

#[test]
fn report_only_forwards_unchanged_and_records() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let mut client = Client::connect(
        tunnel::open(PILOT, appliance.proxy(), &format!("{ENTRA}:443")),
        ENTRA,
        client::config(&[&appliance.root()]),
    )
    .unwrap();
    let head =
        format!("GET /common/x HTTP/1.1\r\nHost: {ENTRA}\r\nRestrict-Access-To-Tenants: own.example\r\nX: y\r\n\r\n");
    client.send(&head);
    assert_eq!(client.answer().status, 200);
    assert_eq!(String::from_utf8_lossy(&upstream.seen()[0].bytes), head);
    let events = appliance.admin().await_events("", 1);
    assert_eq!(events[0]["mode"], "report-only", "{events:?}");
    assert_eq!(events[0]["profile"], "pilot");
    assert!(events[0]["headers_set"].as_array().is_none_or(Vec::is_empty), "{events:?}");
}

/// h054: each request carries one policy's full header set, never a mix; a flow keeps the snapshot it started with.
#[test]
fn h054_a_policy_change_in_flight_never_mixes() {
    let upstream = Upstream::plan().expecting(no_expectations).start();
    let appliance = Appliance::before(&upstream);
    let mut open = appliance.client(ENTRA);
    assert_eq!(open.get(ENTRA, "/1").status, 200);
    open.send(format!("POST /2 HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: 4\r\n\r\nab"));
    let other = with_tenant("tailspin.example")
        .replace("bbbbcccc-1111-dddd-2222-eeee3333ffff", "cccccccc-1111-dddd-2222-eeee3333ffff");
    appliance.admin().apply(&other);
    open.send("cd");
    assert_eq!(open.answer().status, 200);
    assert_eq!(open.get(ENTRA, "/3").status, 200);
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/4").status, 200);
    for request in upstream.await_requests(4) {
        let tenants: Vec<&str> = request.values(HEADER).collect();
        let context: Vec<&str> = request.values("Restrict-Access-Context").collect();
        let new = tenants[0].starts_with("tailspin.example");
        assert_eq!((tenants.len(), context.len()), (1, 1), "{request:?}");
        assert_eq!(new, context[0].starts_with("cccccccc"), "mixed: {request:?}");
        assert_eq!(new, request.target() == "/4", "a flow keeps its snapshot: {request:?}");
    }
}

/// h050: a value that could split a header, or is beyond the bound, is refused before it is in force.
#[test]
fn h050_a_value_that_could_split_a_header_is_refused() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).start();
    let long = format!("\"{}.example\"", "a".repeat(9000));
    for value in ["\"contoso.com\\r\\nX: y\"", "\"contoso.com\\n\"", "\"con\\u0000toso.com\"", "\"\"", &long] {
        let text = example().replace("\"contoso.com\", \"fabrikam", &format!("{value}, \"fabrikam"));
        let (status, body) = appliance.admin().send("PUT", "/api/v1/policy", "application/toml", &text);
        assert!((400..500).contains(&status), "{status} {body}");
    }
    let many: Vec<String> = (0..2000).map(|index| format!("\"tenant-{index}.example\"")).collect();
    let text = example().replace("\"contoso.com\", \"fabrikam", &format!("{}, \"fabrikam", many.join(", ")));
    let (status, body) = appliance.admin().send("PUT", "/api/v1/policy", "application/toml", &text);
    assert!((400..500).contains(&status), "a value beyond 8 KiB: {status} {body}");
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
}
