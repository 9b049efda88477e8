//! What must hold for any text offered as a policy: it is refused with places inside it, or it becomes a snapshot that keeps
//! the catalogue's promises.

use std::net::IpAddr;

use penstock_core::catalogue::never_inspect;
use penstock_core::limits::HEADER_VALUE_BYTES_MAX;
use penstock_core::policy::{FlowFacts, Severity, Snapshot, Verdict, compile};
use penstock_core::sni::Sni;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    match compile("fuzz.toml", text, Some(1), 0) {
        Ok(snapshot) => check_snapshot(&snapshot),
        Err(found) => {
            let lines = text.split('\n').count();
            assert!(found.iter().any(|found| found.severity == Severity::Error));
            assert!(found.iter().all(|found| (1..=lines).contains(&found.line) && found.column > 0));
        }
    }
}

fn check_snapshot(snapshot: &Snapshot) {
    assert!(snapshot.warnings().iter().all(|found| found.severity == Severity::Warning));
    for note in never_inspect() {
        let name = note.host.replace('*', "any");
        assert_ne!(decide(snapshot, &name), Verdict::Inspect, "{name}");
    }
    for pattern in snapshot.inspected_hosts() {
        decide(snapshot, &pattern.replace('*', "any"));
    }
}

/// Decides for a host of the first IPv4 and the first IPv6 source, and checks the edit.
fn decide(snapshot: &Snapshot, name: &str) -> Verdict {
    let Ok(sni) = Sni::parse(name.as_bytes()) else { return Verdict::Pass };
    let source = IpAddr::from([10, 0, 0, 1]);
    let facts = FlowFacts { user: Some("user"), sni: Some(&sni), ..FlowFacts::of(source) };
    let decision = snapshot.decide(&facts);
    let set = decision.edit.set().iter().chain(decision.edit.would_set());
    for header in set {
        assert!(header.value.len() <= HEADER_VALUE_BYTES_MAX);
        assert!(header.value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{header:?}");
        assert!(decision.edit.connector_of(header.name.as_bytes()).is_some(), "{header:?}");
    }
    assert_eq!(decision.verdict == Verdict::Inspect, !decision.connectors.is_empty());
    decision.verdict
}
