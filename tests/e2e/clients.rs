//! Real clients: curl, Python's requests and httpx, browsers' handshakes, and the vendors' own libraries, against the
//! simulated endpoints that enforce the vendors' semantics.

use std::path::Path;
use std::process::{Command, Output};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::place;
use penstock_tests::saas::Saas;
use penstock_tests::upstream::Upstream;
use serde_json::{Value, json};

pub(crate) fn before_saas() -> (Saas, Appliance) {
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    (saas, appliance)
}

/// Runs one of `tests/clients`, which trusts `root`; `None` when the Python clients are not installed.
pub(crate) fn python(appliance: &Appliance, root: &Path, script: &str, arguments: &[&str]) -> Option<Value> {
    let mut command = Command::new(place::python()?);
    command.arg(place::workspace().join("tests/clients").join(script)).args(arguments);
    command.env("PENSTOCK_PROXY", format!("http://{}", appliance.proxy())).env("PENSTOCK_ROOT", root);
    for variable in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{script}: {}\n{}", String::from_utf8_lossy(&output.stderr), appliance.log());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

pub(crate) fn curl(appliance: &Appliance, arguments: &[&str]) -> Output {
    let mut command = Command::new(place::program("curl").unwrap());
    for variable in ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(variable);
    }
    command.args([
        "--silent",
        "--show-error",
        "--noproxy",
        "",
        "--proxy",
        &format!("http://{}", appliance.proxy()),
        "--cacert",
    ]);
    command.arg(appliance.root()).args(arguments).output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_signs_in_and_is_refused_elsewhere() {
    let (_saas, appliance) = before_saas();
    let form = ["-d", "grant_type=client_credentials&client_id=a&client_secret=b&scope=c"];
    let token = |tenant: &str| {
        let url = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
        text(&curl(
            &appliance,
            &["--http1.1", form[0], form[1], "-H", "Restrict-Access-To-Tenants: evil.example", &url],
        ))
    };
    assert!(token("contoso.com").contains("\"access_token\""), "{}", token("contoso.com"));
    assert!(token("evil.example").contains("AADSTS500021"), "{}", token("evil.example"));
    let consumer = text(&curl(&appliance, &["https://login.live.com/login.srf"]));
    assert!(consumer.contains("has blocked access") && !consumer.contains("signed in"), "{consumer}");
    let seen: Value =
        serde_json::from_slice(&curl(&appliance, &["--http1.1", "https://login.microsoftonline.com/__seen"]).stdout)
            .unwrap();
    for request in seen["requests"].as_array().unwrap() {
        let lines: Vec<&str> = request["headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let own: Vec<&&str> =
            lines.iter().filter(|line| line.to_ascii_lowercase().starts_with("restrict-access-to")).collect();
        assert_eq!(
            own,
            [&"Restrict-Access-To-Tenants: contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee"]
        );
    }
}

#[test]
fn curl_is_refused_at_the_other_vendors_too() {
    let (_saas, appliance) = before_saas();
    let answer = |arguments: &[&str]| text(&curl(&appliance, arguments));
    let foreign = answer(&["-H", "x-api-key: sk-ant-foreign", "https://api.anthropic.com/v1/models"]);
    assert!(foreign.contains("tenant_restriction_violation"), "{foreign}");
    assert!(answer(&["-H", "x-api-key: sk-ant-permitted", "https://api.anthropic.com/v1/models"]).contains("\"data\""));
    let stranger =
        answer(&["-H", "Cookie: session=99999999-1111-2222-3333-444444444444", "https://chatgpt.com/backend-api/me"]);
    assert!(stranger.contains("workspace_not_allowed"), "{stranger}");
}

#[test]
fn curl_moves_bulk_through_a_passed_host_unchanged() {
    let (saas, appliance) = before_saas();
    let bytes = if place::quick() { 8_388_608 } else { 268_435_456_u64 };
    let file = appliance.state().join("bulk");
    let url = format!("https://downloads.example.org/bytes/{bytes}");
    let (file_name, authority) = (file.to_str().unwrap().to_owned(), saas.ca());
    let output = curl(&appliance, &["--cacert", authority.to_str().unwrap(), "-D", "-", "-o", &file_name, &url]);
    let head = text(&output).to_lowercase();
    assert!(output.status.success(), "{head}");
    let digest = Command::new("sha256sum").arg(&file).output().unwrap();
    let digest = text(&digest).split(' ').next().unwrap().to_owned();
    assert!(head.contains(&format!("x-content-sha256: {digest}")), "{digest}: {head}");
    let upload = curl(
        &appliance,
        &["--cacert", authority.to_str().unwrap(), "-T", &file_name, "https://uploads.example.org/upload"],
    );
    assert!(text(&upload).contains(&digest), "{}", text(&upload));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn plain_python_clients_and_browser_handshakes() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let Some(said) =
        python(&appliance, &appliance.root(), "plain_http.py", &["https://login.microsoftonline.com/common", "5"])
    else {
        return;
    };
    for client in ["requests", "httpx", "chrome", "firefox", "safari"] {
        assert_eq!(said[client], json!([200, 200, 200, 200, 200]), "{client}: {said}");
    }
    assert_eq!(upstream.requests().len(), 25);
}

#[test]
fn msal_gets_its_tokens_from_the_permitted_tenant() {
    let (_saas, appliance) = before_saas();
    let Some(said) = python(&appliance, &appliance.root(), "entra.py", &["contoso.com"]) else { return };
    assert!(said["token_endpoint"].as_str().unwrap().starts_with("https://login.microsoftonline.com/"), "{said}");
    assert!(said["credentials"]["access_token"].is_string(), "{said}");
    assert!(said["device"]["access_token"].is_string(), "{said}");
}

#[test]
fn msal_is_refused_by_another_tenant() {
    let (_saas, appliance) = before_saas();
    let Some(said) = python(&appliance, &appliance.root(), "entra.py", &["evil.example"]) else { return };
    let refusal = said["credentials"]["error_description"].as_str().unwrap_or_default();
    assert!(refusal.contains("AADSTS500021"), "{said}");
    assert!(said["device"]["access_token"].is_null(), "{said}");
    let events = appliance.admin().await_events("status=denied&connector=microsoft-entra", 1);
    assert!(events[0]["client"].as_str().is_some_and(|client| client.contains("python-requests")), "{events:?}");
}

#[test]
fn the_anthropic_library_works_and_a_foreign_key_is_refused() {
    let (_saas, appliance) = before_saas();
    let Some(said) = python(&appliance, &appliance.root(), "anthropic_sdk.py", &["sk-ant-permitted"]) else { return };
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["text"], said["streamed"], "{said}");
    let refused = python(&appliance, &appliance.root(), "anthropic_sdk.py", &["sk-ant-foreign"]).unwrap();
    assert_eq!(refused["status"], 403, "{refused}");
    assert!(refused["text"].as_str().unwrap().contains("Access restricted by network policy"), "{refused}");
    let events = appliance.admin().await_events("status=denied&connector=anthropic-claude", 1);
    assert_eq!(events[0]["code"], "tenant_restriction_violation", "{events:?}");
}

#[test]
fn the_openai_library_works_and_a_foreign_key_is_refused() {
    let saas = Saas::start();
    let api =
        "\n[[restriction]]\nname = \"openai\"\nconnector = \"openai-api\"\norganization_ids = [\"org-contoso\"]\n";
    let policy = place::read(place::example_policy())
        .replace("\"chatgpt\", \"google\"]", "\"chatgpt\", \"google\", \"openai\"]")
        + api;
    let appliance = Setup::default().policy(&policy).saas(&saas).start();
    let Some(said) = python(&appliance, &appliance.root(), "openai_sdk.py", &["sk-permitted"]) else { return };
    assert_eq!(said["status"], 200, "{said}");
    assert_eq!(said["text"], said["streamed"], "{said}");
    let refused = python(&appliance, &appliance.root(), "openai_sdk.py", &["sk-foreign"]).unwrap();
    assert_eq!(refused["status"], 403, "{refused}");
}
