//! What the host around the process is like, read once.

use std::fs;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Answers;
use crate::boot::facts::{capabilities, number};
use crate::config::{Config, Link};

/// Everything that the findings are made of.
pub(super) struct Facts {
    /// The data plane that serves by this configuration.
    pub(super) running: Option<Running>,
    /// Effective capabilities of this process.
    pub(super) own_capabilities: u64,
    /// `net.ipv4.ip_unprivileged_port_start`.
    pub(super) first_free_port: u64,
    /// What `penstock-nft` has applied, as it says in the table.
    pub(super) table: Table,
    /// Rules and routes of IPv4 and of IPv6, as `ip` prints them.
    pub(super) routes: [String; 2],
    /// Interfaces but the loopback and those of a default route.
    pub(super) inside: Vec<String>,
    /// `rp_filter` of all interfaces together, and of each.
    pub(super) reverse_path: Vec<(String, u64)>,
    /// Tracked connections, and how many there may be; `None` while nothing is tracked.
    pub(super) tracked: Option<(u64, u64)>,
    /// Free on the disk of the state folder, or of the nearest folder above it that exists.
    pub(super) free_bytes: io::Result<u64>,
    /// How connecting to control went.
    pub(super) link: io::Result<()>,
    /// Unix seconds.
    pub(super) now: i64,
    pub(super) answers: Answers,
}

/// A process that runs.
pub(super) struct Running {
    pub(super) pid: u32,
    /// Effective.
    pub(super) capabilities: u64,
    /// Open files; `None` is no limit.
    pub(super) descriptors: Option<u64>,
    /// Its binary is on the disk no more: an upgrade has not been put into service.
    pub(super) is_outdated: bool,
}

/// The rules of `penstock-nft`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Absent,
    /// `key=value` words, parted by spaces.
    Applied(String),
    /// Why it cannot be looked at.
    Unknown(String),
}

impl Facts {
    pub(super) fn read(file: &Path, config: &Config, answers: Answers) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let families = ["-4", "-6"].map(|family| {
            let shown =
                [&["rule"][..], &["route", "show", "table", "all"]].map(|what| said("ip", &[&[family], what].concat()));
            shown.map(Result::unwrap_or_default).concat()
        });
        Self {
            running: running(file),
            own_capabilities: fs::read_to_string("/proc/self/status").map_or(0, |status| capabilities(&status)),
            first_free_port: number("net/ipv4/ip_unprivileged_port_start").unwrap_or(1024),
            table: table(),
            routes: families,
            inside: inside(),
            reverse_path: reverse_path(),
            tracked: number("net/netfilter/nf_conntrack_count").zip(number("net/netfilter/nf_conntrack_max")),
            free_bytes: free_bytes(&config.state_directory),
            link: reach(&config.link),
            now: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            answers,
        }
    }
}

/// Whether somebody answers where control should be; the first of several that does.
fn reach(link: &Link) -> io::Result<()> {
    let controls = match link {
        Link::Socket(socket) => return UnixStream::connect(socket).map(drop),
        Link::Controls(controls) => controls,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for control in controls {
        for address in (control.host.as_str(), control.port).to_socket_addrs().into_iter().flatten() {
            match TcpStream::connect_timeout(&address, CONTROL_PATIENCE) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
    }
    Err(last)
}

/// For one address of a control.
const CONTROL_PATIENCE: Duration = Duration::from_secs(2);

/// The data plane of the configuration in `file`; of a supervisor its child.
fn running(file: &Path) -> Option<Running> {
    let file = fs::canonicalize(file).ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| process(pid, &file)).max_by_key(|running| running.pid)
}

fn process(pid: u32, file: &Path) -> Option<Running> {
    let folder = Path::new("/proc").join(pid.to_string());
    let line = fs::read(folder.join("cmdline")).ok()?;
    let words: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
    let name = Path::new(words.first()?).file_name()?;
    let config = words.iter().skip_while(|word| **word != "--config").nth(1)?;
    let serves = name == "penstock-dataplane"
        && !words.iter().any(|word| matches!(*word, "--supervise" | "--probe" | "--check"));
    if !serves || fs::canonicalize(config).ok()? != file {
        return None;
    }
    let limits = fs::read_to_string(folder.join("limits")).unwrap_or_default();
    let open_files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let binary = fs::read_link(folder.join("exe")).unwrap_or_default();
    Some(Running {
        pid,
        capabilities: capabilities(&fs::read_to_string(folder.join("status")).ok()?),
        descriptors: open_files.and_then(|limits| limits.split_whitespace().next()?.parse().ok()),
        is_outdated: binary.to_string_lossy().ends_with(" (deleted)"),
    })
}

/// What a program prints; the error is what it says instead.
fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

fn table() -> Table {
    match said("nft", &["list", "chain", "inet", "penstock", "about"]) {
        Ok(chain) => match chain.split('"').nth(1) {
            Some(about) => Table::Applied(about.to_owned()),
            None => Table::Unknown("the table is not by penstock-nft".to_owned()),
        },
        Err(reason) if reason.contains("No such file or directory") && !reason.starts_with("nft: ") => Table::Absent,
        Err(reason) => Table::Unknown(reason.lines().next().unwrap_or_default().to_owned()),
    }
}

fn inside() -> Vec<String> {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    // Name, destination: a default route has none.
    let outside = routes.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let outside: Vec<&str> = outside.filter(|words| words.get(1) == Some(&"00000000")).map(|words| words[0]).collect();
    let mut names: Vec<String> = fs::read_dir("/sys/class/net").map_or_else(
        |_| Vec::new(),
        |entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
    );
    names.retain(|name| name != "lo" && !outside.contains(&name.as_str()));
    names.sort_unstable();
    names
}

fn reverse_path() -> Vec<(String, u64)> {
    let Ok(folders) = fs::read_dir("/proc/sys/net/ipv4/conf") else { return Vec::new() };
    let names = folders.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let names = names.filter(|name| !matches!(name.as_str(), "default" | "lo"));
    let mut found: Vec<_> =
        names.filter_map(|name| Some((name.clone(), number(&format!("net/ipv4/conf/{name}/rp_filter"))?))).collect();
    found.sort_unstable();
    found
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("/"));
    let disk = rustix::fs::statvfs(there)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
