//! The report of sign-ins, refusals counted, and what a policy would have done: as an auditor asks for them.

use penstock_core::audit::{Event, timestamp};
use serde_json::Value;

use crate::control::{Control, policy};
use crate::node::Node;

/// An hour ago, so that a week's interval holds it.
fn event(number: u64, user: &str, tenant: &str, status: &str) -> (u64, String) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let event = Event {
        time: timestamp(u64::try_from(now).unwrap() - 3_600_000 + number * 1000),
        shard: 1,
        flow: format!("1-{number:x}-0"),
        source: format!("127.0.0.{number}"),
        site: Some("Hall 3".to_owned()),
        user: Some(user.to_owned()),
        username: Some(user.to_owned()),
        connector: Some("microsoft-entra".to_owned()),
        sni: Some("login.microsoftonline.com".to_owned()),
        application: Some("@portal".to_owned()),
        target_tenant: Some(tenant.to_owned()),
        status: status.to_owned(),
        code: (status == "denied").then(|| "AADSTS500021".to_owned()),
        ..Event::default()
    };
    (number, serde_json::to_string(&event).unwrap())
}

fn filled() -> (Control, Node) {
    let control = Control::start();
    let mut node = Node::attach(&control, "alpha");
    let batch = [
        event(1, "alice@contoso.com", "contoso.com", "allowed"),
        event(2, "alice@contoso.com", "fabrikam.com", "denied"),
        event(3, "bob@contoso.com", "fabrikam.com", "denied"),
        event(4, "bob@contoso.com", "evil.com", "would_deny"),
        event(5, "carol@contoso.com", "common", "allowed"),
        event(6, "dave@contoso.com", "adatum.com", "allowed"),
    ];
    node.record("alpha", "boot", &batch).unwrap();
    (control, node)
}

fn column<'a>(answer: &'a Value, key: &str) -> Vec<&'a str> {
    answer["rows"].as_array().unwrap().iter().map(|row| row[key].as_str().unwrap_or("-")).collect()
}

#[test]
fn a_sign_in_has_the_columns_that_identity_engineers_know() {
    let (control, _node) = filled();
    let answer = control.get("/report?unmask=true&status=denied").json();
    let headings: Vec<_> =
        answer["columns"].as_array().unwrap().iter().map(|one| one["heading"].as_str().unwrap()).collect();
    assert_eq!(
        headings,
        [
            "User",
            "Username",
            "Application",
            "Status",
            "Date",
            "Date (UTC)",
            "IP address",
            "Client",
            "Location",
            "Target tenant ID",
            "Connector",
            "Code",
            "Vendor request ID"
        ]
    );
    assert_eq!(column(&answer, "user"), ["bob@contoso.com", "alice@contoso.com"]);
    assert_eq!(column(&answer, "location"), ["Hall 3", "Hall 3"]);
    assert_eq!(column(&answer, "ip_address"), ["127.0.0.3", "127.0.0.2"]);
    assert_eq!((&answer["masked"], &answer["more"], &answer["next"]), (&false.into(), &false.into(), &Value::Null));

    let csv = control.get("/report?format=csv&columns=date_utc,application,code&status=denied&limit=1");
    let lines: Vec<&str> = csv.body.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "Date (UTC),Application,Code");
    assert!(lines[1].ends_with(",\"'@portal\",AADSTS500021") && lines.len() == 2, "{lines:?}");
    assert!(!csv.header("penstock-next-cursor").is_empty());
    for query in ["columns=colour", "utc_offset=Berlin", "unheard=of", "status=denyed", "since=yesterday", "unmask=yes"]
    {
        control.get(&format!("/report?{query}")).problem(400);
    }
}

