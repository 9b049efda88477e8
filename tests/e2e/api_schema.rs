//! The admin API against its own description, by schemathesis: no server error, no answer in another form than is
//! described, no call that succeeds for nobody.

use std::collections::BTreeMap;
use std::process::Command;

use penstock_tests::appliance::Setup;
use penstock_tests::place;
use serde_json::json;
use tempfile::TempDir;

/// Calls of which none has to succeed here, and why. None has to be left out: the token is that of the token file, which no
/// call takes away, and the last admin stays.
const MAY_FAIL: &[(&str, &str)] = &[
    ("GET /nodes/authority", "control listens on its own machine alone"),
    ("POST /nodes/authority", "the same"),
    ("POST /nodes/tokens", "the same"),
    ("POST /nodes/{id}/revoke", "the same"),
    ("POST /policy/rollout", "no rollout is under way"),
    ("POST /session", "nobody has the password that is made up"),
    ("PUT /session/password", "who asks has no password"),
];

#[test]
fn each_answer_of_the_admin_api_is_as_described() {
    let Some(python) = place::python() else { return };
    let appliance = Setup::default().start();
    let admin = appliance.admin();
    // Those whom the description's examples change and remove.
    for name in ["alice", "bob"] {
        let user = json!({ "name": name, "role": "viewer", "password": "correct horse battery" }).to_string();
        assert_eq!(admin.send("POST", "/api/v1/users", "application/json", &user).0, 201);
    }
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("statuses.json");
    let mut command = Command::new(python);
    command.arg(place::workspace().join("tests/clients/api_schema.py"));
    command.arg(appliance.admin_address()).arg(appliance.state().join("admin.token")).arg(&out).current_dir(&directory);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&output.stderr), appliance.log());
    let statuses: BTreeMap<String, BTreeMap<String, u64>> = serde_json::from_str(&place::read(out)).unwrap();
    let described = admin.json("/api/v1/openapi.json");
    let paths = described["paths"].as_object().unwrap().iter();
    // The description itself was read first, and is not asked for again.
    for (path, operations) in paths.filter(|(path, _)| *path != "/openapi.json") {
        for method in operations.as_object().unwrap().keys() {
            let call = format!("{} {path}", method.to_uppercase());
            let seen = statuses.get(&call).unwrap_or_else(|| panic!("{call} was not made"));
            let has_succeeded = seen.keys().any(|status| status.starts_with('2'));
            assert!(has_succeeded || MAY_FAIL.iter().any(|(may, _)| *may == call), "{call} never succeeds: {seen:?}");
        }
    }
    assert_eq!(admin.json("/api/v1/session")["name"], "token:file");
}
