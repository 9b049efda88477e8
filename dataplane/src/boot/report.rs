//! The judgement: each finding with its state and, when it is not good, what mends it.

use std::fmt;
use std::io::ErrorKind;

use serde::Serialize;

use super::facts::Facts;

/// Whether this host can carry a data plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// As `uname -r` says it.
    pub(crate) kernel: String,
    /// False when a check has failed: the data plane would not start.
    pub(crate) ok: bool,
    /// One entry per thing that was looked at.
    pub(crate) checks: Vec<Check>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    pub(crate) name: &'static str,
    pub(crate) state: State,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; absent when the state is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fix: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// The data plane cannot run.
    Failed,
    Good,
    /// It runs, and carries less than it could.
    Warning,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// With more findings.
    pub(super) fn and(mut self, checks: Vec<Check>) -> Self {
        self.checks.extend(checks);
        self.ok = self.checks.iter().all(|check| check.state != State::Failed);
        self
    }

    /// Tells the operator's log what is not good.
    pub(crate) fn log(&self) {
        for check in &self.checks {
            match check.state {
                State::Failed => tracing::error!("{check}"),
                State::Good => {}
                State::Warning => tracing::warn!("{check}"),
            }
        }
    }
}

/// Judges a host.
pub(super) fn judge(facts: &Facts) -> Report {
    let checks: Vec<Check> = [kernel, ring, descriptors, pipes, memlock, backlog, ports, core_files]
        .iter()
        .map(|look| look(facts))
        .collect();
    let ok = checks.iter().all(|check| check.state != State::Failed);
    Report { kernel: facts.kernel.clone(), ok, checks }
}

pub(super) fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Good, found: found.into(), fix: None }
}

pub(super) fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, state: State::Warning, found: found.into(), fix: Some(fix.into()) }
}

pub(super) fn failed(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, state: State::Failed, found: found.into(), fix: Some(fix.into()) }
}

/// The ring's flags decide; the version only explains why a ring fails, or will on the next boot.
fn kernel(facts: &Facts) -> Check {
    let found = format!("Linux {}", facts.kernel);
    if version(&facts.kernel).is_some_and(|version| version >= KERNEL_MIN) {
        return good("kernel", found);
    }
    let (major, minor) = KERNEL_MIN;
    warning("kernel", found, format!("io_uring needs what Linux {major}.{minor} brought: boot a newer kernel"))
}

fn ring(facts: &Facts) -> Check {
    let Err(error) = &facts.ring else {
        return good("io_uring", "available");
    };
    let fix = match (facts.io_uring_disabled, error.kind()) {
        (Some(2), _) => "it is turned off: sysctl -w kernel.io_uring_disabled=0",
        (Some(1), _) => {
            "it is kept to one group: add this user to the group of sysctl kernel.io_uring_group, or set \
             kernel.io_uring_disabled=0"
        }
        (_, ErrorKind::PermissionDenied) => {
            "a seccomp filter refuses it: let the container's profile allow io_uring_setup, io_uring_enter and \
             io_uring_register"
        }
        (_, ErrorKind::OutOfMemory) => {
            "raise the limit of locked memory (LimitMEMLOCK=infinity) or the memory cgroup's"
        }
        (_, ErrorKind::Unsupported) => "this kernel lacks io_uring, or an operation that is needed: boot 6.0 or newer",
        (_, ErrorKind::InvalidInput) => "this kernel lacks IORING_SETUP_SINGLE_ISSUER: boot 6.0 or newer",
        _ => "see io_uring_setup(2) for the error",
    };
    warning("io_uring", format!("refused ({error}); epoll is used instead, at a higher cost per flow"), fix)
}

