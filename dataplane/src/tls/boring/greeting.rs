//! What a client says before the keys: kept to the end of its handshake, to be read again when it was asked for a second
//! ClientHello.
//!
//! BoringSSL reads a second hello (RFC 8446 section 4.1.4) for its key share alone. The flow was decided by the name of the
//! first one, and a client that changes it is refused, as by the other engine.

use penstock_core::bytes::Parsed;
use penstock_core::flow::FaultKind;
use penstock_core::limits::CLIENT_HELLO_INPUT_BYTES_MAX;
use penstock_core::tls::ClientHelloReader;

/// Bytes of a downstream leg from its beginning.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    bytes: Vec<u8>,
}

impl Greeting {
    /// Keeps bytes, as many as two hellos may have; of more, the check finds no end.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = (2 * CLIENT_HELLO_INPUT_BYTES_MAX).saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether the second hello is whole; a fault when it names another host than the first.
    pub(super) fn check(&self) -> Result<bool, FaultKind> {
        let (mut first, mut second) = (ClientHelloReader::new(), ClientHelloReader::new());
        let Parsed::Complete { value: hello, consumed } = first.handle_bytes(&self.bytes) else {
            return Err(FaultKind::Tls);
        };
        match second.handle_bytes(self.bytes.get(consumed..).unwrap_or_default()) {
            Parsed::Complete { value, .. } if value.sni == hello.sni => Ok(true),
            Parsed::Complete { .. } | Parsed::Reject(_) => Err(FaultKind::Tls),
            Parsed::Incomplete { .. } => Ok(false),
        }
    }
}
