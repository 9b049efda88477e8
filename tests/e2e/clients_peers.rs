//! Python libraries on both outsides of an inspected connection: WebSocket by `websockets`, gRPC by `grpcio`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::TestAuthority;
use penstock_tests::place;
use serde_json::{Value, json};
use tempfile::TempDir;

const CHATGPT: &str = "chatgpt.com";
const ENTRA: &str = "login.microsoftonline.com";

/// Runs a script that serves `host` and asks it through an appliance with these deadlines; what it printed in the end.
fn converse(script: &str, host: &str, quiet_seconds: &str, deadlines: &str) -> Option<(Appliance, Value)> {
    let mut command = Command::new(place::python()?);
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name);
    let authority = TestAuthority::new("authority of a Python server");
    let (certificate, key) = authority.certify_rsa(host);
    fs::write(file("ca.pem"), authority.root_pem()).unwrap();
    fs::write(file("certificate.pem"), certificate).unwrap();
    fs::write(file("key.pem"), key).unwrap();
    command.arg(place::workspace().join("tests/clients").join(script));
    command.arg(file("certificate.pem")).arg(file("key.pem")).args([host, quiet_seconds]);
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR", "NO_PROXY", "no_proxy", "no_grpc_proxy"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(file("stderr")).unwrap());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut port = String::new();
    said.read_line(&mut port).unwrap();
    let port = port.trim().parse::<u16>();
    assert!(port.is_ok(), "{script}: {}", place::read(file("stderr")));
    let setup = Setup::default().host("*", ([127, 0, 0, 1], port.unwrap()).into()).authority(file("ca.pem"));
    let appliance = setup.deadlines(deadlines).start();
    let place = json!({ "proxy": format!("http://{}", appliance.proxy()), "root": appliance.root() });
    writeln!(child.stdin.take().unwrap(), "{place}").unwrap();
    let mut result = String::new();
    said.read_to_string(&mut result).unwrap();
    let ended = child.wait().unwrap();
    assert!(ended.success(), "{script}: {}\n{}", place::read(file("stderr")), appliance.log());
    Some((appliance, serde_json::from_str(&result).unwrap()))
}

/// What each request was asked with under `name`, in any case.
fn asked<'a>(said: &'a Value, name: &str) -> Vec<Vec<&'a str>> {
    let requests = said["asked"].as_array().unwrap().iter();
    let values = |request: &'a Value| {
        let fields = request.as_array().unwrap().iter();
        let named = fields.filter(|field| field[0].as_str().unwrap().eq_ignore_ascii_case(name));
        named.map(|field| field[1].as_str().unwrap()).collect()
    };
    requests.map(values).collect()
}

/// Messages both ways, pings, a quiet longer than every deadline but for the pings, and close codes.
#[test]
fn h040_a_websocket_of_a_real_library_lives_on_an_inspected_connection() {
    let deadlines = "idle_ms = 2000\nstall_ms = 1000\nrequest_head_ms = 1000\nrequest_body_ms = 1000";
    let Some((appliance, said)) = converse("websocket_peers.py", CHATGPT, "5", deadlines) else { return };
    assert_eq!((&said["echoed"], &said["pong"]), (&json!(true), &json!(true)), "{said}");
    assert_eq!(said["after"], "after the quiet", "{said}");
    assert_eq!(said["client_told"], json!([4001, "by the server"]), "{said}");
    assert_eq!(said["server_told"], json!([4002, "by the client"]), "{said}");
    let workspaces = asked(&said, "ChatGPT-Allowed-Workspace-Id");
    assert_eq!(workspaces, vec![vec!["0f0f0f0f-1111-2222-3333-444444444444"]; 2], "{said}");
    let events = appliance.admin().await_events("connector=openai-chatgpt", 2);
    assert!(events.iter().all(|event| event["path"] == "/socket" && event["http"] == "1.1"), "{events:?}");
}

/// Calls of every kind, their trailers and status; a stream that is quiet for longer than the stall deadline.
#[test]
fn grpc_of_a_real_library_passes_an_inspected_connection() {
    let deadlines = "stall_ms = 1000\nrequest_head_ms = 1000\nrequest_body_ms = 1000";
    let Some((appliance, said)) = converse("grpc_peers.py", ENTRA, "2", deadlines) else { return };
    let trailer = |value: &str| json!([["x-trailer", value]]);
    assert_eq!(said["reverse"], json!([true, "OK", trailer("reversed")]), "{said}");
    assert_eq!(said["count"], json!([["n0", "n1", "n2"], "OK", trailer("counted")]), "{said}");
    assert_eq!(said["echo"], json!([true, "OK"]), "{said}");
    assert_eq!(said["refuse"], json!(["PERMISSION_DENIED", "not for you"]), "{said}");
    let tenants = asked(&said, "restrict-access-to-tenants");
    assert!(
        tenants.len() == 4 && tenants.iter().all(|values| values.len() == 1 && values != &["evil.example"]),
        "{said}"
    );
    assert_eq!(asked(&said, "x-between"), vec![vec!["kept"]; 4], "{said}");
    let events = appliance.admin().await_events("connector=microsoft-entra", 4);
    assert!(events.iter().all(|event| event["http"] == "2" && event["method"] == "POST"), "{events:?}");
}
