//! Finds the ClientHello in the first bytes of a connection, however they are cut.
//!
//! Segments end anywhere; records may hold as little as one byte of the message, so that its own header may be split too
//! (RFC 8446 section 5.1). Does not own what the message says (`hello`), deadlines or buffers (the data plane).
//!
//! ```text
//! input:   | stray record | hdr | 01 00 | hdr | 02 0a 03 03 ... | hdr | ... last byte | what follows |
//!                         ^hello_start    ^scanned: records before it are never looked at again
//! message:                      | 01 00          02 0a 03 03 ...        ... last byte |
//! ```

use alloc::vec::Vec;

use super::hello::ClientHello;
use super::reject::HelloReject;
use crate::bytes::{Parsed, Reader};
use crate::limits::{
    CLIENT_HELLO_BYTES_MAX, CLIENT_HELLO_INPUT_BYTES_MAX, HELLO_STRAY_RECORDS_MAX, TLS_RECORD_BYTES_MAX,
};
use crate::tls::record::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, HEADER_BYTES, RecordHeader};

/// Reads the ClientHello of one connection. Holds no bytes until a hello that spans records is whole.
#[derive(Clone, Debug, Default)]
pub struct ClientHelloReader {
    /// Offset of the first record that has not been passed.
    scanned: usize,
    /// Offset of the record that holds the message's first byte; meaningless while `message` is empty.
    hello_start: usize,
    /// What the records before `scanned` held of the message.
    message: Progress,
    /// Records before `scanned` that held nothing of the message.
    stray_records: usize,
    /// The message, when it spans records and is whole.
    joined: Vec<u8>,
}

/// How far a handshake message has been seen.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Bytes seen, header included.
    bytes: usize,
    /// The first of them: type and 24-bit length (RFC 8446 section 4).
    header: [u8; MESSAGE_HEADER_BYTES],
}

/// Where the next record leaves the scan.
enum Step {
    /// It is passed; the next one begins where it ends.
    Passed,
    /// It holds the message's last byte and ends at this offset.
    HelloEnds(usize),
    /// It needs this many bytes more, at the least.
    Wait(usize),
}

const MESSAGE_HEADER_BYTES: usize = 4;
const CLIENT_HELLO: u8 = 1;
/// The first byte of a two-byte SSL 2.0 record header has this bit, no TLS content type has it.
const SSL_V2_BIT: u8 = 0x80;
const SSL_V2_CLIENT_HELLO: u8 = 1;

impl ClientHelloReader {
    /// A reader for a new connection.
    pub const fn new() -> Self {
        Self {
            scanned: 0,
            hello_start: 0,
            message: Progress { bytes: 0, header: [0; MESSAGE_HEADER_BYTES] },
            stray_records: 0,
            joined: Vec::new(),
        }
    }

    /// Looks at `input`, all bytes received since the connection began: each call presents the bytes of the one before and
    /// more. The calls together do work in proportion to the bytes, not to the calls.
    ///
    /// Once complete, `consumed` is the end of the record with the hello's last byte; what follows it is the connection's.
    /// A complete answer or a refusal stays the same whatever is added.
    pub fn handle_bytes<'a>(&'a mut self, input: &'a [u8]) -> Parsed<ClientHello<'a>, HelloReject> {
        loop {
            match self.handle_record(input) {
                Ok(Step::Passed) => {}
                Ok(Step::Wait(more_bytes_min)) => return Parsed::Incomplete { more_bytes_min },
                Ok(Step::HelloEnds(consumed)) => {
                    return match ClientHello::parse(self.message_body(input, consumed)) {
                        Ok(value) => Parsed::Complete { value, consumed },
                        Err(reject) => Parsed::Reject(reject),
                    };
                }
                Err(reject) => return Parsed::Reject(reject),
            }
        }
    }

    fn handle_record(&mut self, input: &[u8]) -> Result<Step, HelloReject> {
        let mut reader = Reader::new(input.get(self.scanned..).unwrap_or_default());
        if let Some(missing) = self.check_record_start(reader.rest())? {
            return Ok(Step::Wait(missing));
        }
        let Some(record) = RecordHeader::read(&mut reader) else {
            return Ok(Step::Wait(HEADER_BYTES - reader.len()));
        };
        let end = self.scanned + HEADER_BYTES + record.payload_bytes;
        if record.payload_bytes > TLS_RECORD_BYTES_MAX {
            return Err(HelloReject::RecordTooLong);
        }
        if end > CLIENT_HELLO_INPUT_BYTES_MAX {
            return Err(HelloReject::TooLong);
        }
        let available = reader.take(record.payload_bytes.min(reader.len())).unwrap_or_default();
        if record.content_type == HANDSHAKE && record.payload_bytes > 0 {
            self.handle_fragment(record.payload_bytes, available, end)
        } else {
            self.handle_stray(record, available, end)
        }
    }

