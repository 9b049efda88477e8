//! What the shard holds of a flow: its sockets, its deadline, and the order to stop.
//!
//! Every wait of a flow goes through here. A flow is stopped by marking it and cancelling what waits on its sockets;
//! the waits then end by themselves, the flow returns through its one exit, and the sockets close. Nothing that the
//! kernel holds is ever dropped, but by a panic.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use penstock_core::flow::{FaultKind, FlowId, Leg};
use tokio::sync::Notify;

use crate::ring::Socket;
use crate::shard::Clock;

/// Why a flow must stop waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// One half of the flow failed, so the other ends too.
    Aborted,
    /// Its deadline passed.
    Deadline,
    /// The shard drains and its time is up.
    Draining,
}

impl Stop {
    /// The word for it in a fault.
    pub(crate) const fn kind(self) -> FaultKind {
        match self {
            Self::Aborted => FaultKind::Closed,
            Self::Deadline => FaultKind::Deadline,
            Self::Draining => FaultKind::Draining,
        }
    }
}

/// The shard's handle on one flow; shared by the flow's task and the shard's reaper.
pub(crate) struct FlowControl {
    pub(crate) id: FlowId,
    pub(crate) source: SocketAddr,
    pub(crate) downstream: Rc<Socket>,
    upstream: RefCell<Option<Rc<Socket>>>,
    clock: Rc<Clock>,
    /// On the shard's clock; `u64::MAX` is never.
    deadline_ms: Cell<u64>,
    stop: Cell<Option<Stop>>,
    draining: Cell<bool>,
    wakes_for_drain: Cell<bool>,
    /// Wakes waits that are not on a socket.
    stopped: Notify,
}

impl FlowControl {
    pub(crate) fn new(id: FlowId, source: SocketAddr, downstream: Rc<Socket>, clock: Rc<Clock>) -> Self {
        Self {
            id,
            source,
            downstream,
            upstream: RefCell::new(None),
            clock,
            deadline_ms: Cell::new(u64::MAX),
            stop: Cell::new(None),
            draining: Cell::new(false),
            wakes_for_drain: Cell::new(false),
            stopped: Notify::new(),
        }
    }

    /// Makes `socket` the upstream leg, or takes it away before another address is tried.
    pub(crate) fn set_upstream(&self, socket: Option<Rc<Socket>>) {
        *self.upstream.borrow_mut() = socket;
    }

    /// Gives the next step `span` from now.
    pub(crate) fn set_deadline(&self, span: Duration) {
        self.set_deadline_at(self.after(span));
    }

    /// When `span` from now has passed, on the shard's clock.
    pub(crate) fn after(&self, span: Duration) -> u64 {
        let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.clock.now_ms().saturating_add(span_ms)
    }

