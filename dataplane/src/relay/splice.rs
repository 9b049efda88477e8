//! Relaying a passed flow: a copy loop that turns into `splice(2)` when the flow is busy.
//!
//! Each direction is one [`pump`]. It reads into the shard's scratch buffer and writes at once, so an idle flow owns
//! no memory; only what the other side has no room for is kept. Once a direction has moved [`PROMOTE_BYTES`] and
//! filled a whole read, it borrows a pipe, and gives it back whenever the pipe is empty and nothing waits.
//!
//! The end of one direction shuts down the other leg's writing side, after the last byte has been written. A flow that
//! is cut short, by a reset, a deadline or a drain, is reset on each leg that has not been told the end of its stream:
//! no peer takes a part for the whole.

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;

use penstock_core::flow::{Direction, FaultKind, Leg, RelayPath};
use penstock_core::limits;
use penstock_core::relay::{HalfState, Relay, Step};
use penstock_core::tls::RetryWatch;
use penstock_core::tls::retry::{Allowed, Wait};
use tokio::sync::Notify;

use crate::flow::{Flow, Stop};
use crate::ring::{Pipe, Socket};

/// Which leg failed, and how.
pub(crate) type RelayFault = (Leg, FaultKind);

/// What a passed flow begins with.
pub(crate) struct Opening {
    /// All that the client has sent.
    pub(crate) received: Vec<u8>,
    /// So much of it goes on at once: the ClientHello, or all of it.
    pub(crate) hello_bytes: usize,
    /// Judges what follows, where something does.
    pub(crate) watch: Option<Box<RetryWatch>>,
}

/// Writes what was received upstream, then relays both directions to their ends. No `async fn`: such a one would hold its
/// arguments twice. What a flow does before and beside its copying is boxed, so that an idle one has no room for it.
pub(crate) fn relay<'a>(
    flow: &'a Flow,
    upstream: &'a Socket,
    mut opening: Box<Opening>,
) -> impl Future<Output = Result<(), RelayFault>> + 'a {
    let shared = Shared {
        relay: RefCell::new(Relay::new(flow.control.now_ms())),
        watch: RefCell::new(opening.watch.take()),
        answered: Notify::new(),
    };
    async move {
        let shared = &shared;
        let egress = Lane { flow, shared, upstream, direction: Direction::Egress };
        let ingress = Lane { flow, shared, upstream, direction: Direction::Ingress };
        let forward = egress.pump(Some(opening));
        let backward = ingress.pump(None);
        let (forward, backward) = tokio::join!(forward, backward);
        let result = match (forward, backward) {
            // The half that was only told to stop is not the cause.
            (Err((_, FaultKind::Closed)), Err(cause)) | (Err(cause), _) | (Ok(()), Err(cause)) => Err(cause),
            (Ok(()), Ok(())) => Ok(()),
        };
        if let Err((_, kind)) = result {
            let relay = shared.relay.borrow();
            // A client whose name changed is still told why.
            if relay.state(Direction::Ingress) != HalfState::Ended && kind != FaultKind::NameChanged {
                flow.control.downstream.reset_on_close();
            }
            if relay.state(Direction::Egress) != HalfState::Ended {
                upstream.reset_on_close();
            }
        }
        result
    }
}

fn abort(flow: &Flow) {
    flow.control.stop(Stop::Aborted);
}

/// What both directions know; borrowed between awaits only.
struct Shared {
    relay: RefCell<Relay>,
    /// `None` once nothing needs to be looked at any more.
    watch: RefCell<Option<Box<RetryWatch>>>,
    /// Wakes what waits for the server's first message.
    answered: Notify,
}

impl Shared {
    /// Lets go of a watch that has seen enough.
    fn forget_open(&self) {
        drop(self.watch.borrow_mut().take_if(|watch| watch.is_open()));
    }

    fn is_watched(&self) -> bool {
        self.watch.borrow().is_some()
    }

    /// Shows the watch what the server sends, before the client can see it.
    fn watch_answer(&self, bytes: &[u8]) {
        let answered = self.watch.borrow_mut().as_mut().is_some_and(|watch| watch.handle_ingress(bytes));
        if answered {
            self.answered.notify_one();
        }
        self.forget_open();
    }
}

/// One direction of a passed flow.
struct Lane<'a> {
    flow: &'a Flow,
    shared: &'a Shared,
    upstream: &'a Socket,
    direction: Direction,
}

