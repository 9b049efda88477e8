//! The data planes that run, and what each event means for them.

use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::child::{Child, Program, Stage};
use super::events::Event;
use super::notices::Notice;
use super::{BACKOFF_MAX, BACKOFF_MIN, CRASHES_MAX, DRAINING_MAX, STEADY, UPGRADE_PATIENCE, WATCHDOG_PATIENCE};
use crate::notify::Notifier;

/// Whether the supervisor goes on.
pub(super) enum Turn {
    Continue,
    Stop(anyhow::Result<()>),
}

/// See the module.
pub(super) struct Family {
    program: Program,
    manager: Notifier,
    /// The listening sockets. Never closed while a data plane may need them.
    sockets: Vec<(String, OwnedFd)>,
    /// Takes connections; `None` between two lives.
    current: Option<Child>,
    /// Shall take its place.
    next: Option<Child>,
    draining: Vec<Child>,
    /// An upgrade was asked for and has not begun.
    wants_upgrade: bool,
    is_stopping: bool,
    /// One that was told to stop did not end well.
    failure: Option<String>,
    /// Set once the manager has heard that we are ready.
    is_ready: bool,
    /// Short lives in a row.
    crashes: u32,
    /// When the current one is started again; looked at while there is none.
    restart: Instant,
}

impl Family {
    pub(super) fn new(program: Program, sockets: Vec<(String, OwnedFd)>, manager: Notifier) -> Self {
        Self {
            program,
            manager,
            sockets,
            current: None,
            next: None,
            draining: Vec::new(),
            wants_upgrade: false,
            is_stopping: false,
            failure: None,
            is_ready: false,
            crashes: 0,
            restart: Instant::now(),
        }
    }

