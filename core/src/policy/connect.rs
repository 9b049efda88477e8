//! Ports that CONNECT may name: those that are open to all hosts, and those that a `[[connect]]` rule opens to some.
//!
//! A rule opens a port for whatever is spoken there (SSH to a code host). It does not make an inspected host reachable
//! unread: TLS is still decided by its name, and what is no TLS towards an inspected host is still refused.

use alloc::format;
use alloc::vec::Vec;

use super::document::{Placed, Section};
use super::findings::Findings;
use super::host_rule;
use super::pattern::HostPattern;
use super::{Reason, Snapshot};
use crate::sni::Sni;

/// Hosts, and the ports that are open there beside those for all.
#[derive(Debug)]
pub(super) struct ConnectRule {
    hosts: Vec<HostPattern>,
    ports: Vec<u16>,
}

impl ConnectRule {
    /// Reads `[[connect]]`.
    pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<Self> {
        section.refuse_unknown_keys(&["hosts", "ports"], section.title(), findings);
        for key in ["hosts", "ports"] {
            if !section.has(key) {
                findings.error(section.at, format!("[[connect]] has no \"{key}\""));
            }
        }
        let hosts: Vec<_> = host_rule::read_list(section, "hosts", findings);
        let ports = read_ports(section, "ports", findings)?;
        Some(Self { hosts: hosts.into_iter().map(|host| host.value).collect(), ports })
    }
}

impl Snapshot {
    /// Why a CONNECT to a port is refused, if it is; an address is never under a rule.
    pub fn refuse_port(&self, host: Option<&Sni>, port: u16) -> Option<Reason> {
        let is_open = self.connect_ports().contains(&port) || self.opens(host, Some(port));
        (!is_open).then_some(Reason::Port)
    }

    /// Whether a `[[connect]]` rule opens the port of the host.
    pub(super) fn opens(&self, host: Option<&Sni>, port: Option<u16>) -> bool {
        let (Some(host), Some(port)) = (host, port) else { return false };
        self.connects
            .iter()
            .any(|rule| rule.ports.contains(&port) && rule.hosts.iter().any(|known| known.covers_name(host.as_str())))
    }
}

/// Reads a list of ports, which must not be empty; `None` where there is no such key.
pub(super) fn read_ports(section: &Section<'_>, key: &str, findings: &mut Findings) -> Option<Vec<u16>> {
    let ports = section.integers(key, "port numbers", findings)?;
    let ports: Vec<u16> = ports.into_iter().filter_map(|port| read_port(port, findings)).collect();
    if ports.is_empty() {
        findings.error(section.at_of(key), format!("without a port in \"{key}\" nothing can be reached"));
    }
    Some(ports)
}

fn read_port(port: Placed<i64>, findings: &mut Findings) -> Option<u16> {
    match u16::try_from(port.value) {
        Ok(MAIL_PORT) => {
            findings.error(port.at, "port 25 is for mail: a proxy that connects there sends everybody's spam");
            None
        }
        Ok(0) | Err(_) => {
            findings.error(port.at, format!("{} is no port", port.value));
            None
        }
        Ok(number) => Some(number),
    }
}

const MAIL_PORT: u16 = 25;
