//! Asking DNS, for all shards, on the background runtime.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use penstock_core::flow::FaultKind;
use penstock_core::limits;
use penstock_core::sni::Sni;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::cache::Answer;

/// The process's way to DNS; clones share it.
#[derive(Clone)]
pub(crate) struct Lookups {
    runtime: Handle,
    /// Absent when the system names no usable DNS server.
    dns: Option<Arc<TokioResolver>>,
}

impl Lookups {
    /// Look-ups on `runtime` with the given servers, or with those of the operating system when there are none given.
    /// A system without DNS is no reason not to start: hosts of the operator's table and literal addresses need none.
    pub(crate) fn start(runtime: &Handle, name_servers: &[SocketAddr]) -> Self {
        let dns = if name_servers.is_empty() { system_resolver() } else { resolver_of(name_servers) };
        let dns = dns.inspect_err(|error| {
            tracing::error!(%error, "no DNS server can be used (look at /etc/resolv.conf, or set upstream.name_servers)");
        });
        Self { runtime: runtime.clone(), dns: dns.ok().map(Arc::new) }
    }

    /// Asks for the addresses of `name`; the answer stands in the channel when it is there.
    pub(super) fn ask(&self, name: &Sni) -> watch::Receiver<Option<Answer>> {
        let (sender, receiver) = watch::channel(None);
        let Some(dns) = &self.dns else {
            sender.send_replace(Some(Answer::Failed(FaultKind::Unreachable)));
            return receiver;
        };
        // The trailing dot keeps the search list of resolv.conf out: a host name on the wire is complete.
        let (dns, name) = (Arc::clone(dns), format!("{name}."));
        self.runtime.spawn(async move {
            let deadline = Duration::from_millis(limits::RESOLVE_DEADLINE_MS);
            let answer = tokio::time::timeout(deadline, look_up(&dns, &name)).await;
            sender.send_replace(Some(answer.unwrap_or(Answer::Failed(FaultKind::Deadline))));
        });
        receiver
    }
}

fn system_resolver() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    set_options(builder.options_mut());
    builder.build()
}

fn resolver_of(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    for server in name_servers {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        (udp.port, tcp.port) = (server.port(), server.port());
        config.add_name_server(NameServerConfig::new(server.ip(), true, vec![udp, tcp]));
    }
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    set_options(builder.options_mut());
    builder.build()
}

/// Two tries fit into the deadline; the shards keep answers, so nothing is kept here.
fn set_options(options: &mut ResolverOpts) {
    options.timeout = Duration::from_millis(limits::RESOLVE_DEADLINE_MS * 2 / 5);
    options.attempts = 2;
    options.cache_size = 0;
    options.max_active_requests = limits::RESOLVE_IN_FLIGHT_MAX;
}

/// Both families at once. When one has answered with addresses, the other gets a little longer, not its whole deadline:
/// there are resolvers that never answer for AAAA.
async fn look_up(dns: &TokioResolver, name: &str) -> Answer {
    let mut four = pin!(dns.ipv4_lookup(name));
    let mut six = pin!(dns.ipv6_lookup(name));
    let (four, six) = tokio::select! {
        four = &mut four => {
            let six = second(four.is_ok(), six).await;
            (Some(four), six)
        }
        six = &mut six => {
            let four = second(six.is_ok(), four).await;
            (four, Some(six))
        }
    };
    answer_of(four, six)
}

async fn second<T>(is_answered: bool, other: impl Future<Output = T>) -> Option<T> {
    if is_answered { tokio::time::timeout(SECOND_FAMILY_DELAY, other).await.ok() } else { Some(other.await) }
}

/// Addresses of both families, alternating, IPv4 first: a host without a way to IPv6 then loses nothing.
fn answer_of(four: Option<Result<Lookup, NetError>>, six: Option<Result<Lookup, NetError>>) -> Answer {
    let now = Instant::now();
    let (mut found, mut ttl, mut failures) = ([Vec::new(), Vec::new()], Duration::MAX, Vec::new());
    for (addresses, looked_up) in found.iter_mut().zip([four, six]) {
        match looked_up {
            Some(Ok(lookup)) => {
                addresses.extend(lookup.answers().iter().filter_map(|record| record.data.ip_addr()));
                ttl = ttl.min(lookup.valid_until().saturating_duration_since(now));
            }
            Some(Err(error)) => failures.push(error),
            None => {}
        }
    }
    let addresses = interleave(&found[0], &found[1]);
    if addresses.is_empty() { refusal(&failures) } else { Answer::Found { addresses: addresses.into(), ttl } }
}

/// A name is missing when no family failed for another reason; `found` was empty.
fn refusal(failures: &[NetError]) -> Answer {
    let mut ttl = Duration::from_secs(limits::RESOLVE_NEGATIVE_TTL_SECONDS_MAX);
    for error in failures {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl, .. })) => {
                ttl = ttl.min(Duration::from_secs(negative_ttl.unwrap_or(0).into()));
            }
            NetError::Timeout => return Answer::Failed(FaultKind::Deadline),
            _ => return Answer::Failed(FaultKind::Unreachable),
        }
    }
    Answer::Missing { ttl }
}

fn interleave(four: &[IpAddr], six: &[IpAddr]) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for index in 0..four.len().max(six.len()) {
        for address in [four.get(index), six.get(index)].into_iter().flatten() {
            if addresses.len() < limits::RESOLVE_ADDRESSES_MAX && !addresses.contains(address) {
                addresses.push(*address);
            }
        }
    }
    addresses
}

/// How long the second family is waited for when the first has addresses.
const SECOND_FAMILY_DELAY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_without_repeats_within_the_bound() {
        let four = |last: u8| IpAddr::from([192, 0, 2, last]);
        let six = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(interleave(&[four(1), four(1), four(2)], &[six(1)]), [four(1), six(1), four(2)],);
        assert_eq!(interleave(&[], &[six(1), six(2)]), [six(1), six(2)]);
        assert!(interleave(&[], &[]).is_empty());
        let many: Vec<IpAddr> = (0..200).map(four).collect();
        assert_eq!(interleave(&many, &[]).len(), limits::RESOLVE_ADDRESSES_MAX);
    }
}