    /// The first start.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        self.current = Some(self.program.start(&self.sockets)?);
        Ok(())
    }

    /// When something is due by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let restart = (self.current.is_none() && !self.is_stopping).then_some(self.restart);
        let upgrade = self.next.as_ref().map(|next| next.started + UPGRADE_PATIENCE);
        restart.into_iter().chain(upgrade).min()
    }

    pub(super) fn turn(&mut self, event: Event) -> Turn {
        match event {
            Event::ChildEnded => {}
            Event::Notice(notice) => self.hear(notice),
            Event::Upgrade => self.wants_upgrade = true,
            Event::Stop => self.stop(),
            Event::Tick => self.manager.tell("WATCHDOG=1"),
        }
        if let Some(stop) = self.bury() {
            return Turn::Stop(stop);
        }
        self.watch();
        if !self.is_stopping {
            self.begin();
        }
        Turn::Continue
    }

    /// Drains everything; asked for twice, ends everything.
    fn stop(&mut self) {
        self.manager.tell("STOPPING=1\nSTATUS=draining");
        tracing::info!("stopping: open flows may finish");
        let again = std::mem::replace(&mut self.is_stopping, true);
        self.wants_upgrade = false;
        // Who comes now is refused, not kept waiting for nobody.
        self.sockets.clear();
        for child in self.current.iter_mut().chain(&mut self.next).chain(&mut self.draining) {
            if again { child.kill() } else { child.drain() }
        }
    }

    fn hear(&mut self, notice: Notice) {
        let children = self.current.iter_mut().chain(&mut self.next).chain(&mut self.draining);
        let Some(child) = children.into_iter().find(|child| child.pid() == notice.pid) else { return };
        if notice.is_listening || notice.is_alive || notice.is_ready {
            child.heard = Instant::now();
        }
        let stage = match (notice.is_ready, notice.is_listening) {
            (true, _) => Stage::Serving,
            (false, true) => Stage::Listening,
            (false, false) => child.stage,
        };
        child.stage = child.stage.max(stage);
        child.opened.extend(notice.store.iter().map(|(name, _)| name.clone()));
        let is_draining = self.draining.iter().any(|child| child.pid() == notice.pid);
        self.sockets.extend(notice.store);
        if let Some(name) = notice.forget.filter(|_| !is_draining) {
            // Sent when it serves; the process before it keeps its copy until it has been told to drain.
            self.sockets.retain(|(called, _)| *called != name);
        }
        let is_current = self.current.as_ref().is_some_and(|child| child.pid() == notice.pid);
        if is_current {
            if let Some(status) = &notice.status {
                self.manager.tell(&format!("STATUS={status}"));
            }
            self.report_ready();
            if notice.is_worn && !self.is_stopping {
                tracing::warn!(pid = notice.pid, "the data plane is worn out; another takes its place");
                self.wants_upgrade = true;
            }
        }
        self.promote();
    }

    /// The manager counts us as started once the first data plane listens: it may have to wait for a policy.
    fn report_ready(&mut self) {
        let listens = self.current.as_ref().is_some_and(|child| child.stage >= Stage::Listening);
        if listens && !self.is_ready && !self.is_stopping {
            self.is_ready = true;
            self.manager.tell("READY=1");
        }
    }

    /// The next data plane takes over when it has come as far as the present one.
    fn promote(&mut self) {
        let needed = self.current.as_ref().map_or(Stage::Listening, |child| child.stage.max(Stage::Listening));
        let Some(next) = self.next.take_if(|next| next.stage >= needed) else { return };
        tracing::info!(pid = next.pid(), "upgraded; the data plane before it drains");
        if let Some(mut old) = self.current.replace(next) {
            old.drain();
            self.draining.push(old);
        }
        self.is_ready = true;
        self.manager.tell("READY=1\nSTATUS=upgraded");
    }

    /// Takes note of those that have ended; the result when there is nothing left to do.
    fn bury(&mut self) -> Option<anyhow::Result<()>> {
        self.draining
            .retain_mut(|child| child.ended().is_none_or(|status| told_end("an old data plane", child, status)));
        if let Some(status) = self.next.as_mut().and_then(Child::ended) {
            self.roll_back(&format!("it ended before it served ({status}); its log says why"));
        }
        if let Some(status) = self.current.as_mut().and_then(Child::ended)
            && let Some(child) = self.current.take()
        {
            told_end("the data plane", &child, status);
            if self.is_stopping && !status.success() {
                self.failure = Some(format!("the data plane did not end well ({status})"));
            }
            if child.stage == Stage::Starting && !self.is_ready && !self.is_stopping {
                return Some(Err(anyhow::anyhow!("the data plane did not start ({status}); its log says why")));
            }
            if !self.is_stopping {
                return self.schedule(&child);
            }
        }
        let is_empty = self.current.is_none() && self.next.is_none() && self.draining.is_empty();
        (self.is_stopping && is_empty)
            .then(|| self.failure.take().map_or(Ok(()), |failure| Err(anyhow::anyhow!(failure))))
    }

    /// Plans the next start: at once after a long life, later and later after short ones.
    fn schedule(&mut self, dead: &Child) -> Option<anyhow::Result<()>> {
        self.crashes = if dead.started.elapsed() >= STEADY { 1 } else { self.crashes + 1 };
        if self.crashes >= CRASHES_MAX {
            for child in self.next.iter_mut().chain(&mut self.draining) {
                child.drain();
            }
            return Some(Err(anyhow::anyhow!(
                "the data plane died {CRASHES_MAX} times, each time soon after its start"
            )));
        }
        let backoff = match self.crashes.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => (BACKOFF_MIN * 2_u32.saturating_pow(doublings)).min(BACKOFF_MAX),
        };
        self.restart = Instant::now() + backoff;
        tracing::error!("the data plane died; it is started again in {backoff:?}, connections wait meanwhile");
        self.manager.tell("STATUS=the data plane died and is started again");
        None
    }

    /// Kills who gives no sign of life, and who should have served by now.
    fn watch(&mut self) {
        for child in self.current.iter_mut().chain(&mut self.draining) {
            if child.stage >= Stage::Listening && child.heard.elapsed() >= WATCHDOG_PATIENCE {
                tracing::error!(pid = child.pid(), "a data plane stands still; it is killed");
                child.heard = Instant::now();
                child.kill();
            }
        }
        if self.next.as_ref().is_some_and(|next| next.started.elapsed() >= UPGRADE_PATIENCE) {
            self.roll_back(&format!("it did not serve within {UPGRADE_PATIENCE:?}"));
        }
    }

    /// Starts what is due.
    fn begin(&mut self) {
        if self.current.is_none() && Instant::now() >= self.restart {
            // Who was to be next may take the dead one's place.
            let started = self.next.take().map_or_else(|| self.program.start(&self.sockets), Ok);
            match started {
                Ok(child) => self.current = Some(child),
                Err(error) => {
                    tracing::error!("the data plane cannot be started: {error:#}");
                    self.restart = Instant::now() + BACKOFF_MAX;
                }
            }
        }
        if !self.wants_upgrade || self.next.is_some() || self.current.is_none() || self.draining.len() >= DRAINING_MAX {
            return;
        }
        self.wants_upgrade = false;
        self.manager.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=upgrading", monotonic_micros()));
        match self.program.start(&self.sockets) {
            Ok(child) => self.next = Some(child),
            Err(error) => self.refuse(&format!("{error:#}")),
        }
    }

    /// Ends the attempt. Sockets that it opened go with it.
    fn roll_back(&mut self, reason: &str) {
        if let Some(mut next) = self.next.take() {
            self.sockets.retain(|(name, _)| !next.opened.contains(name));
            next.kill();
            // Waited for with the others.
            self.draining.push(next);
        }
        self.refuse(reason);
    }

    fn refuse(&self, reason: &str) {
        tracing::error!(reason, "the upgrade has failed; the data plane before it goes on");
        self.manager.tell(&format!("READY=1\nSTATUS=the upgrade has failed: {reason}"));
    }
}

/// Says how it ended; `false`, for it is not kept.
fn told_end(who: &str, child: &Child, status: ExitStatus) -> bool {
    if status.success() {
        tracing::info!(pid = child.pid(), "{who} has ended");
    } else {
        tracing::error!(pid = child.pid(), %status, "{who} has ended");
    }
    false
}

/// `MONOTONIC_USEC`, as systemd wants it beside `RELOADING=1`.
fn monotonic_micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}
