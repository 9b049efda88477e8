//! The shard's thread: listen, accept, install snapshots, reap what is late, drain.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use penstock_core::flow::{Fault, FaultKind, FlowId, Phase};
use penstock_core::limits;
use tokio::sync::Notify;

use super::clock::{TICK, Tick};
use super::mailbox::{MailboxReceiver, Message};
use super::pressure::Shed;
use super::state::{Shard, ShardSeed};
use crate::flow::{self, Flow, Learned, Stop};
use crate::ingress::Entrance;
use crate::ingress::udp::{self, Turn};
use crate::panics::{Panicked, caught, vital};
use crate::ring::{self, DatagramListener, IoEngine, Listener};

/// Everything a shard's thread is started with.
pub(crate) struct Seed {
    pub(crate) engine: IoEngine,
    pub(crate) index: u16,
    pub(crate) listeners: Vec<(Entrance, Listener)>,
    pub(crate) datagrams: Vec<(DatagramListener, Turn)>,
    pub(crate) mailbox: MailboxReceiver,
    pub(crate) shard: ShardSeed,
}

/// Runs the shard on this thread until it has drained.
pub(crate) fn run(seed: Seed) -> anyhow::Result<()> {
    pin(seed.index);
    if let Err(error) = ring::take_short_turns() {
        tracing::warn!(%error, shard = seed.index, "what else runs on the shard's CPU may keep its flows waiting");
    }
    ring::start(seed.engine, async move {
        let Seed { listeners, datagrams, mailbox, shard, .. } = seed;
        let shard = Rc::new(Shard::new(shard)?);
        let listeners: Vec<_> =
            listeners.into_iter().map(|(entrance, listener)| (entrance, Rc::new(listener))).collect();
        let datagrams: Vec<_> = datagrams.into_iter().map(|(listener, turn)| (Rc::new(listener), turn)).collect();
        let drained = Rc::new(Notify::new());
        ring::spawn(vital(reap(Rc::clone(&shard), Rc::clone(&drained))));
        receive(&shard, &listeners, &datagrams, &mailbox).await;
        // Closed as soon as nothing waits on them: a connection must not be left to who is not there.
        drop(listeners);
        udp::end(&shard, &datagrams).await;
        drop(datagrams);
        drained.notified().await;
        shard.pulse.end();
        settle(shard.index).await;
        Ok(())
    })?
}

/// Takes messages until told to drain. Connections are accepted from the first snapshot on, never before: without a
/// policy nothing may pass. Until then they wait in the listeners' backlogs.
async fn receive(
    shard: &Rc<Shard>,
    listeners: &[(Entrance, Rc<Listener>)],
    datagrams: &[(Rc<DatagramListener>, Turn)],
    mailbox: &MailboxReceiver,
) {
    let mut accepting = false;
    loop {
        match mailbox.receive().await {
            Some(Message::Install(installed, acknowledge)) => {
                shard.install(installed);
                acknowledge.installed();
                if !accepting {
                    accepting = true;
                    for (entrance, listener) in listeners {
                        for _ in 0..ACCEPTS_OUTSTANDING {
                            ring::spawn(accept(Rc::clone(shard), entrance.clone(), Rc::clone(listener)));
                        }
                    }
                    for (listener, turn) in datagrams {
                        ring::spawn(receive_datagrams(Rc::clone(shard), Rc::clone(listener), turn.clone()));
                    }
                }
            }
            Some(Message::Drain) | None => {
                shard.draining.set(true);
                shard.flows.drain();
                listeners.iter().for_each(|(_, listener)| listener.cancel());
                return;
            }
        }
    }
}

/// One of several accepts that wait on a listener. While one is counted the shard has not drained: the kernel may have
/// given it a connection that must be served.
pub(super) async fn accept(shard: Rc<Shard>, entrance: Entrance, listener: Rc<Listener>) {
    shard.accepts.set(shard.accepts.get() + 1);
    while let Err(Panicked) = caught(pin!(take_connections(&shard, &entrance, &listener))).await {
        note_panic(&shard, Phase::Accept);
    }
    shard.accepts.set(shard.accepts.get() - 1);
}