/// A passed flow takes two descriptors, and up to two pipes while bytes wait in them.
fn descriptors(facts: &Facts) -> Check {
    let fix = format!("raise the hard limit to {DESCRIPTORS_WISHED} or more (LimitNOFILE in the unit, or ulimit -Hn)");
    match facts.descriptors {
        Some(count) if count < DESCRIPTORS_MIN => failed("descriptors", format!("{count} open files"), fix),
        Some(count) if count < DESCRIPTORS_WISHED => {
            warning("descriptors", format!("{count} open files, about {} flows", count / 2), fix)
        }
        Some(count) => good("descriptors", format!("{count} open files")),
        None => good("descriptors", "no limit"),
    }
}

/// Past the soft limit the kernel shrinks new pipes to two pages, and splicing to a crawl.
fn pipes(facts: &Facts) -> Check {
    if let Some(bytes) = facts.pipe_bytes_max.filter(|bytes| *bytes < PIPE_BYTES && !facts.is_privileged) {
        return warning(
            "pipes",
            format!("of {bytes} bytes at most"),
            format!("sysctl -w fs.pipe-max-size={PIPE_BYTES}"),
        );
    }
    match facts.pipe_pages_soft {
        _ if facts.is_privileged => good("pipes", "no limit for this process"),
        None => good("pipes", "limit unknown"),
        Some(0) => good("pipes", "no limit"),
        Some(pages) if pages < PIPE_PAGES_WISHED => warning(
            "pipes",
            format!("{} full-size pipes at once, for all processes of this user", pages / PIPE_PAGES),
            format!("sysctl -w fs.pipe-user-pages-soft={PIPE_PAGES_WISHED}, or give the process CAP_SYS_RESOURCE"),
        ),
        Some(pages) => good("pipes", format!("{} full-size pipes at once", pages / PIPE_PAGES)),
    }
}

/// Before Linux 5.12 the rings themselves counted against it.
fn memlock(facts: &Facts) -> Check {
    match facts.memlock_bytes {
        None => good("memlock", "no limit"),
        Some(bytes) if bytes < MEMLOCK_BYTES_MIN && version(&facts.kernel) < Some((5, 12)) => {
            warning("memlock", format!("{bytes} bytes"), "raise it (LimitMEMLOCK=infinity in the unit, or ulimit -l)")
        }
        Some(bytes) => good("memlock", format!("{bytes} bytes")),
    }
}

fn backlog(facts: &Facts) -> Check {
    match facts.backlog_max {
        Some(count) if count < BACKLOG_WISHED => warning(
            "backlog",
            format!("{count} connections wait for accept at most"),
            format!("sysctl -w net.core.somaxconn={BACKLOG_WISHED}"),
        ),
        Some(count) => good("backlog", format!("{count} connections wait for accept at most")),
        None => good("backlog", "limit unknown"),
    }
}

/// The ports bound the flows to one address of an origin.
fn ports(facts: &Facts) -> Check {
    let Some((first, last)) = facts.local_ports else {
        return good("ports", "range unknown");
    };
    let found = format!("{first} to {last} for outgoing connections");
    if last.saturating_sub(first) + 1 < LOCAL_PORTS_WISHED {
        return warning("ports", found, "sysctl -w net.ipv4.ip_local_port_range='10240 65535'");
    }
    good("ports", found)
}

fn core_files(facts: &Facts) -> Check {
    if facts.dumps_core {
        return warning("core files", "on", "a core file would hold keys: start the process with LimitCORE=0");
    }
    good("core files", "off")
}

