//! Requests for plain HTTP (`GET http://...` to the explicit proxy): which ports they may name, and what happens to them.
//!
//! A host that a profile inspects gets the same header edit as over TLS, or is refused; it is never forwarded unread.

use alloc::format;
use alloc::vec::Vec;

use super::connect::read_ports;
use super::document::Section;
use super::findings::Findings;
use super::{Decision, FlowFacts, Mode, Reason, Snapshot, Verdict};

/// What the document says of plain HTTP.
#[derive(Clone, Debug)]
pub(super) struct PlainHttp {
    /// Pass or Deny: hosts that no profile inspects.
    default: Verdict,
    /// Inspect or Deny: the others.
    inspected: Verdict,
    ports: Vec<u16>,
}

impl PlainHttp {
    /// Reads `[plain_http]`.
    pub(super) fn read(section: Option<&Section<'_>>, findings: &mut Findings) -> Self {
        let mut plain = Self { default: Verdict::Pass, inspected: Verdict::Inspect, ports: Vec::from([HTTP_PORT]) };
        let Some(section) = section else {
            return plain;
        };
        section.refuse_unknown_keys(&["default", "inspected", "ports"], section.title(), findings);
        for (key, verdict, otherwise) in [
            ("default", &mut plain.default, ("pass", Verdict::Pass)),
            ("inspected", &mut plain.inspected, ("edit", Verdict::Inspect)),
        ] {
            let Some(word) = section.string(key, findings) else { continue };
            match word.value {
                "deny" => *verdict = Verdict::Deny,
                other if other == otherwise.0 => *verdict = otherwise.1,
                other => {
                    findings.error(word.at, format!("\"{key}\" is \"{}\" or \"deny\", not {other:?}", otherwise.0));
                }
            }
        }
        if let Some(ports) = read_ports(section, "ports", findings) {
            plain.ports = ports;
        }
        plain
    }
}

impl Snapshot {
    /// Whether a request for plain HTTP may name `port`.
    pub fn opens_plain_port(&self, port: u16) -> bool {
        self.plain_http.ports.contains(&port)
    }

    /// Decides a request for plain HTTP to `authority`; the facts of TLS are not looked at.
    pub fn decide_plain(&self, facts: &FlowFacts<'_>) -> Decision {
        let Some(profile) = self.profile_for(facts.source, facts.user, facts.groups) else {
            return self.outcome(Verdict::Pass, Reason::NoProfile, None);
        };
        if profile.mode == Mode::Off {
            return self.outcome(Verdict::Pass, Reason::ModeOff, Some(profile));
        }
        let marks = facts.authority.map(|name| self.marks_for(name.as_str(), facts, profile)).unwrap_or_default();
        let decision = match marks.denied {
            true => return self.refusal(Reason::DeniedHost, profile),
            // Addresses are learned for TLS; the request names its host, and is held to it.
            false => self.by_name(
                &FlowFacts { sni: facts.authority, destination_hosts: &[], ..*facts },
                marks,
                marks.excluded,
                profile,
            ),
        };
        let allowed =
            if decision.verdict == Verdict::Inspect { self.plain_http.inspected } else { self.plain_http.default };
        match (allowed, decision.mode) {
            // In report-only the flow is recorded as on TLS, and the refusal that it would meet is not carried out.
            (Verdict::Deny, Mode::ReportOnly) if decision.verdict == Verdict::Inspect => decision,
            (Verdict::Deny, _) => self.refusal(Reason::PlainHttp, profile),
            _ => decision,
        }
    }
}

const HTTP_PORT: u16 = 80;
