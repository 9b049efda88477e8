//! The machine has no room for another process or thread: flows that stand live on, what cannot be started says so and is
//! started when there is room.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use penstock_tests::place;
use penstock_tests::process::{self, Process};
use penstock_tests::wait;
use rustix::process::{Signal, geteuid};

use super::upgrade::{Alone, put};

/// Nobody else runs anything under it.
const USER: u32 = 64_321;

/// Room enough.
const MANY: u64 = 4000;

/// Lets the user have so many processes and threads, as far as `pid` and those that it starts from now on go.
fn limit(pid: u32, processes: u64) {
    let (pid, limit) = (pid.to_string(), format!("--nproc={processes}:"));
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]);
    command.args(["prlimit", "--pid", &pid, &limit]);
    assert!(command.status().unwrap().success());
}

/// Processes and threads of the user, as the limit counts them.
fn tasks() -> u64 {
    let of = |folder: PathBuf| fs::read_dir(folder.join("task")).map_or(0, |tasks| tasks.count() as u64);
    let owned = |folder: &Path| {
        let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
        status.lines().any(|line| line.starts_with(&format!("Uid:\t{USER}\t")))
    };
    let folders = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|folder| owned(folder)).map(of).sum()
}

/// A supervisor that is not root's, which no limit would hold.
fn alone() -> Option<(Alone, PathBuf)> {
    let setpriv = place::program("setpriv")?;
    if !geteuid().is_root() {
        assert!(!place::strict(), "CI has root");
        let _ = writeln!(std::io::stderr(), "left out: another user's processes need root");
        return None;
    }
    let mut started = PathBuf::new();
    let alone = Alone::start_by(|directory| {
        let binary = directory.join("penstock-dataplane");
        put(&binary, &fs::read(place::binary("penstock-dataplane")).unwrap(), 0o755);
        started = directory.join("start");
        let script = format!(
            "#!/bin/sh\nexec {} --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all {} \"$@\"\n",
            setpriv.display(),
            binary.display()
        );
        put(&started, script.as_bytes(), 0o755);
        let owner = format!("{USER}:{USER}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(directory).status().unwrap().success());
        started.clone()
    });
    Some((alone, started))
}

/// Serves, to the end of what the origin says.
fn serves(mut flow: TcpStream) -> bool {
    flow.read_exact(&mut [0; 4]).is_ok()
}

#[test]
fn a_full_process_table_costs_no_flow_and_fails_an_upgrade_cleanly() {
    let Some((alone, _)) = alone() else { return };
    let (supervisor, before) = (alone.supervisor.id(), alone.data_plane());
    let failures = || alone.supervisor.log().matches("the upgrade has failed").count();
    // No process can be started; then one can, but not its threads.
    for (round, room) in [0, 2].into_iter().enumerate() {
        let open = alone.flow();
        limit(supervisor, tasks() + room);
        process::signal(supervisor, Signal::HUP);
        wait::until("the upgrade to fail", || (failures() == round + 1).then_some(()));
        assert!(process::alive(supervisor) && process::alive(before), "{room}");
        assert!(serves(open) && serves(alone.flow()), "{room}");
    }
    assert!(alone.supervisor.log().contains("Resource temporarily unavailable"), "{}", alone.supervisor.log());
    limit(supervisor, MANY);
    process::signal(supervisor, Signal::HUP);
    wait::until("the upgrade", || alone.supervisor.log().contains("upgraded;").then_some(()));
    assert!(serves(alone.flow()));
}

#[test]
fn a_start_into_a_full_process_table_says_so_and_ends() {
    let Some((mut alone, start)) = alone() else { return };
    let directory = start.parent().unwrap();
    alone.supervisor.terminate();
    alone.supervisor.ended(wait::LIMIT).expect("the first ends");
    wait::until("all of it to end", || (tasks() == 0).then_some(()));
    for room in [1, 3] {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={room}")).arg(&start).arg("--supervise").arg("--config");
        command.arg(directory.join("state/dataplane.toml"));
        let log = directory.join(format!("full-{room}.log"));
        let Err(said) = Process::try_start("penstock-dataplane --supervise", &mut command, &log) else {
            panic!("it serves with room for {room}")
        };
        assert!(said.contains("Resource temporarily unavailable"), "{said}");
        wait::until("nothing to be left behind", || (tasks() == 0).then_some(()));
    }
}
