//! `penstock probe` finds the ways around that a passed connection hides.

use std::io::Write;
use std::process::{Command, Output};

use penstock_tests::certificate::Shown;
use penstock_tests::http::Request;
use penstock_tests::place;
use penstock_tests::upstream::{Then, Upstream};
use serde_json::Value;

const FRONT: &str = "www.example.com";
const ENTRA: &str = "login.microsoftonline.com";

/// An origin that answers each host by itself, and `421` for hosts that `serves` leaves out.
fn origin(serves: &'static [&'static str]) -> Upstream {
    let answer = move |request: &Request, out: &mut dyn Write| {
        let host = request.values("host").next().unwrap_or_default().to_owned();
        let (line, body) = match serves.contains(&host.as_str()) {
            true => ("200 OK", host),
            false => ("421 Misdirected Request", String::new()),
        };
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        out.write_all(answer.as_bytes()).map_or(Then::Reset, |()| Then::Close)
    };
    Upstream::plan().expecting(|_| None).answering(answer).start()
}

/// Looks for a way from `front` to the sign-in host at `own`.
fn probe(front: &Upstream, own: &Upstream, more: &[&str]) -> Output {
    let mut command = Command::new(place::binary("penstock"));
    command.arg("probe").arg("--policy").arg(place::example_policy()).args([FRONT, "--inspected", ENTRA]);
    for (name, upstream) in [(FRONT, front), (ENTRA, own)] {
        command.args(["--host", &format!("{name}={}", upstream.address())]).arg("--upstream-ca").arg(upstream.ca());
    }
    command.args(more).output().unwrap()
}

fn found(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn h032_an_origin_that_answers_for_an_inspected_host_is_found() {
    let own = origin(&[ENTRA]);
    let open = origin(&[FRONT, ENTRA]);
    let output = probe(&open, &own, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(found(&output)["pairs"][0]["fronting"], "answers");
    let told = String::from_utf8(probe(&open, &own, &[]).stdout).unwrap();
    assert!(told.contains("A WAY AROUND") && told.contains(ENTRA), "{told}");

    let strict = origin(&[FRONT]);
    let output = probe(&strict, &own, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pair = &found(&output)["pairs"][0];
    assert_eq!((&pair["fronting"], &pair["status"]), (&"refuses".into(), &421.into()));
    assert_eq!((&pair["shares_certificate"], &pair["shares_address"]), (&false.into(), &false.into()));
}

#[test]
fn h034_a_certificate_that_covers_an_inspected_host_is_found() {
    let shared = Upstream::plan().showing(Shown::Shared(&[FRONT, ENTRA])).expecting(|_| None).start();
    let output = probe(&shared, &shared, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let pair = &found(&output)["pairs"][0];
    assert_eq!((&pair["shares_certificate"], &pair["shares_address"]), (&true.into(), &true.into()));
    assert_eq!(pair["fronting"], "alike", "it answers everybody alike");
    // At another address nothing is shared.
    let own = origin(&[ENTRA]);
    let output = probe(&shared, &own, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(found(&output)["pairs"][0]["shares_certificate"], true);
}

#[test]
fn h032_what_does_not_pass_or_cannot_be_asked_is_said() {
    let own = origin(&[ENTRA]);
    let mut command = Command::new(place::binary("penstock"));
    command.arg("probe").arg("--policy").arg(place::example_policy()).args([ENTRA, FRONT, "--inspected", ENTRA]);
    // Verified as a client would: the origin's authority is not told, so nothing is believed.
    let host = format!("*={}", own.address());
    let output = command.args(["--json", "--host", &host]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = found(&output);
    assert_eq!(found["not_passed"], serde_json::json!([ENTRA]));
    let unreachable = found["unreachable"].as_object().unwrap();
    assert!(unreachable.contains_key(FRONT) && unreachable.contains_key(ENTRA), "{found}");
}