/// Major and minor version of a release such as `6.1.0-18-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|byte: char| !byte.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// `IORING_SETUP_SINGLE_ISSUER`.
const KERNEL_MIN: (u32, u32) = (6, 0);
/// Listeners, rings, spool, link and a few flows.
const DESCRIPTORS_MIN: u64 = 256;
const DESCRIPTORS_WISHED: u64 = 65_536;
const PIPE_BYTES: u64 = 256 * 1024;
/// Pages of a pipe of that size.
const PIPE_PAGES: u64 = PIPE_BYTES / 4096;
/// 4,096 pipes.
const PIPE_PAGES_WISHED: u64 = 4_096 * PIPE_PAGES;
/// Eight small rings.
const MEMLOCK_BYTES_MIN: u64 = 8 * 1024 * 1024;
const BACKLOG_WISHED: u64 = 4_096;
const LOCAL_PORTS_WISHED: u64 = 20_000;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn good_host() -> Facts {
        Facts {
            kernel: "6.1.0-18-amd64".to_owned(),
            ring: Ok(()),
            io_uring_disabled: Some(0),
            descriptors: Some(1_048_576),
            memlock_bytes: Some(8 * 1024 * 1024),
            pipe_pages_soft: Some(1_048_576),
            pipe_bytes_max: Some(1_048_576),
            is_privileged: false,
            backlog_max: Some(4_096),
            local_ports: Some((32_768, 60_999)),
            dumps_core: false,
        }
    }

    fn check(facts: &Facts, name: &str) -> Check {
        let report = judge(facts);
        assert_eq!(report.ok, report.checks.iter().all(|check| check.state != State::Failed));
        report.checks.into_iter().find(|check| check.name == name).unwrap()
    }

    #[test]
    fn a_good_host_is_all_good() {
        let report = judge(&good_host());
        assert!(report.ok);
        assert!(report.checks.iter().all(|check| check.state == State::Good && check.fix.is_none()), "{report:?}");
    }

    #[test]
    fn a_refused_ring_names_its_cause() {
        let fix = |disabled, kind: ErrorKind| {
            let facts = Facts { io_uring_disabled: disabled, ring: Err(io::Error::from(kind)), ..good_host() };
            let check = check(&facts, "io_uring");
            assert_eq!(check.state, State::Warning, "epoll takes over");
            check.fix.unwrap()
        };
        assert!(fix(Some(2), ErrorKind::PermissionDenied).contains("kernel.io_uring_disabled=0"));
        assert!(fix(Some(1), ErrorKind::PermissionDenied).contains("io_uring_group"));
        assert!(fix(Some(0), ErrorKind::PermissionDenied).contains("seccomp"));
        assert!(fix(None, ErrorKind::OutOfMemory).contains("MEMLOCK"));
        assert!(fix(None, ErrorKind::InvalidInput).contains("SINGLE_ISSUER"));
    }

    #[test]
    fn short_limits_are_warnings_with_a_fix() {
        let facts = Facts {
            kernel: "5.10.0-28-amd64".to_owned(),
            descriptors: Some(20_000),
            memlock_bytes: Some(65_536),
            pipe_pages_soft: Some(16_384),
            backlog_max: Some(128),
            local_ports: Some((32_768, 40_000)),
            dumps_core: true,
            ..good_host()
        };
        let report = judge(&facts);
        assert!(report.ok, "none of these keeps it from running");
        for check in report.checks.iter().filter(|check| check.name != "io_uring") {
            assert_eq!(check.state, State::Warning, "{check}");
            assert!(check.fix.is_some(), "{check}");
        }
        assert!(check(&facts, "pipes").found.starts_with("256 full-size pipes"));
        assert_eq!(check(&Facts { is_privileged: true, ..facts }, "pipes").state, State::Good);
        assert_eq!(check(&Facts { descriptors: Some(64), ..good_host() }, "descriptors").state, State::Failed);
    }

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(version("6.18.44-fc-v769"), Some((6, 18)));
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("7.0"), Some((7, 0)));
        assert_eq!(version("next"), None);
    }

    #[test]
    fn the_report_reads_as_json() {
        let json = serde_json::to_value(judge(&Facts { descriptors: Some(64), ..good_host() })).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["checks"][0]["name"], "kernel");
        assert_eq!(json["checks"][0]["state"], "good");
        assert!(json["checks"][0].get("fix").is_none());
        assert_eq!(json["checks"][2]["state"], "failed");
    }
}
