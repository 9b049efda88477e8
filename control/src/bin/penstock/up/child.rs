//! One daemon as a child process: started, listened to, stopped.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::timeout;

/// How to start a daemon.
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
    pub(super) log: String,
    /// Whether it runs its work in a child of its own, which it starts again, and replaces on SIGHUP.
    pub(super) supervises: bool,
}

/// A daemon that runs. It ends with this process: it watches the pipe that is its standard input.
pub(super) struct Child {
    name: &'static str,
    process: tokio::process::Child,
    /// Its standard output, until it is muted.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    worker: watch::Sender<Option<u32>>,
}

impl Program {
    /// Finds a daemon beside this program.
    pub(super) fn beside(name: &'static str, config: PathBuf, log: &str, supervises: bool) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("this program's own path cannot be found")?;
        let path = own.with_file_name(name);
        anyhow::ensure!(path.is_file(), "{} is missing; it belongs beside {}", path.display(), own.display());
        Ok(Self { name, path, config, log: log.to_owned(), supervises })
    }

    /// Starts it. A process group of its own keeps the terminal's Ctrl-C away from it: stopping has an order.
    pub(super) fn start(&self) -> anyhow::Result<Child> {
        let mut process = Command::new(&self.path)
            .arg("--config")
            .arg(&self.config)
            .args(["--log", &self.log, "--exit-with-parent"])
            .args(self.supervises.then_some("--supervise"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| self.path.display().to_string())?;
        let lines = process.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        let worker = watch::Sender::new(process.id());
        Ok(Child { name: self.name, process, lines, worker })
    }
}

impl Child {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for the line of JSON that the daemon prints when it serves.
    pub(super) async fn serving(&mut self) -> anyhow::Result<Value> {
        let mut lines = self.lines.take().ok_or_else(|| anyhow!("{} was already heard", self.name))?;
        let line = timeout(START_PATIENCE, lines.next_line()).await;
        let Ok(line) = line else { bail!("{} does not serve after {START_PATIENCE:?}", self.name) };
        let Some(line) = line? else {
            let status = self.ended().await?;
            bail!("{} did not start ({status}); its log above says why", self.name);
        };
        self.lines = Some(lines);
        self.worker.send_if_modified(|pid| note(&line, pid));
        self.mute();
        serde_json::from_str(&line).with_context(|| format!("{} printed {line:?}, which is no JSON", self.name))
    }

    /// Reads what the daemon prints from now on, so that it never blocks on a full pipe: the process ids of those that serve
    /// for it.
    pub(super) fn mute(&mut self) {
        if let Some(mut lines) = self.lines.take() {
            let worker = self.worker.clone();
            tokio::spawn(async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    worker.send_if_modified(|pid| note(&line, pid));
                }
            });
        }
    }

    /// The process that serves: this daemon's own, or the one that it supervises.
    pub(super) fn worker(&self) -> watch::Receiver<Option<u32>> {
        self.worker.subscribe()
    }

    /// Completes when the process has ended. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        // Not `Child::wait`, which closes standard input first: that pipe is what keeps the daemon running.
        let stdin = self.process.stdin.take();
        let waiting = Restore { process: &mut self.process, stdin };
        waiting.process.wait().await
    }

    /// Asks it to finish what it does and end.
    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to run what is on disk now.
    pub(super) fn ask_to_upgrade(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
        if let Err(error) = kill_process(pid, signal) {
            tracing::warn!(%error, "{} cannot be signalled", self.name);
        }
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::warn!(%error, "{} cannot be killed", self.name);
        }
    }
}

/// Takes the process id out of a line; whether it is another one than before.
fn note(line: &str, pid: &mut Option<u32>) -> bool {
    let said = serde_json::from_str::<Value>(line).ok().and_then(|line| line.get("pid")?.as_u64()?.try_into().ok());
    said.is_some_and(|said| pid.replace(said) != Some(said))
}

/// Puts the pipe back, also when the wait is given up half-way.
struct Restore<'a> {
    process: &'a mut tokio::process::Child,
    stdin: Option<tokio::process::ChildStdin>,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.process.stdin = self.stdin.take();
    }
}

/// Time that a daemon may take until it serves.
const START_PATIENCE: Duration = Duration::from_secs(30);
