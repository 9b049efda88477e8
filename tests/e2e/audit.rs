//! Audit: one event per request, with the columns of the report, and never a secret.

use std::collections::BTreeSet;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::saas::Saas;
use penstock_tests::upstream::{Then, Upstream};
use penstock_tests::wait;

use crate::clients::curl;

const ENTRA: &str = "login.microsoftonline.com";

/// Columns that the contract allows.
const COLUMNS: &str = "time node site shard flow source user username application client connector profile mode epoch sni http method \
                       path target_tenant status code vendor_request_id headers_set headers_stripped fault";

#[test]
fn each_request_leaves_one_event() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    for index in 0..20 {
        assert_eq!(client.get(ENTRA, &format!("/contoso.com/request-{index}?secret=hidden")).status, 200);
    }
    drop(client);
    let events = appliance.admin().await_events("limit=1000", 20);
    let paths: BTreeSet<&str> = events.iter().filter_map(|event| event["path"].as_str()).collect();
    assert_eq!((events.len(), paths.len()), (20, 20), "{events:?}");
    let metrics = appliance.admin().metrics();
    assert_eq!(metrics.sum("penstock_requests_total", &["connector=\"microsoft-entra\"", "mode=\"enforce\""]), 20.0);
    assert_eq!(metrics.sum("penstock_audit_events_total", &[]), 20.0);
    assert_eq!(metrics.sum("penstock_audit_dropped_total", &[]), 0.0);
}

/// The origin may have acted on it.
#[test]
fn a_request_that_is_never_answered_leaves_one_too() {
    // Says nothing.
    let upstream = Upstream::plan().answering(|_, _| Then::Echo).start();
    let appliance = Setup::default().upstream(&upstream).deadlines("half_close_ms = 500").start();
    let versions = ["--http1.1", "--http2"];
    for http in versions {
        let gave_up = curl(&appliance, &[http, "--max-time", "1", &format!("https://{ENTRA}/contoso.com/{http}")]);
        assert!(!gave_up.status.success(), "{gave_up:?}");
        assert!(upstream.requests().iter().any(|seen| seen.target().ends_with(http)));
    }
    wait::until("both to be recorded", || {
        let events = appliance.admin().await_events("status=fault&limit=1000", 2);
        let count = |http| events.iter().filter(|event| event["path"] == format!("/contoso.com/{http}")).count();
        (versions.map(count) == [1, 1]).then_some(())
    });
}

#[test]
fn the_columns_are_the_contracts_and_are_filled() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    client.send(format!(
        "POST /contoso.com/oauth2/v2.0/token?a=b HTTP/1.1\r\nHost: {ENTRA}\r\nUser-Agent: MyApp/1.2 (x)\r\n\
         Restrict-Access-To-Tenants: evil.example\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 200);
    let event = &appliance.admin().await_events("", 1)[0];
    let columns: BTreeSet<&str> = COLUMNS.split_whitespace().collect();
    for column in event.as_object().unwrap().keys() {
        assert!(columns.contains(column.as_str()), "{column} is no column");
    }
    for (column, value) in [
        ("source", "127.0.0.1"),
        ("connector", "microsoft-entra"),
        ("profile", "staff"),
        ("mode", "enforce"),
        ("sni", ENTRA),
        ("http", "1.1"),
        ("method", "POST"),
        ("path", "/contoso.com/oauth2/v2.0/token"),
        ("target_tenant", "contoso.com"),
        ("status", "allowed"),
    ] {
        assert_eq!(event[column].as_str().unwrap_or("absent"), value, "{column} of {event}");
    }
    assert!(event["client"].as_str().is_some_and(|client| client.starts_with("MyApp")), "{event}");
    assert!(event["time"].as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{event}");
    assert!(event["epoch"].as_u64().is_some_and(|epoch| epoch >= 1), "{event}");
    assert_eq!(event["headers_set"].as_array().unwrap().len(), 2, "{event}");
    assert_eq!(
        event["headers_stripped"][0].as_str().map(str::to_ascii_lowercase).as_deref(),
        Some("restrict-access-to-tenants")
    );
}

/// A refusal by the vendor is an event with the vendor's code, and a counted denial.
#[test]
fn a_vendors_refusal_is_read_from_its_answer() {
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let mut client = appliance.client(ENTRA);
    let body = "grant_type=client_credentials&client_id=a&client_secret=s3cr3t&scope=x";
    client.send(format!(
        "POST /evil.example/oauth2/v2.0/token HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.answer();
    assert!(answer.text().contains("AADSTS500021"), "{answer:?}");
    let event = &appliance.admin().await_events("status=denied", 1)[0];
    assert!(event["code"].as_str().is_some_and(|code| code.contains("AADSTS500021")), "{event}");
    assert_eq!(event["target_tenant"], "evil.example", "{event}");
    let admin = appliance.admin();
    wait::until("the denial to be counted", || {
        (admin.metrics().sum("penstock_denials_total", &["connector=\"microsoft-entra\""]) == 1.0).then_some(())
    });
}

/// Nothing that a person would call a secret is on disk or in an answer of the admin listener.
#[test]
fn no_secret_is_kept_anywhere() {
    let secrets = ["q5ecret", "c00kie-secret", "b34rer-secret", "b0dy-secret", "ev1l-tenant.example", "answ3r-secret"];
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nSet-Cookie: a=answ3r-secret\r\n\r\nansw3r-secret";
    let upstream = Upstream::plan().bytes(answer, Then::Keep).start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client(ENTRA);
    client.send(format!(
        "POST /token?code=q5ecret HTTP/1.1\r\nHost: {ENTRA}\r\nCookie: a=c00kie-secret\r\nAuthorization: Bearer b34rer-secret\r\n\
         Restrict-Access-To-Tenants: ev1l-tenant.example\r\nContent-Length: 11\r\n\r\nb0dy-secret"
    ));
    assert_eq!(client.answer().status, 200);
    drop(client);
    let admin = appliance.admin();
    let events = admin.await_events("", 1);
    let mut places =
        vec![("events".to_owned(), format!("{events:?}")), ("metrics".to_owned(), admin.open_get("/metrics").1)];
    places.push((
        "csv".to_owned(),
        String::from_utf8_lossy(&appliance.penstock(&["events", "--csv"]).stdout).into_owned(),
    ));
    places.push(("log".to_owned(), appliance.log()));
    for file in files_below(&appliance.state()) {
        places.push((
            file.display().to_string(),
            String::from_utf8_lossy(&std::fs::read(&file).unwrap_or_default()).into_owned(),
        ));
    }
    for (place, text) in places {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} is in {place}");
        }
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match std::fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_dir() => files.extend(files_below(&path)),
            Ok(facts) if facts.is_file() => files.push(path),
            _ => {}
        }
    }
    files
}
