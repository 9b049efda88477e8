//! The web UI in a real browser, driven by real clicks: the whole way of a change, and every page.

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::chromium;
use penstock_tests::saas::Saas;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

/// Runs a part of the browser's script, which asks for refused sign-ins when it needs some.
fn browse(part: &str) {
    let saas = Saas::start();
    let folder = TempDir::new().unwrap();
    let exports = format!(
        "[[export]]\nname = \"lines\"\nkind = \"file\"\npath = {:?}\npersonal = true\n\
         [[export]]\nname = \"away\"\nkind = \"otlp\"\nurl = \"http://127.0.0.1:9/v1/logs\"\n",
        folder.path().join("events.jsonl")
    );
    let appliance = Setup::default().saas(&saas).control(&exports).start();
    chromium::drive("web.js", &[part, appliance.admin_address(), &first_password(&appliance)], |asked| {
        assert_eq!(asked, "a refused sign-in");
        refuse(&appliance);
    });
}

fn first_password(appliance: &Appliance) -> String {
    let log = appliance.log();
    let told = log.split_once("as admin with the password ").and_then(|(_, told)| told.split_once(' '));
    told.unwrap().0.to_owned()
}

/// A sign-in to a foreign tenant, which the simulated endpoint refuses. Ends when the report has it.
fn refuse(appliance: &Appliance) {
    let body = "grant_type=client_credentials&client_id=a&client_secret=b&scope=x";
    let mut client = appliance.client(ENTRA);
    client.send(format!(
        "POST /evil.example/oauth2/v2.0/token HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(client.answer().text().contains("AADSTS500021"));
    appliance.admin().await_events("status=denied", 1);
}

#[test]
fn a_change_goes_from_mistake_to_rollback_in_the_browser() {
    browse("chain");
}

#[test]
fn every_page_works_looks_right_and_can_be_read_by_all() {
    browse("pages");
}
