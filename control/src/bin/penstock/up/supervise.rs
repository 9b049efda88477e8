//! Starts both daemons in order, restarts one that dies, stops both in order. The data plane has a supervisor of its own
//! below this one, which keeps its sockets open meanwhile; SIGHUP is passed on to it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use penstock_core::limits::DRAIN_DEADLINE_MS;
use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::child::{Child, Program};
use super::files::{Pids, Plan};
use super::ready;
use super::transparent::{self, Transparent};
use crate::output;

/// One of the two daemons, running or about to.
struct Slot {
    program: Program,
    child: Option<Child>,
    started: Instant,
    /// When it is started again; only looked at while there is no child.
    restart: Instant,
    backoff: Duration,
}

/// The line on standard output, for scripts.
#[derive(Serialize)]
struct Ready {
    ready: bool,
    proxy: SocketAddr,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transparent: Vec<Transparent>,
    admin: String,
    ca: PathBuf,
    admin_token_file: PathBuf,
    pids: Pids,
}

/// The signals that stop the appliance, and the one that upgrades it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    upgrade: Signal,
}

/// Runs the appliance until it is told to stop.
pub(super) async fn run(mut plan: Plan) -> anyhow::Result<()> {
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        upgrade: signal(SignalKind::hangup())?,
    };
    plan.write()?;
    let mut control = Slot::new(Program::beside("penstock-control", plan.control_file(), &plan.log, false)?);
    let mut dataplane = Slot::new(Program::beside("penstock-dataplane", plan.dataplane_file(), &plan.log, true)?);
    let started = tokio::select! {
        started = start(&mut plan, &mut control, &mut dataplane) => Some(started),
        () = signals.stop_requested() => None,
    };
    let result = match started {
        Some(Ok(())) => watch(&plan, &mut control, &mut dataplane, &mut signals).await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    tokio::select! {
        () = take_down(&mut control, &mut dataplane) => {}
        // Twice means now.
        () = signals.stop_requested() => {
            dataplane.kill().await;
            control.kill().await;
        }
    }
    plan.remove_pids();
    result
}

/// Starts control, then the data plane, and says so once the policy is in force there.
async fn start(plan: &mut Plan, control: &mut Slot, dataplane: &mut Slot) -> anyhow::Result<()> {
    plan.admin = address(&control.start_first().await?, "admin")?;
    let serving = dataplane.start_first().await?;
    plan.listen = address(&serving, "listening")?;
    let announced = transparent::announced(&serving)?;
    plan.settle_ports(&announced);
    plan.write()?;
    let pids = Pids { control: control.pid(), dataplane: dataplane.pid() };
    plan.write_pids(pids)?;
    tokio::select! {
        ready = ready::wait(plan.admin_url(reachable(plan.admin))) => ready?,
        name = control.ended() => anyhow::bail!("{name} ended before the appliance was ready"),
        name = dataplane.ended() => anyhow::bail!("{name} ended before the appliance was ready"),
    }
    output::json(&Ready {
        ready: true,
        proxy: plan.listen,
        transparent: announced,
        admin: plan.admin_url(plan.admin),
        ca: plan.root_file(),
        admin_token_file: plan.token_file(),
        pids,
    })?;
    Ok(())
}

/// Restarts whatever dies, until a signal comes.
async fn watch(plan: &Plan, control: &mut Slot, dataplane: &mut Slot, signals: &mut Signals) -> anyhow::Result<()> {
    loop {
        let mut worker = dataplane.child.as_ref().map(Child::worker);
        tokio::select! {
            signal = signals.next() => match signal {
                Asked::Stop => {
                    tracing::info!("stopping");
                    return Ok(());
                }
                Asked::Upgrade => dataplane.upgrade(),
            },
            () = control.turn() => {}
            () = dataplane.turn() => {}
            () = changed(&mut worker) => {}
        }
        plan.write_pids(Pids { control: control.pid(), dataplane: dataplane.pid() })?;
    }
}

/// Lets the flows finish while control still takes their last events; then control goes.
async fn take_down(control: &mut Slot, dataplane: &mut Slot) {
    dataplane.stop(Duration::from_millis(DRAIN_DEADLINE_MS) + STOP_PATIENCE).await;
    control.stop(STOP_PATIENCE).await;
}

/// Completes when another process serves; never while there is none.
async fn changed(worker: &mut Option<watch::Receiver<Option<u32>>>) {
    let Some(worker) = worker else { return std::future::pending().await };
    if worker.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Slot {
    fn new(program: Program) -> Self {
        let now = Instant::now();
        Self { program, child: None, started: now, restart: now, backoff: BACKOFF_MIN }
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(|child| *child.worker().borrow())
    }

    fn upgrade(&self) {
        if let Some(child) = &self.child {
            tracing::info!("upgrading {}", self.program.name);
            child.ask_to_upgrade();
        }
    }

    /// The first start must succeed: answers what the daemon says of itself.
    async fn start_first(&mut self) -> anyhow::Result<Value> {
        self.started = Instant::now();
        self.child.insert(self.program.start()?).serving().await
    }

    /// Waits for what comes next in the daemon's life, its end or its next start, and does what that asks for. May be
    /// dropped and called again.
    async fn turn(&mut self) {
        if self.child.is_some() {
            self.ended().await;
            self.schedule();
        } else {
            sleep_until(self.restart).await;
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.started = Instant::now();
        match self.program.start() {
            Ok(mut child) => {
                tracing::info!(pid = child.pid(), "{} started again", self.program.name);
                child.mute();
                self.child = Some(child);
            }
            Err(error) => {
                tracing::error!("{error:#}");
                self.schedule();
            }
        }
    }

    /// Plans the next start: at once after a long life, later and later after short ones.
    fn schedule(&mut self) {
        self.child = None;
        if self.started.elapsed() >= STEADY {
            self.backoff = BACKOFF_MIN;
        }
        self.restart = Instant::now() + self.backoff;
        tracing::error!("{} ended; it is started again in {:?}", self.program.name, self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    /// Completes when the child ends; never while there is none.
    async fn ended(&mut self) -> &'static str {
        let Some(child) = &mut self.child else { return std::future::pending().await };
        match child.ended().await {
            Ok(status) => tracing::error!("{} ended: {status}", child.name()),
            Err(error) => tracing::error!(%error, "{} cannot be waited for", child.name()),
        }
        child.name()
    }

    async fn stop(&mut self, patience: Duration) {
        let Some(child) = &mut self.child else { return };
        child.ask_to_stop();
        if timeout(patience, child.ended()).await.is_err() {
            tracing::warn!("{} does not end; it is killed", child.name());
            child.kill().await;
        }
        self.child = None;
    }

    async fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().await;
        }
    }
}

/// What a signal asks for.
enum Asked {
    Stop,
    Upgrade,
}

impl Signals {
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }

    async fn stop_requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn address(line: &Value, field: &str) -> anyhow::Result<SocketAddr> {
    let text = line.get(field).and_then(Value::as_str).ok_or_else(|| anyhow!("no {field} in {line}"))?;
    text.parse().with_context(|| format!("{field} in {line}"))
}

/// Where an address that may stand for every interface is reached from here.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let address = match bound.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        address => address,
    };
    SocketAddr::new(address, bound.port())
}

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A daemon that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(60);
/// Time to end once there is nothing left to wait for.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
