//! What a stream has done: counts over the whole run, and over the sustain phase with its latencies.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Where an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The first answer to a hello is not what the verdict calls for.
    Answer,
    Connect,
    /// Still under way when the run ended, or beyond the bound on an operation.
    Deadline,
    Dial,
    Exchange,
    Handshake,
    /// The peer sent a reset where none was due.
    Reset,
    Status,
}

/// Plain counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) operations: u64,
    pub(crate) connections: u64,
    pub(crate) handshakes: u64,
    /// Handshakes with a session of an earlier one.
    pub(crate) resumed: u64,
    pub(crate) requests: u64,
    /// Bytes of answers' bodies, counted as they arrive.
    pub(crate) bytes: u64,
    pub(crate) failures: BTreeMap<Failure, u64>,
}

/// Latencies in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    /// TCP and, where there is one, the answer to CONNECT.
    pub(crate) connect: Histogram<u64>,
    pub(crate) handshake: Histogram<u64>,
    /// From the request, or the hello, to the first byte of the answer.
    pub(crate) first_byte: Histogram<u64>,
    pub(crate) last_byte: Histogram<u64>,
    /// From when the operation was due to its end; in an open loop with what it waited for a free worker.
    pub(crate) operation: Histogram<u64>,
}

/// The counters of one stream.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) whole: RefCell<Counts>,
    pub(crate) sustained: RefCell<Counts>,
    pub(crate) latencies: RefCell<Latencies>,
    is_sustaining: Cell<bool>,
    open: Rc<Cell<u64>>,
}

/// Counts one flow as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Rc<Cell<u64>>);

impl Tally {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            whole: RefCell::default(),
            sustained: RefCell::default(),
            latencies: RefCell::new(Latencies::new()?),
            is_sustaining: Cell::new(false),
            open: Rc::default(),
        })
    }

    pub(crate) fn sustain(&self, is_sustaining: bool) {
        self.is_sustaining.set(is_sustaining);
    }

    /// Flows that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.get()
    }

    /// A flow through the proxy is there; it counts as open until the guard goes.
    pub(crate) fn connected(&self, took: Duration) -> Open {
        self.count(|counts| counts.connections += 1);
        self.time(took, |latencies| &mut latencies.connect);
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(&self.open))
    }

    pub(crate) fn shook_hands(&self, took: Duration, is_resumed: bool) {
        self.count(|counts| {
            counts.handshakes += 1;
            counts.resumed += u64::from(is_resumed);
        });
        self.time(took, |latencies| &mut latencies.handshake);
    }

    pub(crate) fn first_byte(&self, took: Duration) {
        self.time(took, |latencies| &mut latencies.first_byte);
    }

    /// A request has its whole answer.
    pub(crate) fn answered(&self, took: Duration) {
        self.count(|counts| counts.requests += 1);
        self.time(took, |latencies| &mut latencies.last_byte);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.count(|counts| counts.bytes += bytes);
    }

    /// The end of an operation that was due at `due`; the result says when it was done.
    pub(crate) fn operated(&self, result: Result<Instant, Failure>, due: Instant) {
        match result {
            Ok(done) => {
                self.count(|counts| counts.operations += 1);
                self.time(done.saturating_duration_since(due), |latencies| &mut latencies.operation);
            }
            Err(failure) => self.count(|counts| *counts.failures.entry(failure).or_default() += 1),
        }
    }

    fn count(&self, change: impl Fn(&mut Counts)) {
        change(&mut self.whole.borrow_mut());
        if self.is_sustaining.get() {
            change(&mut self.sustained.borrow_mut());
        }
    }

    fn time(&self, took: Duration, of: impl Fn(&mut Latencies) -> &mut Histogram<u64>) {
        if self.is_sustaining.get() {
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(LATENCY_US_MAX);
            of(&mut self.latencies.borrow_mut()).saturating_record(microseconds);
        }
    }
}

impl Counts {
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.connections += other.connections;
        self.handshakes += other.handshakes;
        self.resumed += other.resumed;
        self.requests += other.requests;
        self.bytes += other.bytes;
        for (failure, count) in &other.failures {
            *self.failures.entry(*failure).or_default() += count;
        }
    }
}

impl Latencies {
    fn new() -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?;
        Ok(Self {
            connect: histogram.clone(),
            handshake: histogram.clone(),
            first_byte: histogram.clone(),
            last_byte: histogram.clone(),
            operation: histogram,
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl Failure {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Connect => "connect",
            Self::Deadline => "deadline",
            Self::Dial => "dial",
            Self::Exchange => "exchange",
            Self::Handshake => "handshake",
            Self::Reset => "reset",
            Self::Status => "status",
        }
    }
}

const LATENCY_US_MAX: u64 = 600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_outside_of_the_sustain_phase_counts_in_the_whole_alone() {
        let tally = Tally::new().unwrap();
        let first = tally.connected(Duration::from_millis(1));
        tally.sustain(true);
        let second = tally.connected(Duration::from_millis(2));
        tally.operated(Ok(Instant::now()), Instant::now());
        tally.operated(Err(Failure::Reset), Instant::now());
        tally.sustain(false);
        tally.operated(Err(Failure::Dial), Instant::now());
        assert_eq!(tally.open(), 2);
        drop((first, second));
        assert_eq!(tally.open(), 0);
        assert_eq!((tally.whole.borrow().connections, tally.sustained.borrow().connections), (2, 1));
        assert_eq!((tally.whole.borrow().failed(), tally.sustained.borrow().failed()), (2, 1));
        let latencies = tally.latencies.borrow();
        assert_eq!((latencies.connect.len(), latencies.operation.len()), (1, 1));
        assert!((1_990..=2_010).contains(&latencies.connect.max()));
    }
}