    /// The shard's coarse clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) const fn deadline_ms(&self) -> u64 {
        self.deadline_ms.get()
    }

    /// Sets the deadline on the shard's clock.
    pub(crate) fn set_deadline_at(&self, deadline_ms: u64) {
        self.deadline_ms.set(deadline_ms);
    }

    /// Ends every wait of the flow, now and later.
    pub(crate) fn stop(&self, why: Stop) {
        if self.stop.get().is_none() {
            self.stop.set(Some(why));
        }
        self.downstream.cancel();
        if let Some(upstream) = self.upstream.borrow().as_deref() {
            upstream.cancel();
        }
        self.stopped.notify_waiters();
    }

    /// Lets go of both legs after a panic, which dropped what waited on them.
    pub(crate) async fn give_up(&self) {
        self.reset_on_close();
        self.downstream.give_up().await;
        let upstream = self.upstream.borrow().clone();
        if let Some(upstream) = upstream {
            upstream.give_up().await;
        }
    }

    /// Makes the coming close of both legs a reset: neither may take what it got for all there was.
    pub(crate) fn reset_on_close(&self) {
        self.downstream.reset_on_close();
        if let Some(upstream) = self.upstream.borrow().as_deref() {
            upstream.reset_on_close();
        }
    }

    /// The shard takes no more flows, and this one is to end when it can. A wait on the downstream leg ends in vain
    /// where [`Self::wake_for_drain`] asked for it.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        if self.wakes_for_drain.get() {
            self.downstream.cancel();
        }
    }

    pub(crate) const fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether a drain wakes what waits on the downstream leg: only where it looks again and goes on waiting.
    pub(crate) fn wake_for_drain(&self) {
        self.wakes_for_drain.set(true);
    }

    /// Called by the shard's reaper.
    pub(crate) fn stop_if_late(&self, now_ms: u64) {
        if self.deadline_ms.get() <= now_ms {
            self.stop(Stop::Deadline);
        }
    }

    /// Takes back a stop for lateness: the step that was late is given up, the flow goes on.
    pub(crate) fn forgive_deadline(&self) {
        if self.stop.get() == Some(Stop::Deadline) {
            self.stop.set(None);
        }
    }

    pub(crate) fn check(&self) -> Result<(), Stop> {
        self.stop.get().map_or(Ok(()), Err)
    }

    /// Adds what the client has sent to `received`; `Ok(0)` is the end. A client that has sent little, and no more for now,
    /// is waited for without room that nothing fills: connections that say nothing cost next to nothing.
    pub(crate) fn try_receive(&self, received: &mut Vec<u8>) -> io::Result<usize> {
        // What comes byte by byte stays in the room that its first bytes were given.
        if received.capacity() - received.len() < READ_BYTES / 2 {
            received.reserve(READ_BYTES);
        }
        let count = self.downstream.try_recv_spare(received);
        if count.is_err() && received.len() <= READ_BYTES / 4 {
            received.shrink_to_fit();
        }
        count
    }

    pub(crate) async fn readable(&self, socket: &Socket) -> Result<(), Stop> {
        self.check()?;
        // An error of the poll itself shows again, with its meaning, at the next read.
        let _ = socket.readable().await;
        self.check()
    }

    pub(crate) async fn writable(&self, socket: &Socket) -> Result<(), Stop> {
        self.check()?;
        let _ = socket.writable().await;
        self.check()
    }

    /// Connects, or says why not; a stop shows as `Err(Ok(stop))`.
    pub(crate) async fn connect(&self, socket: &Socket, address: SocketAddr) -> Result<(), ConnectError> {
        self.check().map_err(ConnectError::Stopped)?;
        let connected = socket.connect(address).await;
        self.check().map_err(ConnectError::Stopped)?;
        connected.map_err(ConnectError::System)
    }

    /// Waits for `signal` or a stop. The signal's future may be dropped.
    pub(crate) async fn notified(&self, signal: &Notify) -> Result<(), Stop> {
        self.check()?;
        let stopped = self.stopped.notified();
        tokio::select! {
            () = signal.notified() => {}
            () = stopped => {}
        }
        self.check()
    }

    /// Waits until either leg has something to read and says which; the other wait is cancelled and awaited.
    pub(crate) async fn either_readable(&self, upstream: &Socket) -> Result<Leg, Stop> {
        self.check()?;
        let mut from_downstream = pin!(self.downstream.readable());
        let mut from_upstream = pin!(upstream.readable());
        // Both begin before either's end is seen: a wait that had not begun would not be ended by the cancellation below.
        let first = std::future::poll_fn(|context| {
            let downstream = from_downstream.as_mut().poll(context).is_ready();
            let upstream = from_upstream.as_mut().poll(context).is_ready();
            match (downstream, upstream) {
                (true, upstream) => Poll::Ready((Leg::Downstream, upstream)),
                (false, true) => Poll::Ready((Leg::Upstream, false)),
                (false, false) => Poll::Pending,
            }
        });
        let (first, both) = first.await;
        match first {
            Leg::Downstream if both => {}
            Leg::Downstream => {
                upstream.cancel();
                let _ = from_upstream.await;
            }
            Leg::Upstream => {
                self.downstream.cancel();
                let _ = from_downstream.await;
            }
        }
        self.check()?;
        Ok(first)
    }
}

/// How a connect ended when it did not succeed.
pub(crate) enum ConnectError {
    Stopped(Stop),
    System(io::Error),
}

/// Room for one read of what a client begins with: a ClientHello of today, post-quantum share included, fits.
const READ_BYTES: usize = 2048;
