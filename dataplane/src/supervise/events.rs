//! Everything that can happen to the supervisor, one thing at a time.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::notices::{Notice, Notices};
use crate::notify;

/// What has happened.
pub(super) enum Event {
    /// A child has ended; which one is to be found out.
    ChildEnded,
    Notice(Notice),
    /// SIGHUP.
    Upgrade,
    /// SIGTERM, SIGINT, or the end of whoever started us.
    Stop,
    /// A deadline has passed, or it is time for a sign of life.
    Tick,
}

/// Where they come from.
pub(super) struct Events {
    notices: Notices,
    child: Signal,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Taken when it has happened.
    parent_gone: Option<oneshot::Receiver<()>>,
    /// Between two signs of life to the manager.
    period: Duration,
    tick: Instant,
}

impl Events {
    pub(super) fn new(notices: Notices, exit_with_parent: bool) -> io::Result<Self> {
        let period = notify::watchdog().map_or(PERIOD_MAX, |patience| (patience / 3).min(PERIOD_MAX));
        Ok(Self {
            notices,
            child: signal(SignalKind::child())?,
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            parent_gone: exit_with_parent.then(crate::daemon::parent_gone),
            period,
            tick: Instant::now() + period,
        })
    }

    /// The next event, at the latest when `deadline` is reached.
    pub(super) async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let deadline = deadline.map_or(self.tick, |deadline| deadline.min(self.tick));
        loop {
            tokio::select! {
                _ = self.child.recv() => return Event::ChildEnded,
                _ = self.hangup.recv() => return Event::Upgrade,
                _ = self.terminate.recv() => return Event::Stop,
                _ = self.interrupt.recv() => return Event::Stop,
                () = gone(&mut self.parent_gone) => return Event::Stop,
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.tick = Instant::now() + self.period;
                    return Event::Tick;
                }
                notice = self.notices.receive() => match notice {
                    Ok(notice) => return Event::Notice(notice),
                    Err(error) => tracing::warn!(%error, "a message of a data plane was lost"),
                },
            }
        }
    }
}

/// Once; never again after that.
async fn gone(parent: &mut Option<oneshot::Receiver<()>>) {
    let Some(told) = parent else { return std::future::pending().await };
    let _ = told.await;
    *parent = None;
}

const PERIOD_MAX: Duration = Duration::from_secs(1);
