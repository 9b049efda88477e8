//! PostgreSQL of the machine: a fresh cluster in a temporary folder, on a free port of loopback.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use crate::{place, process, wait};

/// A running server. It trusts who comes from this machine, unless it was started with more.
pub struct Postgres {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    child: Child,
}

impl Postgres {
    /// Makes a cluster and starts it; `None` where there is no PostgreSQL.
    pub fn start() -> Option<Self> {
        Self::start_with("trust", &[], "")
    }

    /// The same with a way of proving who one is (the password is `secret`), with files in the cluster's folder, and with
    /// more lines in its configuration.
    pub fn start_with(proof: &str, files: &[(&str, &str)], configuration: &str) -> Option<Self> {
        let programs = programs()?;
        let directory = TempDir::new().unwrap();
        own(directory.path());
        let data = directory.path().join("data");
        let password = directory.path().join("password");
        fs::write(&password, "secret").unwrap();
        own(&password);
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--username=penstock", "--auth-local=trust"]);
        initdb.arg(format!("--auth-host={proof}")).arg("--pwfile").arg(&password).arg(&data);
        let made = initdb.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        for (name, text) in files {
            fs::write(data.join(name), text).unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
            own(&data.join(name));
        }
        let mut file = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        // What a test kills is the process and not the machine.
        write!(file, "\nlisten_addresses = '127.0.0.1'\nfsync = off\nshared_buffers = 16MB\n{configuration}\n")
            .unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = run(&programs, directory.path(), port);
        Some(Self { programs, directory, port, child })
    }

    /// How to reach its database.
    pub fn url(&self) -> String {
        format!("postgresql://penstock@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        // At once, with those that serve one client each.
        process::signal(self.child.id(), Signal::QUIT);
        self.child.wait().unwrap();
    }

    /// Starts it again on what it had.
    pub fn revive(&mut self) {
        self.child = run(&self.programs, self.directory.path(), self.port);
    }

    /// Asks it something; the first column of each row.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        let output = self.psql(sql).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = as_user(&self.programs.join("psql"));
        psql.args(["-h"]).arg(self.directory.path()).args(["-p", &self.port.to_string(), "-U", "penstock"]);
        psql.args(["-d", "postgres", "-X", "-A", "-t", "-c", sql]);
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill();
        }
    }
}

fn run(programs: &Path, directory: &Path, port: u16) -> Child {
    let mut postgres = as_user(&programs.join("postgres"));
    postgres.arg("-D").arg(directory.join("data")).arg("-k").arg(directory).args(["-p", &port.to_string()]);
    let log = fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let child = postgres.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    wait::until("PostgreSQL to take connections", || {
        let mut ready = Command::new(programs.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(directory).args(["-p", &port.to_string()]);
        ready.status().unwrap().success().then_some(())
    });
    child
}

/// The newest version that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let newest = versions.max_by_key(|version| version.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    let folder = newest.map(|version| version.path().join("bin")).filter(|folder| folder.join("postgres").exists());
    folder.or_else(|| place::program("postgres")?.parent().map(Path::to_path_buf))
}

/// PostgreSQL refuses to be root.
fn as_user(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &NOBODY.to_string(), "--regid", &NOBODY.to_string(), "--clear-groups"]).arg(program);
    command
}

fn own(path: &Path) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The user `nobody` of Debian, and its group.
const NOBODY: u32 = 65_534;
