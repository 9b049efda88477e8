//! Signing in by a real OpenID provider in a real browser, and what becomes of it with time.

use penstock_tests::appliance::Setup;
use penstock_tests::chromium;
use penstock_tests::provider::Provider;
use penstock_tests::wait;
use serde_json::{Value, json};

#[test]
fn a_real_provider_signs_in_who_it_knows_and_nobody_who_is_led_astray() {
    let Some(mut provider) = Provider::start() else { return };
    let Some(setup) = Setup::default().admin(provider.admin()).clock() else { return };
    let table = format!(
        "[oidc]\nissuer = {:?}\nclient_id = \"penstock\"\nclient_secret_file = {:?}\nname = \"Contoso\"\n\
         session_minutes = 60\npasswords = false\n\
         [oidc.roles]\negress-admins = \"admin\"\negress-operators = \"operator\"\negress-viewers = \"viewer\"\n",
        provider.issuer(),
        provider.secret_file()
    );
    let appliance = setup.control(&table).start();
    chromium::drive("oidc.js", &[appliance.admin_address()], |asked| match asked {
        "another key" => provider.restart("two"),
        offset => appliance.set_clock(offset),
    });
    let trail: Value = serde_json::from_str(&appliance.admin().get("/api/v1/trail?act=sign_in").1).unwrap();
    let entries = trail["entries"].as_array().unwrap().iter();
    let told: Vec<[&str; 2]> =
        entries.map(|entry| ["who", "outcome"].map(|field| entry[field].as_str().unwrap())).collect();
    for (who, outcome, count) in [
        ("oidc:alice.egress-operators", "done", 2),
        ("oidc:carol.egress-viewers", "done", 1),
        ("oidc:eve.egress-admins", "done", 1),
        ("oidc:mallory.staff", "refused", 1),
        ("oidc", "refused", 5),
    ] {
        let seen = told.iter().filter(|entry| **entry == [who, outcome]).count();
        assert_eq!(seen, count, "{who} {outcome}: {trail:#}");
    }
}

#[test]
fn a_session_ends_when_it_is_not_used_and_when_it_is_old() {
    let Some(setup) = Setup::default().clock() else { return };
    let appliance = setup.start();
    let log = appliance.log();
    let (_, told) = log.split_once("as admin with the password ").unwrap();
    let credentials = json!({ "user": "admin", "password": told.split_once(' ').unwrap().0 }).to_string();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(wait::LIMIT))
        .build()
        .into();
    let place = format!("{}/api/v1/session", appliance.admin_address());
    let open = || {
        let reply = agent.post(&place).header("Content-Type", "application/json").send(credentials.as_str()).unwrap();
        assert_eq!(reply.status(), 200);
        reply.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    };
    let status = |cookie: &str| agent.get(&place).header("Cookie", cookie).call().unwrap().status().as_u16();
    let (used, unused) = (open(), open());
    for minutes in (25..720).step_by(25) {
        appliance.set_clock(&format!("+{minutes}m"));
        assert_eq!(status(&used), 200, "after {minutes} minutes, of which it was not used for 25");
    }
    assert_eq!(status(&unused), 401, "nobody used it for 30 minutes");
    appliance.set_clock("+719m");
    assert_eq!(status(&used), 200);
    appliance.set_clock("+721m");
    assert_eq!(status(&used), 401, "twelve hours are its longest life");
    appliance.set_clock("+0m");
    assert_eq!(status(&used), 401, "what is over stays over, whatever the clock says");
}
