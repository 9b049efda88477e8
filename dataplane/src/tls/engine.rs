//! The seam to a TLS implementation: one leg's connection, ciphertext on one side, plaintext on the other.
//!
//! Callers move bytes; the engine never sees a socket and never waits. The usual turn of a leg is: `read_tls` until the
//! source would block, `process` after each, `read_plain` until [`PlainRead::WouldBlock`], then `write_tls` while
//! `wants_write`.

use std::io;

use penstock_core::flow::FaultKind;

use super::{Alpn, VerifiedUpstream};

/// One leg's TLS connection.
pub(crate) trait Engine {
    /// Takes ciphertext from `source`; `Ok(0)` is its end. Answers `WouldBlock`, without reading, while plaintext waits
    /// to be taken by [`Self::read_plain`]; other errors are the source's own.
    fn read_tls(&mut self, source: &mut dyn io::Read) -> io::Result<usize>;

    /// Works on what was read; call it after each [`Self::read_tls`]. Also after a fault an alert may wait to be
    /// written; write it before closing, so that the peer learns why.
    fn process(&mut self) -> Result<(), FaultKind>;

    /// Takes decrypted plaintext.
    fn read_plain(&mut self, out: &mut [u8]) -> PlainRead;

    /// Encrypts `pieces` as if they were one, and answers how many bytes were taken: less than all when the bound on
    /// unsent ciphertext is reached. Nothing is taken during the handshake.
    fn write_plain(&mut self, pieces: &[io::IoSlice<'_>]) -> usize;

    /// Whether reading can help now: not while plaintext waits, and not after the peer's end.
    #[cfg_attr(not(test), expect(dead_code, reason = "the relay reads when it has room; tests ask"))]
    fn wants_read(&self) -> bool;

    /// Whether ciphertext waits to be written.
    fn wants_write(&self) -> bool;

    /// Gives ciphertext to `sink`; errors are the sink's own.
    fn write_tls(&mut self, sink: &mut dyn io::Write) -> io::Result<usize>;

    /// Queues the alert that ends our direction (RFC 8446 section 6.1).
    fn send_close_notify(&mut self);

    /// Whether the handshake is still going on.
    fn is_handshaking(&self) -> bool;

    /// The protocol agreed on (RFC 7301); `None` also before the handshake is complete.
    fn alpn(&self) -> Option<Alpn>;

    /// Whether the handshake resumed an earlier session.
    fn is_resumed(&self) -> bool;

    /// The proof that the upstream's chain and name were checked; `None` on a downstream leg, and before the handshake
    /// is complete.
    fn verified(&self) -> Option<VerifiedUpstream>;
}

/// What [`Engine::read_plain`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainRead {
    /// That many bytes of plaintext.
    Bytes(usize),
    /// The peer ended its direction with close_notify.
    Closed,
    /// The source ended without close_notify: what came so far may be cut short.
    Truncated,
    /// Nothing now.
    WouldBlock,
}
