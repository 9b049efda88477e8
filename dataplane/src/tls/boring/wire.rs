//! The stream that BoringSSL reads and writes: two buffers in memory.
//!
//! ```text
//! socket ──fill──▶ [ ingress: at most one block ] ──Read──▶ BoringSSL ──Write──▶ [ egress ] ──drain──▶ socket
//! ```
//!
//! Reading an empty ingress would block, also after the socket's end: the engine knows of that end itself, and so tells
//! close_notify from truncation. Writing never blocks, since an alert must not be lost; what bounds the egress is that
//! the engine takes no plaintext beyond its bound, and that BoringSSL answers nothing else without end.

use std::io::{self, Read, Write};

use bytes::{Buf as _, BytesMut};
use penstock_core::limits::TLS_RECORD_BYTES_MAX;

/// Ciphertext of one connection, both ways.
#[derive(Debug, Default)]
pub(super) struct Wire {
    ingress: Ingress,
    egress: BytesMut,
}

/// Ciphertext that came and was not read yet: `block[start..end]`.
#[derive(Debug, Default)]
struct Ingress {
    /// Empty until the first byte comes.
    block: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    /// Takes ciphertext from `source`, as much as there is room for.
    pub(super) fn fill(&mut self, source: &mut dyn Read) -> io::Result<usize> {
        let Ingress { block, start, end } = &mut self.ingress;
        block.resize(TLS_RECORD_BYTES_MAX, 0);
        block.copy_within(*start..*end, 0);
        (*start, *end) = (0, *end - *start);
        let room = block.get_mut(*end..).unwrap_or_default();
        if room.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = source.read(room)?;
        *end += count;
        Ok(count)
    }

    /// What came and was not read yet.
    pub(super) fn unread(&self) -> &[u8] {
        self.ingress.block.get(self.ingress.start..self.ingress.end).unwrap_or_default()
    }

    /// Forgets what came and was not read: nobody will.
    pub(super) fn forget(&mut self) {
        (self.ingress.start, self.ingress.end) = (0, 0);
    }

    /// Bytes of ciphertext that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.egress.len()
    }

    /// Gives ciphertext to `sink`.
    pub(super) fn drain(&mut self, sink: &mut dyn Write) -> io::Result<usize> {
        let count = sink.write(&self.egress)?;
        self.egress.advance(count.min(self.egress.len()));
        Ok(count)
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Ingress { block, start, end } = &mut self.ingress;
        let waiting = block.get(*start..*end).unwrap_or_default();
        if waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = waiting.len().min(out.len());
        out[..count].copy_from_slice(&waiting[..count]);
        *start += count;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.egress.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
