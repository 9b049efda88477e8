//! One end of a flow: writes and reads as its script says, and says how its connection ended.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::ring::chaos::{self, Dice};

/// What a peer does.
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    /// Of `bytes`, how many go out before so many were received.
    pub(super) gate: (usize, usize),
    pub(super) fate: Fate,
    /// Ends its side as soon as all is written, else when the other side has ended.
    pub(super) ends_first: bool,
}

/// What becomes of a peer; the numbers count bytes that it wrote and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Finish,
    Reset(usize),
    Stall(usize),
}

/// What a peer saw.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) received: Vec<u8>,
    pub(super) written: usize,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other side ended; so did this.
    Eof,
    Reset,
    /// This peer's own script reset the connection.
    Own,
}

/// Plays `script` on `stream`; `over` says that the flow is gone, so that a stalled peer looks at what is left.
pub(super) async fn play(stream: TcpStream, script: Script, mut dice: Dice, over: Rc<Cell<bool>>) -> Outcome {
    let (mut received, mut written, mut fate) = (Vec::new(), 0, script.fate);
    let (mut eof, mut shut, mut broken, mut reset) = (false, false, false, false);
    loop {
        let done = written + received.len();
        match fate {
            Fate::Reset(at) if done >= at => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return Outcome { received, written, end: End::Own };
            }
            Fate::Stall(at) if done >= at => {
                while !over.get() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (fate, broken) = (Fate::Finish, true);
            }
            _ => {}
        }
        let mut moved = false;
        let limit = if received.len() >= script.gate.1 { script.bytes.len() } else { script.gate.0 };
        if !broken && written < limit && dice.percent(70) {
            let most = if dice.percent(40) { 16 } else { 64 * 1024 };
            let end = limit.min(written + 1 + dice.below(most));
            match stream.try_write(&script.bytes[written..end]) {
                Ok(count) => (written, moved) = (written + count, true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Linux tells of a reset once, to whoever asks first.
                Err(error) => {
                    (broken, moved) = (true, true);
                    reset = error.kind() == ErrorKind::ConnectionReset;
                }
            }
        }
        if !eof && dice.percent(70) {
            let most = if dice.percent(30) { 16 } else { 64 * 1024 };
            let mut buffer = vec![0; 1 + dice.below(most)];
            match stream.try_read(&mut buffer) {
                Ok(count) => {
                    (eof, moved) = (count == 0, true);
                    received.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Outcome { received, written, end: End::Reset },
            }
        }
        if !shut && (broken || written == script.bytes.len()) && (script.ends_first || eof || broken) {
            let _ = SockRef::from(&stream).shutdown(std::net::Shutdown::Write);
            shut = true;
        }
        if eof && (shut || written == limit) {
            return Outcome { received, written, end: if reset { End::Reset } else { End::Eof } };
        }
        if moved {
            chaos::note_move();
            tokio::task::yield_now().await;
        } else {
            wait(&stream, eof, !broken && written < limit).await;
        }
    }
}

pub(super) async fn wait(stream: &TcpStream, eof: bool, writes: bool) {
    let span = Duration::from_millis(2);
    let interest = match (eof, writes) {
        (true, false) => return tokio::time::sleep(span).await,
        (true, true) => Interest::WRITABLE,
        (false, false) => Interest::READABLE,
        (false, true) => Interest::READABLE | Interest::WRITABLE,
    };
    let _ = tokio::time::timeout(span, stream.ready(interest)).await;
}
