//! Keeps the name of a passed flow from changing after it was decided on: a HelloRetryRequest makes the client send its
//! ClientHello again, and the origin goes by the second one (RFC 8446 section 4.1.2 wants the same name in it).
//!
//! Watches both directions as they are relayed, without keys and without keeping what may go on. Until the server has
//! answered, nothing of the client that begins a second hello is let through, since a client that knows that it will be
//! asked for one can send it ahead. Early data, ChangeCipherSpec and alerts are.
//!
//! ```text
//!            server: other            Open: everything goes on, nothing is looked at
//!   Waiting ───────────────▶
//!      │     server: retry            second hello whole, same name
//!      └───────────────────▶ Retry ──────────────────────────────▶ Open
//!                                └──▶ another name, or no hello: the flow ends
//! ```

use super::client_hello::ClientHelloReader;
use super::record::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, HEADER_BYTES, RecordHeader};
use super::server_hello::{ServerFirst, ServerHelloReader};
use crate::bytes::{Parsed, Reader};
use crate::sni::Sni;

/// See the module.
#[derive(Clone, Debug)]
pub struct RetryWatch {
    state: State,
    /// The name in the first hello.
    name: Option<Sni>,
    server: ServerHelloReader,
    /// The second hello, from its first record on.
    hello: ClientHelloReader,
    /// Payload of the record that is on its way.
    passing_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Retry,
    Waiting,
}

/// How much of the client's bytes may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// So many from the front.
    pub bytes: usize,
    /// What the rest waits for; present it again then, with what has come since. `None` when nothing is left.
    pub wait: Option<Wait>,
}

/// What must come before more of the client's bytes can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// More of the client.
    Client,
    /// The server's first message.
    Server,
}

/// The second hello names another host, or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameChanged;

impl RetryWatch {
    /// Watches a flow whose first hello, read whole, gave `name`.
    pub const fn new(name: Option<Sni>) -> Self {
        Self {
            state: State::Waiting,
            name,
            server: ServerHelloReader::new(),
            hello: ClientHelloReader::new(),
            passing_bytes: 0,
        }
    }

    /// Whether nothing needs to be looked at any more.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the server's answer is known, so that its bytes need not be looked at any more.
    pub fn is_settled(&self) -> bool {
        self.state != State::Waiting
    }

    /// The server sent `bytes`. Answers whether the client's bytes may be judged anew.
    pub fn handle_ingress(&mut self, bytes: &[u8]) -> bool {
        if self.state != State::Waiting {
            return false;
        }
        self.state = match self.server.handle_bytes(bytes) {
            Some(ServerFirst::Other) => State::Open,
            Some(ServerFirst::Retry) => State::Retry,
            None => return false,
        };
        true
    }

    /// The server will send no more.
    pub fn handle_ingress_end(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Open;
        }
    }

    /// Judges `bytes`: all that the client sent behind its first hello and that has not gone on.
    ///
    /// # Errors
    ///
    /// The flow must end, and none of `bytes` may go on.
    pub fn handle_egress(&mut self, bytes: &[u8]) -> Result<Allowed, NameChanged> {
        let mut allowed = 0;
        loop {
            let rest = bytes.get(allowed..).unwrap_or_default();
            if self.state == State::Open {
                return Ok(Allowed { bytes: bytes.len(), wait: None });
            }
            let passing = self.passing_bytes.min(rest.len());
            self.passing_bytes -= passing;
            allowed += passing;
            let rest = rest.get(passing..).unwrap_or_default();
            let Some(&content_type) = rest.first() else {
                return Ok(Allowed { bytes: allowed, wait: None });
            };
            match (content_type, RecordHeader::read(&mut Reader::new(rest))) {
                (HANDSHAKE, _) if self.state == State::Waiting => {
                    return Ok(Allowed { bytes: allowed, wait: Some(Wait::Server) });
                }
                (HANDSHAKE, _) => match self.judge(rest)? {
                    Some(wait) => return Ok(Allowed { bytes: allowed, wait: Some(wait) }),
                    None => self.state = State::Open,
                },
                (CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA, Some(record)) => {
                    allowed += HEADER_BYTES;
                    self.passing_bytes = record.payload_bytes;
                }
                (CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA, None) => {
                    return Ok(Allowed { bytes: allowed, wait: Some(Wait::Client) });
                }
                // No record of TLS: a server takes no hello behind it (RFC 8446 section 5.1).
                _ => self.state = State::Open,
            }
        }
    }

    /// Reads the second hello at the front of `hello`; `None` when it is whole and names the same host.
    fn judge(&mut self, hello: &[u8]) -> Result<Option<Wait>, NameChanged> {
        match self.hello.handle_bytes(hello) {
            Parsed::Complete { value, .. } if value.sni == self.name => Ok(None),
            Parsed::Incomplete { .. } => Ok(Some(Wait::Client)),
            Parsed::Complete { .. } | Parsed::Reject(_) => Err(NameChanged),
        }
    }
}

/// Type of a record that carries encrypted bytes.
const APPLICATION_DATA: u8 = 23;