#[test]
fn who_it_was_is_masked_until_it_is_asked_for_by_one_who_may() {
    let (control, _node) = filled();
    for path in ["/report", "/report?format=csv", "/report/denials?by=user", "/report/denials?by=source"] {
        let reply = control.get(path);
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert!(!reply.body.contains("alice") && !reply.body.contains("127.0.0.2\""), "{path}: {}", reply.body);
    }
    assert!(control.get("/report").body.contains("a***@contoso.com"));
    // To look for somebody is to be told of somebody.
    assert_eq!(column(&control.get("/report?user=alice@contoso.com").json(), "status"), ["denied", "allowed"]);
    let token = control.api("POST", "/tokens", &[JSON], r#"{"role":"viewer","comment":"wall","days":1}"#);
    let token = token.json()["token"].as_str().unwrap_or_else(|| panic!("{}", token.body)).to_owned();
    let viewer = [("Authorization", &*format!("Bearer {token}"))];
    assert_eq!(control.send("GET", "/api/v1/report", &viewer, "").status, 200);
    for path in ["/report?unmask=true", "/report?user=alice@contoso.com", "/report/denials?by=user&unmask=true"] {
        control.send("GET", &format!("/api/v1{path}"), &viewer, "").problem(403);
    }
    let trail = control.get("/trail").body;
    assert!(trail.contains("events of alice@contoso.com") && trail.contains("refused"), "{trail}");
}

#[test]
fn refusals_are_counted_by_tenant_user_application_and_time() {
    let (control, _node) = filled();
    let by = |key: &str| control.get(&format!("/report/denials?unmask=true&by={key}")).json();
    let tenants = by("tenant");
    assert_eq!(column(&tenants, "key"), ["fabrikam.com", "evil.com"]);
    assert_eq!((&tenants["rows"][0]["denied"], &tenants["rows"][1]["would_deny"]), (&2.into(), &1.into()));
    assert_eq!(column(&by("user"), "key"), ["bob@contoso.com", "alice@contoso.com"]);
    assert_eq!(column(&by("application"), "key"), ["@portal"]);
    for key in ["hour", "day"] {
        let time = by(key);
        let sum: u64 = time["rows"].as_array().unwrap().iter().map(|row| row["denied"].as_u64().unwrap()).sum();
        assert_eq!(sum, 2);
        assert!(column(&time, "key")[0].ends_with(":00:00.000Z"), "{time}");
    }
    assert_eq!(control.get("/report/denials?connector=slack").json()["rows"], serde_json::json!([]));
    assert_eq!(control.get("/report/denials?limit=1").json()["more"], true);
    control.get("/report/denials?by=colour").problem(400);
}

#[test]
fn a_forecast_tells_whom_a_policy_would_have_denied() {
    let (control, _node) = filled();
    control.api("POST", "/policy/forecast", &[], "").problem(404);
    let ask = |body: &str| {
        let reply = control.api("POST", "/policy/forecast?unmask=true", &[TOML], body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    };
    let told = ask(&policy("contoso.com"));
    assert_eq!(
        (&told["newly_denied"], &told["unknown"], &told["looked_at"]),
        (&2.into(), &1.into(), &6.into()),
        "{told}"
    );
    let people = told["people"].as_array().unwrap();
    let of = |user: &str| people.iter().find(|person| person["user"] == user).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(of("dave@contoso.com")["tenants"], serde_json::json!(["adatum.com"]));
    assert_eq!(of("bob@contoso.com")["newly_denied"], 1);
    assert_eq!(of("carol@contoso.com")["unknown"], 1);
    assert!(told["limits"].as_array().unwrap().len() >= 4);
    let masked = control.api("POST", "/policy/forecast", &[TOML], &policy("contoso.com"));
    assert!(!masked.body.contains("dave"), "{}", masked.body);
    // A wider policy frees those who were denied.
    assert_eq!(ask(&policy("fabrikam.com"))["freed"], 2);
    control.api("POST", "/policy/forecast", &[TOML], &policy("no tenant")).problem(422);

    // The policy in force, as if what it only reports were enforced.
    let report_only = policy("contoso.com").replace("\"enforce\"", "\"report-only\"");
    assert_eq!(ask(&report_only)["newly_denied"], 0);
    assert_eq!(control.put_policy(&report_only).status, 200);
    assert_eq!(ask("")["newly_denied"], 2);
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const TOML: (&str, &str) = ("Content-Type", "application/toml");
