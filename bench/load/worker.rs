//! The workers of one stream: each does one operation at a time, until the run is over.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::client::{Target, farewell};
use crate::exchange::{Ask, Session};
use crate::pace::Schedule;
use crate::profile::{Life, Requests, Work};
use crate::tally::{Failure, Tally};

/// A stream under load.
pub(crate) struct Lane {
    pub(crate) target: Target,
    pub(crate) tally: Tally,
    /// Numbers connections and requests, so that lists of a profile are taken in turn over all workers.
    connections: Cell<u64>,
    requests: Cell<u64>,
    over: watch::Receiver<bool>,
}

/// What a worker keeps between operations.
#[derive(Default)]
struct Kept {
    session: Option<Session>,
    /// Requests that the session still takes; none is no bound.
    left: Option<u64>,
}

impl Lane {
    pub(crate) fn new(target: Target, over: watch::Receiver<bool>) -> anyhow::Result<Self> {
        Ok(Self { target, tally: Tally::new()?, connections: Cell::new(0), requests: Cell::new(0), over })
    }

    /// Starts the stream's workers on `set`. They end when the run is over and their operation is done.
    pub(crate) fn start(self: &Rc<Self>, set: &LocalSet, ramp: Duration) {
        let pace = self.target.stream.pace;
        let schedule = pace.rate.map(|rate| Rc::new(Schedule::start(rate, ramp)));
        for index in 0..pace.concurrency {
            let (lane, schedule) = (Rc::clone(self), schedule.clone());
            let delay = ramp.mul_f64(f64::from(index) / f64::from(pace.concurrency));
            set.spawn_local(async move {
                match schedule {
                    Some(schedule) => lane.work_when_due(&schedule).await,
                    None => lane.work_on(delay).await,
                }
            });
        }
    }

    /// One operation before the load begins, to show that there is somebody who answers. A proxy may fail the first flow
    /// to a name (HAProxy 2.6 does when it mints), so there are a few attempts; only the good one counts.
    pub(crate) async fn try_first(&self) -> Result<(), Failure> {
        let mut result = Err(Failure::Deadline);
        for _ in 0..FIRST_ATTEMPTS {
            let mut kept = Kept::default();
            let due = Instant::now();
            result = match &self.target.stream.work {
                Work::Idle(None) => self.target.open(&self.tally).await.map(|_| Instant::now()),
                Work::Idle(Some(_)) => self.target.greet(&self.tally).await.map(|_| Instant::now()),
                _ => self.operate(&mut kept).await,
            };
            if let Some(session) = kept.session {
                session.finish().await;
            }
            if result.is_ok() {
                self.tally.operated(result, due);
                break;
            }
        }
        result.map(drop)
    }

    /// Closed loop: the next operation when one is done.
    async fn work_on(&self, delay: Duration) {
        let mut over = self.over.clone();
        if tokio::time::timeout(delay, over.wait_for(|over| *over)).await.is_ok() {
            return;
        }
        let mut kept = Kept::default();
        while !self.is_over() {
            let due = Instant::now();
            if let Work::Idle(_) = self.target.stream.work {
                self.hold(due).await;
            } else {
                let result = self.operate(&mut kept).await;
                self.tally.operated(result, due);
                if result.is_err() {
                    tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Open loop: an operation when it is due, or as soon as this worker is free.
    async fn work_when_due(&self, schedule: &Schedule) {
        let mut kept = Kept::default();
        let mut over = self.over.clone();
        loop {
            let due = tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => break,
                due = schedule.wait() => due,
            };
            let Some(due) = due else { break };
            let result = self.operate(&mut kept).await;
            self.tally.operated(result, due);
        }
        schedule.stop();
    }

    /// Opens a flow and holds it to the end of the run. A flow that the proxy ends is a failure, and is opened anew.
    async fn hold(&self, due: Instant) {
        let mut over = self.over.clone();
        let opened = tokio::time::timeout(OPERATION_DEADLINE, async {
            Ok(match self.target.stream.work {
                Work::Idle(None) => {
                    let secured = self.target.open(&self.tally).await?;
                    (secured.tls.into_inner().0, secured.open)
                }
                _ => self.target.greet(&self.tally).await?.ok_or(Failure::Status)?,
            })
        });
        let (stream, open) = match opened.await.unwrap_or(Err(Failure::Deadline)) {
            Ok(opened) => opened,
            Err(failure) => {
                self.tally.operated(Err(failure), due);
                return tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        };
        self.tally.operated(Ok(Instant::now()), due);
        let mut rest = [0; 512];
        loop {
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => return drop((stream, open)),
                ready = stream.readable() => match ready.and_then(|()| stream.try_read(&mut rest)) {
                    // Session tickets, which nobody reads.
                    Ok(1..) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    _ => return self.tally.operated(Err(Failure::Exchange), due),
                },
            }
        }
    }

    /// One operation, and when it was done. The time that a close takes is not in its latency; the worker is free after it.
    async fn operate(&self, kept: &mut Kept) -> Result<Instant, Failure> {
        let operation = async {
            match &self.target.stream.work {
                Work::Request(requests) if requests.connection == Life::Kept => self.request(kept, requests).await,
                Work::Request(requests) => self.connect_and_request(requests).await,
                _ => {
                    let greeted = self.target.greet(&self.tally).await?;
                    let done = Instant::now();
                    if let Some((stream, open)) = greeted {
                        farewell(stream).await;
                        drop(open);
                    }
                    Ok(done)
                }
            }
        };
        tokio::time::timeout(OPERATION_DEADLINE, operation).await.unwrap_or(Err(Failure::Deadline))
    }

    /// One request on the connection that the worker keeps.
    async fn request(&self, kept: &mut Kept, requests: &Requests) -> Result<Instant, Failure> {
        if kept.session.is_none() {
            kept.left = requests.requests.as_ref().map(|turns| turns.at(next(&self.connections)));
            kept.session = Some(Session::new(self.target.open(&self.tally).await?, requests.http).await?);
        }
        // A session that fails is not used again.
        let Some(mut session) = kept.session.take() else { return Err(Failure::Exchange) };
        kept.left = kept.left.map(|left| left.saturating_sub(1));
        let ask = Ask { bytes: requests.bytes.at(next(&self.requests)), is_last: kept.left == Some(0) };
        session.exchange(&self.target, ask, &self.tally).await?;
        let done = Instant::now();
        if ask.is_last {
            session.finish().await;
        } else {
            kept.session = Some(session);
        }
        Ok(done)
    }

    /// A connection of its own with its requests.
    async fn connect_and_request(&self, requests: &Requests) -> Result<Instant, Failure> {
        let count = requests.requests.as_ref().map_or(1, |turns| turns.at(next(&self.connections)));
        let mut session = Session::new(self.target.open(&self.tally).await?, requests.http).await?;
        for number in 1..=count {
            let ask = Ask { bytes: requests.bytes.at(next(&self.requests)), is_last: number == count };
            session.exchange(&self.target, ask, &self.tally).await?;
        }
        let done = Instant::now();
        session.finish().await;
        Ok(done)
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}

fn next(counter: &Cell<u64>) -> u64 {
    counter.replace(counter.get().wrapping_add(1))
}

/// So that a proxy that refuses at once does not make a busy loop of a closed one.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
const FIRST_ATTEMPTS: u32 = 3;
const OPERATION_DEADLINE: Duration = Duration::from_secs(60);
