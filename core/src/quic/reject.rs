//! Why a datagram of a client is refused.

use crate::labelled;
use crate::tls::HelloReject;

labelled! {
    /// What is wrong with a datagram. All but [`NotQuic`](Self::NotQuic) and
    /// [`UnknownVersion`](Self::UnknownVersion) end the flow: a server may read such bytes in another way than we do.
    pub enum QuicReject {
        /// Two pieces of the handshake say different things about the same bytes.
        ConflictingCrypto = "conflicting_crypto",
        /// A frame that an Initial packet cannot hold, or one that does not parse (RFC 9000 section 12.4).
        Frame = "frame",
        /// The ClientHello is refused.
        Hello = "hello",
        /// The second ClientHello names another host than the first.
        NameChanged = "name_changed",
        /// Neither a QUIC packet nor one of a known connection.
        NotQuic = "not_quic",
        /// A packet without a long header, of a connection whose beginning was not seen.
        UnknownConnection = "unknown_connection",
        /// A version whose packets cannot be read.
        UnknownVersion = "unknown_version",
        /// Handshake bytes beyond the bound.
        TooLong = "too_long",
        /// More connections, packets, pieces or datagrams than a client has.
        TooMany = "too_many",
    }
}

impl core::error::Error for QuicReject {}

impl From<HelloReject> for QuicReject {
    fn from(_: HelloReject) -> Self {
        Self::Hello
    }
}
