//! A rustls connection by its unbuffered interface: ciphertext and plaintext are in buffers of ours, which an idle
//! connection does without. (The buffered interface keeps 4 KiB a connection for ever.)

use std::io;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error};

use super::plaintext::Plaintext;

/// A connection of either side.
pub(super) enum Unbuffered {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Ciphertext of one connection, both ways.
#[derive(Debug, Default)]
pub(super) struct Ciphertext {
    /// Received and not digested: less than a record, or a handshake message that is not whole yet.
    pub(super) ingress: Vec<u8>,
    egress: Vec<u8>,
    /// Bytes of `egress` that were sent.
    sent: usize,
}

/// What is to be said once the connection is at rest.
pub(super) enum Saying<'a> {
    Nothing,
    Data(&'a [u8]),
    CloseNotify,
}

/// How far [`Unbuffered::advance`] came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The peer has ended its direction, now.
    pub(super) is_closed: bool,
    /// What was to be said is encrypted.
    pub(super) is_said: bool,
}

impl Unbuffered {
    /// Digests what came, to the end of it, answers what is to be answered, and then says `saying`, if it may.
    pub(super) fn advance(
        &mut self,
        ciphertext: &mut Ciphertext,
        plaintext: &mut Plaintext,
        saying: &Saying<'_>,
    ) -> Result<Progress, Error> {
        match self {
            Self::Client(connection) => advance(&mut **connection, ciphertext, plaintext, saying),
            Self::Server(connection) => advance(&mut **connection, ciphertext, plaintext, saying),
        }
    }

    pub(super) fn state(&self) -> &CommonState {
        match self {
            Self::Client(connection) => connection.state(),
            Self::Server(connection) => connection.state(),
        }
    }
}

/// The same call on either side.
trait Records {
    type Data;
    fn process<'c, 'i>(&'c mut self, ingress: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn state(&self) -> &CommonState;
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, ingress: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(ingress)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, ingress: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(ingress)
    }

    fn state(&self) -> &CommonState {
        self
    }
}

fn advance(
    connection: &mut impl Records,
    ciphertext: &mut Ciphertext,
    plaintext: &mut Plaintext,
    saying: &Saying<'_>,
) -> Result<Progress, Error> {
    let Ciphertext { ingress, egress, .. } = ciphertext;
    let mut progress = Progress::default();
    let mut used = 0;
    let outcome = loop {
        let UnbufferedStatus { mut discard, state, .. } =
            connection.process(ingress.get_mut(used..).unwrap_or_default());
        let is_at_rest = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let Ok(record) = record else { break };
                    discard += record.discard;
                    plaintext.bytes().extend_from_slice(record.payload);
                }
                false
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, egress);
                false
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                false
            }
            Ok(ConnectionState::PeerClosed) => {
                progress.is_closed = true;
                false
            }
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                progress.is_said = say(&mut traffic, saying, egress);
                true
            }
            // The handshake waits for more; or both sides have ended. Early data is not offered.
            Ok(_) => true,
            Err(error) => {
                used += discard;
                tell(connection, egress);
                break Err(error);
            }
        };
        used += discard;
        if is_at_rest {
            break Ok(progress);
        }
    };
    match used {
        // Nothing counts behind the end.
        _ if progress.is_closed || used >= ingress.len() => *ingress = Vec::new(),
        0 => {}
        _ => drop(ingress.drain(..used)),
    }
    outcome
}

/// The alert that tells the peer of a fault. What else came is not looked at: rustls would find the fault again.
fn tell(connection: &mut impl Records, egress: &mut Vec<u8>) {
    while connection.state().wants_write()
        && let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process(&mut []).state
    {
        encode(&mut data, egress);
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, egress: &mut Vec<u8>) {
    // It tells what it needs.
    grown(egress, 0, |room| match data.encode(room) {
        Ok(count) => Ok(count),
        Err(EncodeError::InsufficientSize(needed)) => Err(Some(needed)),
        Err(EncodeError::AlreadyEncoded) => Err(None),
    });
}

fn say<Data>(traffic: &mut WriteTraffic<'_, Data>, saying: &Saying<'_>, egress: &mut Vec<u8>) -> bool {
    let needed = |error| match error {
        EncryptError::InsufficientSize(needed) => Some(needed),
        EncryptError::EncryptExhausted => None,
    };
    match saying {
        Saying::Nothing => true,
        Saying::Data(bytes) => {
            let room = bytes.len() + (bytes.len() / RECORD_BYTES + 1) * RECORD_OVERHEAD_BYTES;
            grown(egress, room, |room| traffic.encrypt(bytes, room).map_err(needed))
        }
        Saying::CloseNotify => {
            grown(egress, RECORD_OVERHEAD_BYTES, |room| traffic.queue_close_notify(room).map_err(needed))
        }
    }
}

/// Has `write` write behind what is in `egress`, into `room` bytes or as many as it asks for; whether it did.
fn grown(
    egress: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> bool {
    let before = egress.len();
    loop {
        egress.resize(before + room, 0);
        match write(egress.get_mut(before..).unwrap_or_default()) {
            Ok(count) => {
                egress.truncate(before + count);
                return true;
            }
            Err(Some(InsufficientSizeError { required_size, .. })) if required_size > room => room = required_size,
            Err(_) => {
                egress.truncate(before);
                return false;
            }
        }
    }
}

impl Ciphertext {
    /// Bytes that wait to be sent.
    pub(super) const fn unsent(&self) -> usize {
        self.egress.len() - self.sent
    }

    /// Gives ciphertext to `sink`; errors are the sink's own.
    pub(super) fn drain(&mut self, sink: &mut dyn io::Write) -> io::Result<usize> {
        let count = sink.write(self.egress.get(self.sent..).unwrap_or_default())?;
        self.sent = (self.sent + count).min(self.egress.len());
        if self.unsent() == 0 {
            (self.egress, self.sent) = (Vec::new(), 0);
        }
        Ok(count)
    }
}

/// Plaintext of a record (RFC 8446 section 5.1).
const RECORD_BYTES: usize = penstock_core::limits::TLS_RECORD_BYTES_MAX;
/// What a record is longer than its plaintext: header, explicit nonce (RFC 5288), tag, content type. An alert fits too.
const RECORD_OVERHEAD_BYTES: usize = 32;
