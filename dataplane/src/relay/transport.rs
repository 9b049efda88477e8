//! One leg's TLS engine on its socket: handshake, flush, receive, close.
//!
//! The engine never sees a socket: it reads and writes through [`Wire`], whose calls are inline and non-blocking.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};

use penstock_core::flow::{FaultKind, Leg};
use smallvec::SmallVec;

use crate::flow::{Flow, Stop};
use crate::ring::Socket;
use crate::tls::Engine;

/// One leg of an inspected flow.
pub(crate) struct Transport<'a> {
    pub(crate) leg: Leg,
    pub(crate) socket: &'a Socket,
    /// Borrowed between awaits, never across one.
    pub(crate) engine: RefCell<Box<dyn Engine>>,
    /// Plaintext that the engine had no room for. Two pumps write to a leg, and neither may overtake the other within a
    /// frame, so what waits here goes first. Each adds the outcome of one read and then waits in [`Self::finish`].
    pending: RefCell<Vec<u8>>,
    /// The last read has taken all that was there.
    is_drained: Cell<bool>,
    /// On the shard's clock, while the peer takes nothing of what is written to it: when that is a stall.
    stalls_at_ms: Cell<Option<u64>>,
}

impl<'a> Transport<'a> {
    pub(crate) fn new(leg: Leg, socket: &'a Socket, engine: Box<dyn Engine>) -> Self {
        Self {
            leg,
            socket,
            engine: RefCell::new(engine),
            pending: RefCell::default(),
            is_drained: Cell::new(false),
            stalls_at_ms: Cell::new(None),
        }
    }

    /// Drives the handshake to its end. `received` is what was read from the socket before.
    pub(crate) async fn handshake(&self, flow: &Flow, mut received: &[u8]) -> Result<(), FaultKind> {
        while !received.is_empty() {
            self.engine.borrow_mut().read_tls(&mut received).map_err(|_malformed| FaultKind::Tls)?;
            self.process(flow).await?;
        }
        loop {
            self.flush(flow).await?;
            if !self.engine.borrow().is_handshaking() {
                return Ok(());
            }
            if !self.receive()? {
                flow.control.readable(self.socket).await.map_err(Stop::kind)?;
                continue;
            }
            self.process(flow).await?;
        }
    }

    /// Reads ciphertext once; `false` when none waits. The end of the stream shows in the engine's next answers. Behind a
    /// read that has emptied the socket the kernel is not asked: the caller waits, and is told of whatever has come since.
    /// (In a handshake one message often follows on the heels of another.)
    pub(crate) fn receive(&self) -> Result<bool, FaultKind> {
        if self.is_drained.take() {
            return Ok(false);
        }
        let mut engine = self.engine.borrow_mut();
        match engine.read_tls(&mut Wire(self)) {
            Ok(0) if engine.is_handshaking() => Err(FaultKind::Closed),
            Ok(_) => {
                self.is_drained.set(self.is_drained.get() && !engine.is_handshaking());
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
            Err(_) => Err(FaultKind::ConnectionReset),
        }
    }

    /// Lets the engine digest what it received; should it refuse, its alert goes out first.
    pub(crate) async fn process(&self, flow: &Flow) -> Result<(), FaultKind> {
        let processed = self.engine.borrow_mut().process();
        if processed.is_err() {
            let _ = self.flush(flow).await;
        }
        processed
    }

    /// Writes all ciphertext that the engine holds.
    pub(crate) async fn flush(&self, flow: &Flow) -> Result<(), FaultKind> {
        loop {
            {
                let mut engine = self.engine.borrow_mut();
                while engine.wants_write() {
                    match engine.write_tls(&mut Wire(self)) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(_) => return Err(FaultKind::ConnectionReset),
                    }
                }
                if !engine.wants_write() {
                    return Ok(());
                }
            }
            self.expect_reader(flow);
            flow.control.writable(self.socket).await.map_err(Stop::kind)?;
            // Only now the peer has read: a send may find room that no reader made, below what the kernel calls writable.
            self.stalls_at_ms.set(None);
        }
    }

    /// The peer has a stall deadline from the moment on when it takes no more, whatever comes from it meanwhile.
    fn expect_reader(&self, flow: &Flow) {
        if self.stalls_at_ms.get().is_none() {
            let stalls_at_ms = flow.control.after(flow.shard.config.deadlines.stall);
            self.stalls_at_ms.set(Some(stalls_at_ms));
            flow.control.set_deadline_at(flow.control.deadline_ms().min(stalls_at_ms));
        }
    }

    /// When the peer's not reading is a stall, while it takes nothing.
    pub(crate) const fn stalls_at_ms(&self) -> Option<u64> {
        self.stalls_at_ms.get()
    }

    /// Encrypts `pieces` as one unit, behind all that was given before; what the engine has no room for waits.
    pub(crate) fn encrypt(&self, pieces: &[&[u8]]) {
        let mut pending = self.pending.borrow_mut();
        let mut taken = 0;
        if pending.is_empty() {
            let slices: SmallVec<[IoSlice<'_>; 32]> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            taken = self.engine.borrow_mut().write_plain(&slices);
        }
        for piece in pieces {
            pending.extend_from_slice(piece.get(taken..).unwrap_or_default());
            taken = taken.saturating_sub(piece.len());
        }
    }

    /// Writes all that [`Self::encrypt`] was given.
    pub(crate) async fn finish(&self, flow: &Flow) -> Result<(), FaultKind> {
        loop {
            self.flush(flow).await?;
            let mut pending = self.pending.borrow_mut();
            if pending.is_empty() {
                return Ok(());
            }
            let taken = self.engine.borrow_mut().write_plain(&[IoSlice::new(&pending)]);
            if taken == 0 {
                return Err(FaultKind::Closed);
            }
            pending.drain(..taken);
            if pending.is_empty() {
                *pending = Vec::new();
            }
        }
    }

    /// Says `close_notify` behind all that waits, and ends the writing side.
    pub(crate) async fn close(&self, flow: &Flow) {
        let _ = self.finish(flow).await;
        self.engine.borrow_mut().send_close_notify();
        let _ = self.flush(flow).await;
        self.socket.shutdown_write();
    }
}

/// A leg's socket as `Read` and `Write`, non-blocking.
struct Wire<'a, 'b>(&'a Transport<'b>);

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.socket.try_recv(buffer)?;
        self.0.is_drained.set((1..buffer.len()).contains(&count));
        Ok(count)
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.socket.try_send(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.socket.try_send_pieces(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