impl Lane<'_> {
    /// Relays until the end of the stream; then shuts the other leg's writing side down. `opening` was received before.
    /// A fault ends the other direction too.
    fn pump(&self, opening: Option<Box<Opening>>) -> impl Future<Output = Result<(), RelayFault>> {
        let begun = opening.map(|opening| Box::pin(self.begin(*opening)));
        async move {
            let moved = self.carry(begun).await;
            moved.and_then(|()| self.end()).inspect_err(|_fault| abort(self.flow))
        }
    }

    /// Copies, then splices.
    async fn carry(
        &self,
        begun: Option<impl Future<Output = Result<bool, RelayFault>> + Unpin>,
    ) -> Result<(), RelayFault> {
        if let Some(begun) = begun
            && begun.await?
        {
            return Ok(());
        }
        if self.copy().await? { Box::pin(self.splice()).await } else { Ok(()) }
    }

    /// Writes what was received, then copies while the watch looks; whether the stream has ended.
    async fn begin(&self, opening: Opening) -> Result<bool, RelayFault> {
        let Opening { mut received, hello_bytes, .. } = opening;
        let mut held = received.split_off(hello_bytes.min(received.len()));
        self.read(received.len());
        self.write(&received, RelayPath::Copy).await?;
        drop(received);
        self.read(held.len());
        if self.shared.is_watched() {
            return self.copy_watched(&mut held).await;
        }
        self.write(&held, RelayPath::Copy).await?;
        Ok(false)
    }

    /// The stream has ended, and all of it is written.
    fn end(&self) -> Result<(), RelayFault> {
        // A reset is told once, to whichever direction asks first; to the other it looks like an end.
        self.flow.control.check().map_err(|stop| (self.reading_leg(), stop.kind()))?;
        if self.direction == Direction::Ingress {
            if let Some(watch) = self.shared.watch.borrow_mut().as_mut() {
                watch.handle_ingress_end();
            }
            self.shared.forget_open();
            self.shared.answered.notify_one();
        }
        let step = self.shared.relay.borrow_mut().handle_end(self.direction, self.flow.control.now_ms());
        self.obey(step);
        Ok(())
    }

    /// Does what the relay's state asks for after bytes were written or a direction ended.
    fn obey(&self, step: Step) {
        match step {
            Step::ShutdownWrite(_leg) => self.to().shutdown_write(),
            // Both pumps return by themselves; closing the sockets ends what is open.
            Step::Continue | Step::Finish | Step::Reset(_) => {}
        }
        let state = self.shared.relay.borrow();
        let both_open =
            [Direction::Egress, Direction::Ingress].iter().all(|half| state.state(*half) == HalfState::Open);
        let deadlines = &self.flow.shard.config.deadlines;
        self.flow.control.set_deadline(if both_open { deadlines.idle } else { deadlines.half_close });
    }

    /// Copies what the watch allows, until it has seen enough (`false`) or the stream has ended (`true`). What it does not
    /// allow yet stays in `held`, which its own bounds limit.
    async fn copy_watched(&self, held: &mut Vec<u8>) -> Result<bool, RelayFault> {
        loop {
            let judged = self.shared.watch.borrow_mut().as_mut().map(|watch| watch.handle_egress(held));
            let allowed = match judged {
                Some(judged) => judged.map_err(|_changed| (Leg::Downstream, FaultKind::NameChanged))?,
                None => Allowed { bytes: held.len(), wait: None },
            };
            self.shared.forget_open();
            self.write(held.get(..allowed.bytes).unwrap_or_default(), RelayPath::Copy).await?;
            held.drain(..allowed.bytes);
            if allowed.wait == Some(Wait::Server) {
                let answered = self.flow.control.notified(&self.shared.answered).await;
                answered.map_err(|stop| (self.reading_leg(), stop.kind()))?;
                continue;
            }
            if held.is_empty() {
                *held = Vec::new();
                self.wait_readable().await?;
                if !self.shared.is_watched() {
                    return Ok(false);
                }
            }
            let before = held.len();
            held.reserve(WATCHED_READ_BYTES);
            match self.from().try_recv_spare(held) {
                Ok(0) => return Ok(true),
                Ok(_) => self.read(held.len() - before),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_readable().await?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err((self.reading_leg(), FaultKind::ConnectionReset)),
            }
        }
    }

    /// Copies until the end of the stream (`false`) or until the direction is worth a pipe (`true`).
    async fn copy(&self) -> Result<bool, RelayFault> {
        let mut copied_bytes = 0;
        loop {
            // Nothing is awaited while the scratch buffer is borrowed; what does not fit into the socket is kept.
            let (received, unsent) = {
                let mut scratch = self.flow.shard.scratch.borrow_mut();
                match self.from().try_recv(&mut scratch) {
                    Ok(0) => return Ok(false),
                    Ok(count) => {
                        self.read(count);
                        let bytes = scratch.get(..count).unwrap_or_default();
                        if self.direction == Direction::Ingress {
                            self.shared.watch_answer(bytes);
                        }
                        let sent = self.send(bytes, RelayPath::Copy)?;
                        (count, bytes.get(sent..).unwrap_or_default().to_vec())
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => (0, Vec::new()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => return Err((self.reading_leg(), FaultKind::ConnectionReset)),
                }
            };
            if received == 0 {
                self.wait_readable().await?;
                continue;
            }
            self.write(&unsent, RelayPath::Copy).await?;
            copied_bytes += received;
            let is_settled = self.shared.watch.borrow().as_ref().is_none_or(|watch| watch.is_settled());
            let may_splice = copied_bytes >= PROMOTE_BYTES && is_settled;
            if may_splice && received >= self.flow.shard.scratch.borrow().len() / 2 {
                return Ok(true);
            }
        }
    }

    /// Splices until the end of the stream. Without a free pipe, goes on copying.
    async fn splice(&self) -> Result<(), RelayFault> {
        loop {
            let Some(mut pipe) = self.flow.shard.pipes.take() else {
                if self.copy().await? {
                    continue;
                }
                return Ok(());
            };
            let ended = self.splice_through(&mut pipe).await;
            if pipe.held_bytes() == 0 {
                self.flow.shard.pipes.give_back(pipe);
            } else {
                self.flow.shard.pipes.discard(pipe);
            }
            if ended? {
                return Ok(());
            }
            self.wait_readable().await?;
        }
    }

    /// Moves bytes until nothing waits (`false`) or the stream has ended (`true`); the pipe is empty then.
    async fn splice_through(&self, pipe: &mut Pipe) -> Result<bool, RelayFault> {
        let mut turns = 0_usize;
        loop {
            turns = turns.wrapping_add(1);
            // Two legs that are faster than this core never have to be waited for.
            if turns.is_multiple_of(TURNS_MAX) {
                tokio::task::yield_now().await;
            }
            match pipe.fill_from(self.from(), SPLICE_BYTES_MAX) {
                Ok(0) => return Ok(true),
                Ok(count) => self.read(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err((self.reading_leg(), FaultKind::ConnectionReset)),
            }
            while pipe.held_bytes() > 0 {
                match pipe.drain_to(self.to()) {
                    Ok(count) => self.written(count, RelayPath::Splice),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable().await?,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return Err((self.writing_leg(), FaultKind::ConnectionReset)),
                }
            }
        }
    }

    /// Writes all of `bytes`, waiting for room as often as needed.
    async fn write(&self, mut bytes: &[u8], path: RelayPath) -> Result<(), RelayFault> {
        while !bytes.is_empty() {
            let sent = self.send(bytes, path)?;
            bytes = bytes.get(sent..).unwrap_or_default();
            if !bytes.is_empty() {
                self.wait_writable().await?;
            }
        }
        Ok(())
    }

    /// Writes what there is room for now.
    fn send(&self, bytes: &[u8], path: RelayPath) -> Result<usize, RelayFault> {
        match self.to().try_send(bytes) {
            Ok(count) => {
                self.written(count, path);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(_) => Err((self.writing_leg(), FaultKind::ConnectionReset)),
        }
    }

    async fn wait_readable(&self) -> Result<(), RelayFault> {
        self.flow.control.readable(self.from()).await.map_err(|stop| (self.reading_leg(), stop.kind()))
    }

    async fn wait_writable(&self) -> Result<(), RelayFault> {
        self.flow.control.writable(self.to()).await.map_err(|stop| (self.writing_leg(), stop.kind()))
    }

    fn read(&self, bytes: usize) {
        self.shared.relay.borrow_mut().handle_read(self.direction, bytes, self.flow.control.now_ms());
    }

    fn written(&self, bytes: usize, path: RelayPath) {
        let step = self.shared.relay.borrow_mut().handle_written(self.direction, bytes, self.flow.control.now_ms());
        self.obey(step);
        self.flow.shard.cells.relay_bytes.add((self.direction, path), bytes as u64);
    }

    fn from(&self) -> &Socket {
        self.socket(self.reading_leg())
    }

    fn to(&self) -> &Socket {
        self.socket(self.writing_leg())
    }

    fn socket(&self, leg: Leg) -> &Socket {
        match leg {
            Leg::Downstream => &self.flow.control.downstream,
            Leg::Upstream => self.upstream,
        }
    }

    const fn reading_leg(&self) -> Leg {
        match self.direction {
            Direction::Egress => Leg::Downstream,
            Direction::Ingress => Leg::Upstream,
        }
    }

    const fn writing_leg(&self) -> Leg {
        match self.direction {
            Direction::Egress => Leg::Upstream,
            Direction::Ingress => Leg::Downstream,
        }
    }
}

/// Room for one read while a second ClientHello may come.
const WATCHED_READ_BYTES: usize = 4 * 1024;
/// Copied bytes after which a direction that fills its reads is promoted to `splice(2)`.
const PROMOTE_BYTES: usize = 32 * 1024;
/// Calls of `splice(2)` until the other flows of the shard get their turn.
const TURNS_MAX: usize = 8;
/// Most that one `splice(2)` call moves: the pipe's capacity bounds it anyway.
const SPLICE_BYTES_MAX: usize = limits::LARGE_PIPE_BYTES;
