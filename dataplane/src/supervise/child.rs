//! One data plane as a child process.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::Context as _;
use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, Signal, kill_process};

use super::WATCHDOG_PATIENCE;

/// How to start one: always the binary that is on disk now.
pub(super) struct Program {
    path: PathBuf,
    config: PathBuf,
    log: String,
    notify_socket: String,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Starting,
    /// Its sockets are open; it waits for a policy.
    Listening,
    Serving,
}

/// A data plane that runs. It ends when this is dropped: its standard input ends.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) stage: Stage,
    pub(super) started: Instant,
    /// The last sign of life; counts from [`Stage::Listening`] on.
    pub(super) heard: Instant,
    /// Sockets that it has opened itself, by name.
    pub(super) opened: Vec<String>,
}

impl Program {
    pub(super) fn new(config: PathBuf, log: String, notify_socket: String) -> anyhow::Result<Self> {
        // Asked for once: after the file has been replaced the answer is the old one, "(deleted)".
        let path = std::env::current_exe().context("this program's own path cannot be found")?;
        Ok(Self { path, config, log, notify_socket })
    }

    /// Starts it with copies of `sockets`. A process group of its own keeps the terminal's Ctrl-C away from it.
    pub(super) fn start(&self, sockets: &[(String, OwnedFd)]) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.path);
        command.arg("--config").arg(&self.config).args(["--log", &self.log, "--supervised"]);
        let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
        command.env("NOTIFY_SOCKET", &self.notify_socket).env_remove("LISTEN_PID").env_remove("WATCHDOG_PID");
        command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.env("WATCHDOG_USEC", WATCHDOG_PATIENCE.as_micros().to_string());
        let mut mappings = Vec::new();
        for ((_, socket), child_fd) in sockets.iter().zip(FIRST..) {
            mappings.push(FdMapping { parent_fd: socket.try_clone()?, child_fd });
        }
        command.fd_mappings(mappings).context("two sockets of one number")?;
        let process = command.stdin(Stdio::piped()).process_group(0).spawn();
        let process = process.with_context(|| self.path.display().to_string())?;
        let now = Instant::now();
        tracing::info!(pid = process.id(), sockets = sockets.len(), "data plane started");
        Ok(Child { process, stage: Stage::Starting, started: now, heard: now, opened: Vec::new() })
    }
}

impl Child {
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, when it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap_or_else(|error| {
            tracing::error!(%error, pid = self.pid(), "a data plane cannot be waited for");
            None
        })
    }

    /// Asks it to finish what it does and end.
    pub(super) fn drain(&mut self) {
        // Not once it has been waited for: the number may be another process's then.
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::warn!(%error, pid = self.pid(), "a data plane cannot be told to drain");
        }
    }

    /// Ends it at once; it is still to be waited for.
    pub(super) fn kill(&mut self) {
        if let Err(error) = self.process.kill() {
            tracing::warn!(%error, pid = self.pid(), "a data plane cannot be killed");
        }
    }
}

/// `SD_LISTEN_FDS_START`.
const FIRST: i32 = 3;
