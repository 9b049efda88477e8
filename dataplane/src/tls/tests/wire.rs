//! Two ends in memory, with a wire between that delivers as many bytes at a time as a test wants.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use penstock_core::flow::FaultKind;
use rustls::Connection;

use crate::tls::engine::{Engine, PlainRead};

/// Bytes under way; reading gives at most `step` at once and then would block.
pub(super) struct Wire {
    pub(super) bytes: VecDeque<u8>,
    step: usize,
}

impl Wire {
    pub(super) fn new(step: usize) -> Self {
        Self { bytes: VecDeque::new(), step }
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = out.len().min(self.step).min(self.bytes.len());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for place in &mut out[..count] {
            *place = self.bytes.pop_front().expect("counted");
        }
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One of our legs and its peer.
pub(super) struct Pair {
    pub(super) ours: Box<dyn Engine>,
    pub(super) peer: Connection,
    pub(super) to_ours: Wire,
    pub(super) to_peer: Wire,
    /// All that the peer decrypted.
    pub(super) at_peer: Vec<u8>,
    /// All that we decrypted.
    pub(super) at_ours: Vec<u8>,
    /// What the peer made of us.
    pub(super) peer_error: Option<rustls::Error>,
    /// How our leg ended, when it did.
    pub(super) end: Option<PlainRead>,
}

impl Pair {
    pub(super) fn new(ours: Box<dyn Engine>, peer: impl Into<Connection>, step: usize) -> Self {
        Self {
            ours,
            peer: peer.into(),
            to_ours: Wire::new(step),
            to_peer: Wire::new(step),
            at_peer: Vec::new(),
            at_ours: Vec::new(),
            peer_error: None,
            end: None,
        }
    }

    /// Turns until nothing moves any more.
    pub(super) fn run(&mut self) -> Result<(), FaultKind> {
        let mut outcome = Ok(());
        loop {
            let mut moved = false;
            while self.ours.wants_write() {
                moved |= self.ours.write_tls(&mut self.to_peer).expect("memory") > 0;
            }
            moved |= self.turn_peer();
            if outcome.is_ok() {
                match self.turn_ours() {
                    Ok(progress) => moved |= progress,
                    Err(fault) => {
                        outcome = Err(fault);
                        moved = true;
                    }
                }
            }
            if !moved {
                return outcome;
            }
        }
    }

    /// Runs, sends `egress` to the peer and `ingress` to us meanwhile, and runs to the end.
    pub(super) fn exchange(&mut self, to_peer: &[u8], to_ours: &[u8]) -> Result<(), FaultKind> {
        self.run()?;
        let (mut to_peer, mut to_ours) = (to_peer, to_ours);
        while !to_peer.is_empty() || !to_ours.is_empty() {
            let taken = self.ours.write_plain(&[io::IoSlice::new(to_peer)]);
            to_peer = &to_peer[taken..];
            let given = self.peer.writer().write(to_ours).expect("memory");
            to_ours = &to_ours[given..];
            self.run()?;
        }
        Ok(())
    }

    fn turn_ours(&mut self) -> Result<bool, FaultKind> {
        let mut moved = false;
        while !self.to_ours.bytes.is_empty() {
            match self.ours.read_tls(&mut self.to_ours) {
                Ok(_) => moved = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("read_tls: {error}"),
            }
            self.ours.process()?;
            self.take_plain();
        }
        self.take_plain();
        Ok(moved)
    }

    pub(super) fn take_plain(&mut self) {
        let mut out = [0; 5000];
        loop {
            match self.ours.read_plain(&mut out) {
                PlainRead::Bytes(count) => self.at_ours.extend(&out[..count]),
                PlainRead::WouldBlock => return,
                end => {
                    self.end = Some(end);
                    return;
                }
            }
        }
    }

    fn turn_peer(&mut self) -> bool {
        let mut moved = false;
        while !self.to_peer.bytes.is_empty() && self.peer_error.is_none() {
            let Ok(count) = self.peer.read_tls(&mut self.to_peer) else { break };
            moved |= count > 0;
            if let Err(error) = self.peer.process_new_packets() {
                self.peer_error = Some(error);
            }
            let mut out = Vec::new();
            match self.peer.reader().read_to_end(&mut out) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            self.at_peer.extend(out);
        }
        while self.peer.wants_write() {
            moved |= self.peer.write_tls(&mut self.to_ours).expect("memory") > 0;
        }
        moved
    }
}
