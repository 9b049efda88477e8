//! Runs the operations: so many workers, each one operation at a time, warm-up first, then the measured part.
//!
//! Owns the loop, the progress bar and the counting. All workers meet between warm-up and measurement, so that the CPU
//! of the watched processes is read while nothing is under way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::Barrier;
use tokio::task::LocalSet;

use crate::client::{Connection, Failure, Plan};
use crate::meter::Used;
use crate::pace::Schedule;

/// How many operations, how fast, how long at most.
pub(crate) struct Pace {
    pub(crate) count: u64,
    pub(crate) warmup: u64,
    pub(crate) concurrency: u32,
    /// Operations a second in an open loop; none means a closed loop.
    pub(crate) rate: Option<f64>,
    pub(crate) time_max: Duration,
}

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) elapsed: Duration,
    /// Microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Of each watched process, in the order they were named.
    pub(crate) used: Vec<(u32, Used)>,
}

impl Pace {
    fn schedule(&self) -> Option<Rc<Schedule>> {
        self.rate.map(|rate| Rc::new(Schedule::start(rate, self.count, self.concurrency)))
    }
}

struct Run {
    plan: Plan,
    pace: Pace,
    meeting: Barrier,
    warmed: AtomicU64,
    next: AtomicU64,
    schedule: RefCell<Option<Rc<Schedule>>>,
    deadline: RefCell<Instant>,
    outcome: RefCell<Outcome>,
    progress: ProgressBar,
}

pub(crate) async fn drive(plan: Plan, pace: Pace, pids: &[u32]) -> anyhow::Result<Outcome> {
    let concurrency = usize::try_from(pace.concurrency)?;
    let run = Rc::new(Run {
        meeting: Barrier::new(concurrency + 1),
        warmed: AtomicU64::new(0),
        next: AtomicU64::new(0),
        schedule: RefCell::new(None),
        deadline: RefCell::new(Instant::now() + pace.time_max),
        outcome: RefCell::new(Outcome::new()?),
        progress: progress_bar(pace.count, plan.scenario.word())?,
        plan,
        pace,
    });
    let workers = LocalSet::new();
    for _ in 0..concurrency {
        let run = Rc::clone(&run);
        workers.spawn_local(async move { run.work().await });
    }
    let outcome = workers.run_until(run.measure(pids)).await?;
    workers.await;
    run.progress.finish_and_clear();
    Ok(outcome)
}

impl Run {
    /// Waits out the warm-up, starts the measured part, waits for its end.
    async fn measure(&self, pids: &[u32]) -> anyhow::Result<Outcome> {
        self.meeting.wait().await;
        let before = Used::of(pids)?;
        let start = Instant::now();
        *self.deadline.borrow_mut() = start + self.pace.time_max;
        *self.schedule.borrow_mut() = self.pace.schedule();
        self.meeting.wait().await;
        self.meeting.wait().await;
        let elapsed = start.elapsed();
        let after = Used::of(pids)?;
        let spent = after.into_iter().zip(before).map(|(after, before)| after.since(before));
        let mut outcome = self.outcome.replace(Outcome::new()?);
        outcome.elapsed = elapsed;
        outcome.used = pids.iter().copied().zip(spent).collect();
        Ok(outcome)
    }

    async fn work(&self) {
        let mut kept = None;
        while self.warmed.fetch_add(1, Ordering::Relaxed) < self.pace.warmup && !self.is_over() {
            let _ = self.operate(&mut kept).await;
        }
        if !self.plan.scenario.is_new() && kept.is_none() {
            kept = self.plan.open().await.ok();
        }
        self.meeting.wait().await;
        self.meeting.wait().await;
        let schedule = self.schedule.borrow().clone();
        while !self.is_over() {
            if let Some(schedule) = &schedule {
                let left = self.deadline.borrow().saturating_duration_since(Instant::now());
                if self.next.load(Ordering::Relaxed) >= self.pace.count
                    || tokio::time::timeout(left, schedule.wait()).await.is_err()
                {
                    break;
                }
            }
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.pace.count {
                break;
            }
            let due = schedule.as_ref().map_or_else(Instant::now, |schedule| schedule.due(number));
            let result = self.operate(&mut kept).await;
            self.outcome.borrow_mut().count(result, due);
            self.progress.inc(1);
        }
        self.meeting.wait().await;
        if let Some(connection) = kept {
            drop(connection);
        }
    }

    async fn operate(&self, kept: &mut Option<Connection>) -> Result<(u64, Instant), Failure> {
        let operation = self.operate_unbounded(kept);
        tokio::time::timeout(OPERATION_DEADLINE, operation).await.unwrap_or(Err(Failure::Deadline))
    }

    /// One operation; answers its bytes and when its answer was complete.
    async fn operate_unbounded(&self, kept: &mut Option<Connection>) -> Result<(u64, Instant), Failure> {
        if self.plan.scenario.is_new() {
            let mut connection = self.plan.open().await?;
            let bytes = self.plan.exchange(&mut connection).await?;
            let done = Instant::now();
            connection.finish().await;
            return Ok((bytes, done));
        }
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.plan.open().await?,
        };
        let bytes = self.plan.exchange(&mut connection).await?;
        *kept = Some(connection);
        Ok((bytes, Instant::now()))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.deadline.borrow()
    }
}

impl Outcome {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            operations: 0,
            bytes: 0,
            failures: BTreeMap::new(),
            elapsed: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?,
            used: Vec::new(),
        })
    }

    fn count(&mut self, result: Result<(u64, Instant), Failure>, due: Instant) {
        match result {
            Ok((bytes, done)) => {
                self.operations += 1;
                self.bytes += bytes;
                let latency = done.saturating_duration_since(due).as_micros();
                self.latency.saturating_record(u64::try_from(latency).unwrap_or(LATENCY_US_MAX));
            }
            Err(failure) => *self.failures.entry(failure).or_default() += 1,
        }
    }
}

fn progress_bar(count: u64, title: &'static str) -> anyhow::Result<ProgressBar> {
    // Two draws a second: a livelier bar would show in the figures of a shared core.
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr_with_hz(2));
    let style = "{prefix:20} {bar:30} {pos}/{len} {per_sec} {elapsed}, {eta} left";
    Ok(bar.with_style(ProgressStyle::with_template(style)?).with_prefix(title))
}

const LATENCY_US_MAX: u64 = 600_000_000;
const OPERATION_DEADLINE: Duration = Duration::from_secs(60);
