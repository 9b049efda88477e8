//! One end of an inspected flow: TLS by rustls over a socket, plaintext as its speech says, and a fate that strikes after so
//! many bytes on the wire.

use std::cell::Cell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use rustls::Connection;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::super::peer::{self, End};
use crate::ring::chaos::{self, Dice};

/// What a peer says within TLS, and hears.
pub(super) trait Speech {
    fn hear(&mut self, bytes: &[u8]);
    /// The next words; `None` while there are none.
    fn say(&mut self) -> Option<Vec<u8>>;
    /// Nothing more will be said.
    fn is_over(&self) -> bool;
    /// The end of what is said is told as one.
    fn says_goodbye(&self) -> bool {
        true
    }
}

/// What becomes of a peer; the numbers count bytes that it wrote and read, TLS and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Ends the stream without `close_notify`.
    Cut(usize),
    Finish,
    Reset(usize),
    Stall(usize),
}

/// What comes before TLS.
pub(super) enum Prelude {
    None,
    /// To be answered before the ClientHello goes out.
    Patient(Vec<u8>),
    /// The ClientHello comes right behind.
    Eager(Vec<u8>),
}

/// What a peer saw.
pub(super) struct Outcome<S> {
    pub(super) speech: S,
    pub(super) end: End,
    /// `close_notify` came.
    pub(super) clean: bool,
    pub(super) handshaken: bool,
    /// What came before TLS.
    pub(super) prelude: Vec<u8>,
}

pub(super) struct Peer<S> {
    stream: TcpStream,
    tls: Connection,
    speech: S,
    fate: Fate,
    /// What TLS has to wait for: the answer to the request for a tunnel.
    is_asking: bool,
    is_eager: bool,
    prelude: Vec<u8>,
    out: Vec<u8>,
    wire_bytes: usize,
    clean: bool,
    eof: bool,
    said_close: bool,
    shut: bool,
    broken: bool,
    reset: bool,
}

impl<S: Speech> Peer<S> {
    pub(super) fn new(stream: TcpStream, mut tls: Connection, prelude: Prelude, speech: S, fate: Fate) -> Self {
        tls.set_buffer_limit(None);
        let (is_asking, is_eager, out) = match prelude {
            Prelude::None => (false, true, Vec::new()),
            Prelude::Patient(out) => (true, false, out),
            Prelude::Eager(out) => (true, true, out),
        };
        Self {
            stream,
            tls,
            speech,
            fate,
            is_asking,
            is_eager,
            prelude: Vec::new(),
            out,
            wire_bytes: 0,
            clean: false,
            eof: false,
            said_close: false,
            shut: false,
            broken: false,
            reset: false,
        }
    }

    /// Plays to the end; `over` says that the flow is gone, so that a stalled peer looks at what is left.
    pub(super) async fn play(mut self, mut dice: Dice, over: Rc<Cell<bool>>) -> Outcome<S> {
        loop {
            if let Some(end) = self.suffer(&over).await {
                return self.outcome(end);
            }
            self.speak();
            let mut moved = false;
            if !self.out.is_empty() && dice.percent(70) {
                moved |= self.write(&mut dice);
            }
            if !self.eof && dice.percent(70) {
                match self.read(&mut dice) {
                    Ok(any) => moved |= any,
                    Err(()) => return self.outcome(End::Reset),
                }
            }
            if self.said_close && self.out.is_empty() && !self.shut {
                let _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
                (self.shut, moved) = (true, true);
            }
            if self.eof && self.shut {
                let end = if self.reset { End::Reset } else { End::Eof };
                return self.outcome(end);
            }
            if moved {
                chaos::note_move();
                tokio::task::yield_now().await;
            } else {
                peer::wait(&self.stream, self.eof, !self.out.is_empty()).await;
            }
        }
    }

    /// What fate has in store by now; how the connection ended should that be its end.
    async fn suffer(&mut self, over: &Rc<Cell<bool>>) -> Option<End> {
        match self.fate {
            Fate::Reset(at) if self.wire_bytes >= at => {
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return Some(End::Own);
            }
            Fate::Cut(at) if self.wire_bytes >= at => self.fall_silent(),
            Fate::Stall(at) if self.wire_bytes >= at => {
                while !over.get() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                self.fall_silent();
            }
            _ => {}
        }
        None
    }

    /// Says nothing more, not even goodbye.
    fn fall_silent(&mut self) {
        self.fate = Fate::Finish;
        self.broken = true;
        self.said_close = true;
        self.out.clear();
    }

    /// Encrypts what there is to say, a little at a time.
    fn speak(&mut self) {
        if self.broken || (self.is_asking && !self.is_eager) || self.out.len() > OUT_BYTES {
            return;
        }
        if !self.said_close && !self.tls.is_handshaking() {
            if let Some(words) = self.speech.say() {
                self.tls.writer().write_all(&words).expect("no limit");
            }
            if self.speech.is_over() {
                self.say_close();
            }
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.out).expect("a vector");
        }
    }

    fn say_close(&mut self) {
        if !self.said_close {
            self.said_close = true;
            if self.speech.says_goodbye() {
                self.tls.send_close_notify();
            }
        }
    }

    fn write(&mut self, dice: &mut Dice) -> bool {
        let most = if dice.percent(20) { 16 } else { 64 * 1024 };
        let end = self.out.len().min(1 + dice.below(most));
        match self.stream.try_write(&self.out[..end]) {
            Ok(count) => {
                self.wire_bytes += count;
                self.out.drain(..count);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            // Linux tells of a reset once, to whoever asks first.
            Err(error) => {
                self.fall_silent();
                self.reset = error.kind() == ErrorKind::ConnectionReset;
                true
            }
        }
    }

    fn read(&mut self, dice: &mut Dice) -> Result<bool, ()> {
        let most = if dice.percent(15) { 16 } else { 64 * 1024 };
        let mut buffer = vec![0; 1 + dice.below(most)];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => {
                self.eof = true;
                self.say_close();
                Ok(true)
            }
            Ok(count) => {
                self.wire_bytes += count;
                self.digest(&buffer[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(()),
        }
    }

    fn digest(&mut self, mut bytes: &[u8]) {
        while self.is_asking {
            let [first, rest @ ..] = bytes else { return };
            self.prelude.push(*first);
            bytes = rest;
            self.is_asking = !self.prelude.ends_with(b"\r\n\r\n");
        }
        while !bytes.is_empty() && !self.clean {
            self.tls.read_tls(&mut bytes).expect("a slice");
            if self.tls.process_new_packets().is_err() {
                // The alert goes out, and then the end.
                self.said_close = true;
                return;
            }
            let mut plain = Vec::new();
            match self.tls.reader().read_to_end(&mut plain) {
                Ok(_) => self.clean = true,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            self.speech.hear(&plain);
        }
    }

    fn outcome(self, end: End) -> Outcome<S> {
        let handshaken = !self.tls.is_handshaking();
        Outcome { speech: self.speech, end, clean: self.clean, handshaken, prelude: self.prelude }
    }
}

/// What waits to be written, at most, before more is said.
const OUT_BYTES: usize = 32 * 1024;
