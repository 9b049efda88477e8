//! The web UI in a real browser, driven by real clicks: the whole way of a change, and every page.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::place;
use penstock_tests::saas::Saas;

const ENTRA: &str = "login.microsoftonline.com";

/// Runs a part of the browser's script, which asks for refused sign-ins when it needs some. Screenshots go where the other
/// things of a test run are.
fn browse(part: &str) {
    let (Some(chromium), Some(python)) = (place::program("chromium"), place::python()) else { return };
    let environment = python.parent().unwrap().parent().unwrap();
    let folder = environment.parent().unwrap().join("web-pages");
    fs::create_dir_all(&folder).unwrap();
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let mut browser = Command::new(environment.join("bin/node"))
        .env("NODE_PATH", environment.join("node/node_modules"))
        .arg(place::workspace().join("tests/clients/web.js"))
        .args([part, chromium.to_str().unwrap(), appliance.admin_address(), &first_password(&appliance)])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = browser.stdin.take().unwrap();
    for question in BufReader::new(browser.stdout.take().unwrap()).lines() {
        assert_eq!(question.unwrap(), "a refused sign-in");
        refuse(&appliance);
        writeln!(answers, "done").unwrap();
    }
    let output = browser.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