async fn take_connections(shard: &Rc<Shard>, entrance: &Entrance, listener: &Listener) {
    while !shard.draining.get() {
        match ring::accept(listener).await {
            Ok((socket, source)) => {
                socket.set_nodelay();
                let Some(installed) = shard.installed() else { continue };
                let control = match shard.flows.insert(source, socket) {
                    Ok(control) => control,
                    Err(socket) => {
                        shard.cells.faults.add(Fault::downstream(Phase::Accept, FaultKind::TooMany), 1);
                        socket.reset_on_close();
                        continue;
                    }
                };
                if shard.draining.get() || shard.pressure.shed() >= Shed::KeepAlive {
                    control.drain();
                }
                let ticket = Cell::new(shard.quota.enter());
                let learned = RefCell::new(Learned::default());
                let entrance = entrance.clone();
                let flow = Flow { control, entrance, shard: Rc::clone(shard), installed, ticket, learned };
                ring::spawn(serve(flow));
            }
            Err(_) if shard.draining.get() => return,
            Err(error) => {
                // Out of descriptors or memory: the connection stays in the backlog; look again when some are free.
                shard.cells.faults.add(Fault::downstream(Phase::Accept, FaultKind::Resource), 1);
                if shard.tells_of_starvation() {
                    tracing::error!(%error, shard = shard.index, "cannot accept: new connections wait");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The same for datagrams: the one that could not be read is lost.
async fn receive_datagrams(shard: Rc<Shard>, listener: Rc<DatagramListener>, turn: Turn) {
    while let Err(Panicked) = caught(pin!(udp::serve(Rc::clone(&shard), Rc::clone(&listener), turn.clone()))).await {
        note_panic(&shard, Phase::Sniff);
    }
}

fn note_panic(shard: &Shard, phase: Phase) {
    shard.cells.faults.add(Fault::downstream(phase, FaultKind::Panic), 1);
    shard.wear.note(shard.now_ms());
}

/// Serves the flow, and frees its place. No `async fn`: such a one would hold its arguments twice.
fn serve(flow: Flow) -> impl Future<Output = ()> {
    let place = Place { shard: Rc::clone(&flow.shard), id: flow.control.id };
    async move {
        let _place = &place;
        flow::serve(&flow).await;
    }
}

/// A flow's place in the table: given up however the flow ends, by a panic too.
struct Place {
    shard: Rc<Shard>,
    id: FlowId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shard.flows.remove(self.id);
    }
}

/// Advances the clock, stops what is late, publishes the gauges, and ends the shard when it has drained.
async fn reap(shard: Rc<Shard>, drained: Rc<Notify>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut drain_deadline_ms = None;
    let mut shed = Shed::Nothing;
    loop {
        ticks.tick().await;
        let before = std::mem::replace(&mut shed, shard.pressure.shed());
        if before < Shed::KeepAlive && shed >= Shed::KeepAlive {
            shard.flows.drain();
        }
        let Tick { now_ms, is_late } = shard.clock.tick();
        shard.pulse.beat();
        if !is_late {
            shard.flows.reap(now_ms);
            udp::reap(&shard);
        }
        shard.cells.ring_operations_in_flight.set((), ring::in_flight());
        if !shard.draining.get() {
            continue;
        }
        let drain_ms = u64::try_from(shard.config.deadlines.drain.as_millis()).unwrap_or(u64::MAX / 2);
        let deadline_ms = *drain_deadline_ms.get_or_insert_with(|| now_ms + drain_ms);
        if now_ms >= deadline_ms {
            shard.flows.stop_all(Stop::Draining);
        }
        let is_empty = shard.flows.len() == 0 && shard.accepts.get() == 0;
        if is_empty || now_ms >= deadline_ms + limits::DRAIN_GRACE_MS {
            drained.notify_one();
            return;
        }
    }
}

/// Waits for what was cancelled last. The kernel then has nothing of this shard's in its hands, or the log says so.
async fn settle(shard: u16) {
    for _ in 0..SETTLE_TICKS {
        if ring::in_flight() == 0 {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
    tracing::error!(shard, operations = ring::in_flight(), "operations are left in flight");
}

/// Keeps the thread on its own CPU: caches stay warm and the kernel delivers where the work is.
fn pin(shard: u16) {
    let mut cpus = rustix::thread::CpuSet::new();
    let allowed = rustix::thread::sched_getaffinity(None).unwrap_or_else(|_error| rustix::thread::CpuSet::new());
    let allowed: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let Some(cpu) = allowed.get(usize::from(shard) % allowed.len().max(1)) else { return };
    cpus.set(*cpu);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &cpus) {
        tracing::warn!(%error, shard, "cannot pin the shard to its CPU");
    }
}

/// Accepts that wait on a listener at any time.
const ACCEPTS_OUTSTANDING: usize = 32;
/// Between two tries while the system has no descriptor: long enough to cost nothing, short enough to serve within a second.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// Ticks in which the last cancellations complete.
const SETTLE_TICKS: u32 = 20;
