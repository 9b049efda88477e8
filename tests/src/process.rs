//! A child process: announces itself by one line of JSON on standard output, writes its log to a file, dies with its
//! owner, and shows the end of its log when the test fails.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// See the module.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The announcement, parsed.
    pub ready: serde_json::Value,
    never: &'static [&'static str],
}

impl Process {
    /// Starts `command` and waits for its announcement.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        Self::try_start(name, command, log).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts `command`; the error holds the end of its log.
    pub fn try_start(name: &str, command: &mut Command, log: &Path) -> Result<Self, String> {
        let log_file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file);
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let lines = lines_of(&mut child);
        let announced = loop {
            match lines.recv_timeout(wait::LIMIT) {
                Ok(line) if line.starts_with('{') => break line,
                Ok(_) => {}
                Err(reason) => {
                    let _ = child.kill();
                    let status = child.wait();
                    return Err(format!("{name} never got ready ({reason}, {status:?}):\n{}", tail(log)));
                }
            }
        };
        let ready = serde_json::from_str(&announced).map_err(|error| format!("{name} said {announced}: {error}"))?;
        // Whatever it prints later is read and dropped, so that it never blocks on a full pipe.
        thread::spawn(move || while lines.recv().is_ok() {});
        Ok(Self { name: name.to_owned(), child, log: log.to_path_buf(), ready, never: &[] })
    }

    /// Words that must not stand in its log when it has ended: the test fails by them.
    pub fn must_never_say(&mut self, words: &'static [&'static str]) {
        self.never = words;
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A string of the announcement.
    pub fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{} announced no {key}: {}", self.name, self.ready))
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Waits for the end, for as long as `limit`.
    pub fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait::within(limit, || self.child.try_wait().unwrap())
    }

    /// The log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.terminate();
            // Long enough for an orderly end; a test that wants to see the drain calls `terminate` itself.
            if self.ended(Duration::from_secs(5)).is_none() {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        if thread::panicking() {
            println!("---- log of {} ----\n{}", self.name, tail(&self.log));
            return;
        }
        let log = self.log();
        let said: Vec<&str> = log.lines().filter(|line| self.never.iter().any(|words| line.contains(words))).collect();
        assert!(said.is_empty(), "{} said {said:#?}", self.name);
    }
}

/// Sends a signal to a process that this test started; one that is gone is no error.
pub fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// True while the process exists and is not a zombie.
pub fn alive(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

/// How many descriptors the process has open.
pub fn descriptors(id: u32) -> usize {
    fs::read_dir(format!("/proc/{id}/fd")).unwrap().count()
}

/// Bytes of memory that the process has resident.
pub fn resident_bytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// User and system time of the process (`proc_pid_stat(5)`, fields 14 and 15).
pub fn processor_seconds(id: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    // USER_HZ, the same on every Linux that runs this.
    ticks / 100.0
}

/// Reads standard output line by line on a thread of its own.
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let output = child.stdout.take().unwrap();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
