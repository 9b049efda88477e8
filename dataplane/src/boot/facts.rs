//! What this host is like, read once.

use std::fs;
use std::io;

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

/// Everything that the report is made of.
pub(super) struct Facts {
    /// As `uname -r` says it.
    pub(super) kernel: String,
    pub(super) ring: io::Result<()>,
    /// `kernel.io_uring_disabled`; absent before Linux 6.6.
    pub(super) io_uring_disabled: Option<u64>,
    /// Open files; `None` is no limit.
    pub(super) descriptors: Option<u64>,
    /// Bytes of locked memory; `None` is no limit.
    pub(super) memlock_bytes: Option<u64>,
    /// `fs.pipe-user-pages-soft`; 0 is no limit.
    pub(super) pipe_pages_soft: Option<u64>,
    /// `fs.pipe-max-size`.
    pub(super) pipe_bytes_max: Option<u64>,
    /// Whether pipe limits do not hold for this process: CAP_SYS_RESOURCE or CAP_SYS_ADMIN.
    pub(super) is_privileged: bool,
    /// `net.core.somaxconn`.
    pub(super) backlog_max: Option<u64>,
    /// First and last local port of outgoing connections.
    pub(super) local_ports: Option<(u64, u64)>,
    pub(super) dumps_core: bool,
}

impl Facts {
    pub(super) fn read(ring: io::Result<()>) -> Self {
        Self {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            ring,
            io_uring_disabled: number("kernel/io_uring_disabled"),
            descriptors: getrlimit(Resource::Nofile).current,
            memlock_bytes: getrlimit(Resource::Memlock).current,
            pipe_pages_soft: number("fs/pipe-user-pages-soft"),
            pipe_bytes_max: number("fs/pipe-max-size"),
            is_privileged: fs::read_to_string("/proc/self/status").is_ok_and(|status| is_privileged(&status)),
            backlog_max: number("net/core/somaxconn"),
            local_ports: numbers("net/ipv4/ip_local_port_range").and_then(|range| match range[..] {
                [first, last] => Some((first, last)),
                _ => None,
            }),
            dumps_core: !matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)),
        }
    }
}

/// The first number of a file under `/proc/sys`.
pub(super) fn number(name: &str) -> Option<u64> {
    numbers(name).and_then(|numbers| numbers.first().copied())
}

/// The whitespace-separated numbers of a file under `/proc/sys`.
fn numbers(name: &str) -> Option<Vec<u64>> {
    let content = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    content.split_whitespace().map(|word| word.parse().ok()).collect()
}

fn is_privileged(status: &str) -> bool {
    const CAP_SYS_ADMIN: u64 = 1 << 21;
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    capabilities(status) & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE) != 0
}

/// The effective capabilities of `/proc/PID/status`.
pub(super) fn capabilities(status: &str) -> u64 {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_can_be_read() {
        let facts = Facts::read(Ok(()));
        assert!(facts.kernel.starts_with(|first: char| first.is_ascii_digit()));
        assert!(facts.pipe_bytes_max.is_some_and(|bytes| bytes >= 4096));
        assert!(facts.local_ports.is_some_and(|(first, last)| first <= last));
    }

    #[test]
    fn capabilities_are_read_from_status() {
        assert!(is_privileged("Name:\tx\nCapPrm:\t0\nCapEff:\t000001ffffffffff\n"));
        assert!(is_privileged("CapEff:\t0000000001000000\n"));
        assert!(!is_privileged("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000003000\n"));
        assert!(!is_privileged(""));
    }
}
