//! Any request to the explicit proxy's listener: which kind it is, and its head.
//!
//! Owns the telling apart; the kinds are read by `connect` and `plain`. The outcome never depends on how the bytes were
//! cut into reads.

use alloc::boxed::Box;

use super::connect::{ConnectHead, ConnectOrOwn, ConnectReader, ConnectReject, OwnHead};
use super::plain::{PlainHead, PlainReader};
use crate::bytes::Parsed;
use crate::http1::EditFault;
use crate::http1::syntax::{RequestLine, check_method_begun, line_feed};
use crate::limits::HTTP1_HEAD_BYTES_MAX;

/// A request to the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyRequest {
    /// For a tunnel.
    Connect(ConnectHead),
    /// To the listener itself.
    Own(OwnHead),
    /// For an origin that is reached in the clear.
    Plain(PlainHead),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyReject {
    /// As a CONNECT, or as no request at all.
    Connect(ConnectReject),
    /// As a request for plain HTTP.
    Plain(EditFault),
}

/// Reads the head of one request.
#[derive(Debug, Default)]
pub struct RequestReader {
    stage: Stage,
    searched: usize,
    /// An empty line before the request, which some clients end a body with, is let pass once (RFC 9112 section 2.2).
    skipped_bytes: usize,
    rejected: Option<ProxyReject>,
}

#[derive(Debug, Default)]
enum Stage {
    /// The first line is not whole.
    #[default]
    Line,
    Connect(ConnectReader),
    Plain(Box<PlainReader>),
}

impl ProxyReject {
    /// The status that tells the client.
    pub const fn status(self) -> u16 {
        match self {
            Self::Connect(reject) => reject.status(),
            Self::Plain(fault) => fault.status(),
        }
    }

    /// The word for it in answers and audit.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect(reject) => reject.label(),
            Self::Plain(fault) => fault.label(),
        }
    }
}

impl RequestReader {
    /// A reader for one request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on reading; `input` is all that has come and belongs to no earlier request. `consumed` is what is done with: the
    /// whole head of a CONNECT and of a request to the listener, but only the empty line before a request for plain HTTP.
    pub fn parse(&mut self, input: &[u8]) -> Parsed<ProxyRequest, ProxyReject> {
        if let Some(reject) = self.rejected {
            return Parsed::Reject(reject);
        }
        if self.skipped_bytes == 0 && matches!(self.stage, Stage::Line) {
            match input {
                [b'\r'] => return Parsed::Incomplete { more_bytes_min: 1 },
                [b'\r', b'\n', ..] => self.skipped_bytes = EMPTY_LINE_BYTES,
                _ => {}
            }
        }
        match self.read(input.get(self.skipped_bytes..).unwrap_or_default()) {
            Ok(Some((value, consumed))) => Parsed::Complete { value, consumed: self.skipped_bytes + consumed },
            Ok(None) => Parsed::Incomplete { more_bytes_min: 1 },
            Err(reject) => {
                self.rejected = Some(reject);
                Parsed::Reject(reject)
            }
        }
    }

    fn read(&mut self, input: &[u8]) -> Result<Option<(ProxyRequest, usize)>, ProxyReject> {
        if matches!(self.stage, Stage::Line) {
            self.read_line(input)?;
        }
        match &mut self.stage {
            Stage::Line => Ok(None),
            Stage::Connect(reader) => match reader.parse_any(input) {
                Parsed::Complete { value: ConnectOrOwn::Connect(head), consumed } => {
                    Ok(Some((ProxyRequest::Connect(head), consumed)))
                }
                Parsed::Complete { value: ConnectOrOwn::Own(head), consumed } => {
                    Ok(Some((ProxyRequest::Own(head), consumed)))
                }
                Parsed::Incomplete { .. } => Ok(None),
                Parsed::Reject(reject) => Err(ProxyReject::Connect(reject)),
            },
            Stage::Plain(reader) => {
                let head = reader.read(input).map_err(ProxyReject::Plain)?;
                Ok(head.map(|head| (ProxyRequest::Plain(head), 0)))
            }
        }
    }

    /// Finds out the kind, as soon as it is sure.
    fn read_line(&mut self, input: &[u8]) -> Result<(), ProxyReject> {
        // CONNECT has bounds of its own, which hold before the first line is whole.
        if input.starts_with(CONNECT) {
            self.stage = Stage::Connect(ConnectReader::new());
            return Ok(());
        }
        let end = line_feed(input, 0, &mut self.searched);
        let line = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        check_method_begun(line).map_err(|_| ProxyReject::Connect(ConnectReject::NotHttp))?;
        if line.len() > HTTP1_HEAD_BYTES_MAX {
            return Err(ProxyReject::Plain(EditFault::HeadTooLong));
        }
        if end.is_none() {
            return Ok(());
        }
        let read = RequestLine::read(line).map_err(|fault| match fault {
            EditFault::Http2Preface => ProxyReject::Connect(ConnectReject::NotHttp),
            fault => ProxyReject::Plain(fault),
        })?;
        self.stage = match PlainReader::begin(&read) {
            Some(reader) => Stage::Plain(Box::new(reader.map_err(ProxyReject::Plain)?)),
            None => Stage::Connect(ConnectReader::new()),
        };
        Ok(())
    }
}

const CONNECT: &[u8] = b"CONNECT ";
const EMPTY_LINE_BYTES: usize = 2;
