//! Audit events on their way to other systems: a sign-in through the appliance arrives at a file and, over TLS, at a syslog
//! receiver, and nowhere does a receiver that is away hold up traffic.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use penstock_tests::appliance::Setup;
use penstock_tests::certificate::{Shown, TestAuthority};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::wait;
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

const CLAUDE: &str = "claude.ai";

#[test]
fn events_arrive_at_a_file_and_over_tls_and_a_receiver_that_is_away_holds_nothing_up() {
    let folder = TempDir::new().unwrap();
    let authority = TestAuthority::new("Receivers");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.root_pem()).unwrap();
    let received: Arc<Mutex<String>> = Arc::default();
    let siem = receiver(&authority, Arc::clone(&received));
    let lines = folder.path().join("events.jsonl");
    let exports = format!(
        "[[export]]\nname = \"lines\"\nkind = \"file\"\npath = {lines:?}\npersonal = true\n\
         [[export]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"localhost:{}\"\nca_file = {ca:?}\n\
         [[export]]\nname = \"away\"\nkind = \"otlp\"\nurl = \"http://127.0.0.1:9/v1/logs\"\n",
        siem.port()
    );
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).control(&exports).start();
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/a?secret=1").status, 200);
    let line = wait::until("the event in the file", || {
        let text = std::fs::read_to_string(&lines).ok()?;
        text.lines().find(|line| line.contains("anthropic-claude")).map(str::to_owned)
    });
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["sni"], &event["path"], &event["status"]), (&CLAUDE.into(), &"/a".into(), &"allowed".into()));
    let message = wait::until("the event at the receiver", || {
        let text = received.lock().unwrap().clone();
        text.find("anthropic-claude").map(|_| text)
    });
    assert!(message.contains("<110>1 ") && message.contains(" penstock - allowed - {"), "{message}");
    assert!(!message.contains("secret") && !line.contains("secret"));
    wait::until("the failure", || {
        let metrics = appliance.admin().metrics();
        let failed = metrics.sum("penstock_export_failures_total", &["export=\"away\""]) >= 1.0;
        let delivered = metrics.sum("penstock_export_events_total", &["export=\"lines\""]) >= 1.0;
        (failed && delivered).then_some(())
    });
    // `penstock exports` says which is in trouble, and why.
    let told = appliance.penstock(&["exports"]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(1), "{text}");
    let away = text.lines().find(|line| line.starts_with("away")).unwrap();
    assert!(away.contains("127.0.0.1:9") && away.contains("refused"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("lines") && line.trim_end().ends_with('-')), "{text}");
}

#[test]
fn a_collector_is_told_the_metrics() {
    let told: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&told);
    let collector = upstream::listen(move |mut stream| {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let text = String::from_utf8_lossy(&received).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if Ok(body.len()) == length.parse() {
                    assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
                    kept.lock().unwrap().push(serde_json::from_str(body).unwrap());
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
                    return;
                }
            }
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => received.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
    });
    let push = format!("[metrics_push]\nurl = \"http://{collector}\"\ninterval_seconds = 5\n");
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).control(&push).start();
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/").status, 200);
    wait::until("the request among the metrics", || {
        let message = told.lock().unwrap().pop()?;
        let metrics = message.pointer("/resourceMetrics/0/scopeMetrics/0/metrics").unwrap().as_array().unwrap();
        let requests = metrics.iter().find(|metric| metric["name"] == "penstock_requests_total")?;
        let point = requests.pointer("/sum/dataPoints/0")?;
        (point["asDouble"].as_f64() >= Some(1.0)).then_some(())
    });
}

/// Keeps what comes over TLS, and says nothing.
fn receiver(authority: &TestAuthority, received: Arc<Mutex<String>>) -> std::net::SocketAddr {
    let key = authority.certify("localhost", Shown::Good);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let resolver = Arc::new(SingleCertAndKey::from((*key).clone()));
    let config = Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver));
    upstream::listen(move |stream| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = tls.read(&mut buffer) {
            received.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    })
}
