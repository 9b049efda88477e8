//! Asking each passed name for each inspected host, and what the answers mean.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use penstock_core::policy::{FlowFacts, Snapshot, Verdict};
use penstock_core::sni::Sni;
use rustls::ClientConfig;
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;

use super::exchange::{Answer, Exchange, ask};
use crate::peer;

/// How the origin of one name answers for another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fronting {
    /// As that host itself does, and not as the name does: the host can be reached under the name.
    Answers,
    /// The name, the host and the host under the name all answer alike: the answers do not tell.
    Alike,
    /// Otherwise than the host does.
    Refuses,
}

/// What was found between a passed name and an inspected host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The host that passes.
    pub name: String,
    /// The host that is inspected.
    pub inspected: String,
    pub fronting: Fronting,
    /// Status of the answer to a request for `inspected` on a connection to `name`.
    pub status: u16,
    /// The certificate of `name` covers `inspected`.
    pub shares_certificate: bool,
    /// Both have an address in common.
    pub shares_address: bool,
}

impl Pair {
    /// Whether a client can reach the inspected host uninspected.
    pub fn is_way_around(&self) -> bool {
        self.fronting == Fronting::Answers || self.may_coalesce()
    }

    /// Whether a browser may send requests for the inspected host over its connection to the other.
    pub fn may_coalesce(&self) -> bool {
        self.shares_certificate && self.shares_address
    }
}

/// All that was found, and what could not be asked.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub pairs: Vec<Pair>,
    /// Names that do not pass under the policy for the source that was assumed: there is nothing to probe.
    pub not_passed: Vec<String>,
    /// A name or host that could not be asked, and why.
    pub unreachable: BTreeMap<String, String>,
}

/// Where and how to ask.
pub struct Prober {
    config: Arc<ClientConfig>,
    /// Addresses that stand for names; `*` for every other.
    hosts: Vec<(String, SocketAddr)>,
}

/// A host's addresses, and its own answer.
struct Known {
    addresses: Vec<SocketAddr>,
    exchange: Exchange,
}

impl Prober {
    /// Trusts the system's roots and those in the PEM files `authorities`.
    pub fn new(authorities: &[PathBuf], hosts: Vec<(String, SocketAddr)>) -> io::Result<Self> {
        Ok(Self { config: Arc::new(peer::verifying(authorities)?.with_no_client_auth()), hosts })
    }

    /// Asks every one of `names` that passes for every one of `inspected`; by default for all hosts that the policy names
    /// exactly. `told` is called before each connection.
    pub fn probe(
        &self,
        snapshot: &Snapshot,
        source: IpAddr,
        names: &[Sni],
        inspected: &[Sni],
        told: impl Fn(&str),
    ) -> Findings {
        let mut findings = Findings::default();
        let named: Vec<Sni> = snapshot.inspected_names().collect();
        let inspected = if inspected.is_empty() { named.as_slice() } else { inspected };
        let mut known = |host: &Sni| {
            told(host.as_str());
            let own = self.known(host.as_str());
            own.map_err(|error| drop(findings.unreachable.insert(host.to_string(), error.to_string()))).ok()
        };
        let own: Vec<_> = inspected.iter().filter_map(|host| Some((host, known(host)?))).collect();
        let passes = |name: &&Sni| {
            let facts = FlowFacts { sni: Some(name), ..FlowFacts::of(source) };
            snapshot.decide(&facts).verdict == Verdict::Pass
        };
        let (passed, others): (Vec<&Sni>, Vec<&Sni>) = names.iter().partition(passes);
        let fronts: Vec<_> = passed.iter().filter_map(|name| Some((name, known(name)?))).collect();
        findings.not_passed = others.iter().map(ToString::to_string).collect();
        for (name, front) in &fronts {
            for (host, own) in &own {
                told(&format!("{host} at {name}"));
                match self.pair(name.as_str(), front, host.as_str(), own) {
                    Ok(pair) => findings.pairs.push(pair),
                    Err(error) => {
                        findings.unreachable.insert(format!("{host} at {name}"), error.to_string());
                    }
                }
            }
        }
        findings
    }

    fn pair(&self, name: &str, front: &Known, inspected: &str, own: &Known) -> io::Result<Pair> {
        let address = *front.addresses.first().ok_or(io::ErrorKind::NotFound)?;
        let answer = ask(&self.config, address, name, inspected)?.answer;
        let shares_address = front.addresses.iter().any(|address| own.addresses.contains(address));
        Ok(Pair {
            name: name.to_owned(),
            inspected: inspected.to_owned(),
            fronting: judge(&answer, &own.exchange.answer, &front.exchange.answer),
            status: answer.status,
            shares_certificate: covers(&front.exchange.leaf, inspected),
            shares_address,
        })
    }

    fn known(&self, name: &str) -> io::Result<Known> {
        let addresses = self.addresses(name)?;
        let mut last = io::ErrorKind::NotFound.into();
        for address in &addresses {
            match ask(&self.config, *address, name, name) {
                Ok(exchange) => return Ok(Known { addresses, exchange }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let listed = |wanted: &str| self.hosts.iter().find(|(host, _)| host == wanted).map(|(_, address)| *address);
        match listed(name).or_else(|| listed("*")) {
            Some(address) => Ok(vec![address]),
            None => Ok((name, HTTPS).to_socket_addrs()?.collect()),
        }
    }
}

/// What an answer for a host at another's origin means, beside the answers of both for themselves.
fn judge(answer: &Answer, own: &Answer, front: &Answer) -> Fronting {
    match (answer == own, own == front) {
        (true, false) => Fronting::Answers,
        (true, true) => Fronting::Alike,
        (false, _) => Fronting::Refuses,
    }
}

/// Whether a certificate is good for `name` (RFC 9525).
fn covers(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

const HTTPS: u16 = 443;