    /// Judges the first two bytes of a record as soon as they are there, so that another protocol is known by its first byte:
    /// its client may be waiting for an answer. Gives how many bytes are missing for that.
    fn check_record_start(&self, start: &[u8]) -> Result<Option<usize>, HelloReject> {
        let mut reader = Reader::new(start);
        let Some(content_type) = reader.u8() else {
            return Ok(Some(1));
        };
        let is_first = self.scanned == 0;
        match content_type {
            HANDSHAKE => {}
            ALERT | CHANGE_CIPHER_SPEC if self.message.bytes > 0 => return Err(HelloReject::InterleavedRecord),
            ALERT | CHANGE_CIPHER_SPEC => {}
            first if is_first && first & SSL_V2_BIT != 0 => {
                // | 0x80 + high length | low length | message type | (RFC 5246 appendix E.2)
                return match start.get(2) {
                    None => Ok(Some(3 - start.len())),
                    Some(&SSL_V2_CLIENT_HELLO) => Err(HelloReject::SslV2),
                    Some(_) => Err(HelloReject::NotTls),
                };
            }
            first if is_first && !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&first) => return Err(HelloReject::NotTls),
            _ => return Err(HelloReject::MalformedRecord),
        }
        match reader.u8() {
            None => Ok(Some(1)),
            Some(VERSION_MAJOR) => Ok(None),
            Some(_) => Err(HelloReject::MalformedRecord),
        }
    }

    /// A record that holds bytes of the message; `available` is what has arrived of its payload.
    fn handle_fragment(&mut self, payload_bytes: usize, available: &[u8], end: usize) -> Result<Step, HelloReject> {
        let message = self.message.with(available);
        let missing = payload_bytes - available.len();
        if message.bytes > 0 && message.header.first() != Some(&CLIENT_HELLO) {
            return Err(HelloReject::NotClientHello);
        }
        let header_missing = MESSAGE_HEADER_BYTES.saturating_sub(message.bytes);
        let mut wait = if message.bytes == 0 { 1 } else { header_missing.min(missing + 1) };
        if header_missing == 0 {
            let total = message.total_bytes();
            if total > CLIENT_HELLO_BYTES_MAX {
                return Err(HelloReject::TooLong);
            }
            let bytes_by_end = self.message.bytes + payload_bytes;
            if bytes_by_end > total {
                return Err(HelloReject::TrailingBytes);
            }
            if bytes_by_end == total && missing == 0 {
                if self.message.bytes == 0 {
                    self.hello_start = self.scanned;
                }
                return Ok(Step::HelloEnds(end));
            }
            // Only a byte of the next record can decide anything, unless this one is the last.
            wait = missing + usize::from(bytes_by_end < total);
        }
        if missing > 0 {
            return Ok(Step::Wait(wait));
        }
        if self.message.bytes == 0 {
            self.hello_start = self.scanned;
        }
        self.message = message;
        self.scanned = end;
        Ok(Step::Passed)
    }

    /// A record that holds nothing of the message: an empty one, a warning, a ChangeCipherSpec. Few are borne with.
    fn handle_stray(&mut self, record: RecordHeader, available: &[u8], end: usize) -> Result<Step, HelloReject> {
        let payload_bytes = match record.content_type {
            HANDSHAKE => 0,
            CHANGE_CIPHER_SPEC => 1,
            _ => 2,
        };
        if record.payload_bytes != payload_bytes {
            return Err(HelloReject::MalformedRecord);
        }
        if available.len() < payload_bytes {
            return Ok(Step::Wait(payload_bytes - available.len()));
        }
        match (record.content_type, available) {
            (HANDSHAKE, _) | (CHANGE_CIPHER_SPEC, [1]) => {}
            (ALERT, [ALERT_LEVEL_WARNING, description]) if *description != ALERT_CLOSE_NOTIFY => {}
            (ALERT, _) => return Err(HelloReject::ClientAlert),
            _ => return Err(HelloReject::MalformedRecord),
        }
        if self.stray_records == HELLO_STRAY_RECORDS_MAX {
            return Err(HelloReject::StrayRecords);
        }
        self.stray_records += 1;
        self.scanned = end;
        Ok(Step::Passed)
    }

    /// The whole message without its header: a piece of `input` when one record holds it, else joined.
    fn message_body<'a>(&'a mut self, input: &'a [u8], end: usize) -> &'a [u8] {
        let records = input.get(self.hello_start..end).unwrap_or_default();
        if self.hello_start == self.scanned {
            return records.get(HEADER_BYTES + MESSAGE_HEADER_BYTES..).unwrap_or_default();
        }
        self.joined.clear();
        self.joined.reserve_exact(self.message.total_bytes());
        let mut reader = Reader::new(records);
        while let Some(record) = RecordHeader::read(&mut reader) {
            self.joined.extend_from_slice(reader.take(record.payload_bytes).unwrap_or_default());
        }
        self.joined.get(MESSAGE_HEADER_BYTES..).unwrap_or_default()
    }
}

impl Progress {
    /// The progress once `fragment` has been seen too.
    fn with(mut self, fragment: &[u8]) -> Self {
        let header = self.header.iter_mut().skip(self.bytes);
        for (slot, &byte) in header.zip(fragment) {
            *slot = byte;
        }
        self.bytes += fragment.len();
        self
    }

    /// Length of the whole message, header included; right once the header has been seen.
    const fn total_bytes(&self) -> usize {
        let [_, high, middle, low] = self.header;
        MESSAGE_HEADER_BYTES + u32::from_be_bytes([0, high, middle, low]) as usize
    }
}

const VERSION_MAJOR: u8 = 3;
/// The last content type that TLS has (RFC 6520); application data (23) and it cannot come before a hello.
const HEARTBEAT: u8 = 24;
const ALERT_LEVEL_WARNING: u8 = 1;
const ALERT_CLOSE_NOTIFY: u8 = 0;
