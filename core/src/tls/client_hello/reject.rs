//! Why a ClientHello is refused, and what that means as a fault and as an alert.

use crate::flow::FaultKind;
use crate::labelled;
use crate::sni::SniReject;
use crate::tls::alert::Alert;

labelled! {
    /// Why the first bytes of a connection are refused. All but [`NotTls`](Self::NotTls) are to be closed: a server may
    /// read such bytes in another way than we do.
    pub enum HelloReject {
        /// A fatal alert, or close_notify, before the hello.
        ClientAlert = "client_alert",
        /// One extension type twice (RFC 8446 section 4.2 forbids it); a server may read the other one.
        DuplicateExtension = "duplicate_extension",
        /// Another record between two fragments of the hello (RFC 8446 section 5.1 forbids it).
        InterleavedRecord = "interleaved_record",
        /// A length inside the extension block does not fit.
        MalformedExtensions = "malformed_extensions",
        /// A length before the extension block does not fit, or bytes follow the last field.
        MalformedHello = "malformed_hello",
        /// A record that TLS has, but that cannot stand before a hello.
        MalformedRecord = "malformed_record",
        /// The `server_name` extension does not parse (RFC 6066 section 3).
        MalformedServerName = "malformed_server_name",
        /// A handshake message other than a ClientHello.
        NotClientHello = "not_client_hello",
        /// Another protocol: its first byte begins no TLS record.
        NotTls = "not_tls",
        /// A record over 2^14 bytes (RFC 8446 section 5.1).
        RecordTooLong = "record_too_long",
        /// The host name has a byte that no name has.
        SniCharacter = "sni_character",
        /// The host name, or a label of it, is empty.
        SniEmpty = "sni_empty",
        /// The host name, or a label of it, is too long.
        SniTooLong = "sni_too_long",
        /// A hello of SSL 2.0, alone or as the envelope of SSL 3.0 and TLS 1.0 (RFC 5246 appendix E.2).
        SslV2 = "ssl_v2",
        /// More empty records, warnings or ChangeCipherSpec records than are borne with before a hello.
        StrayRecords = "stray_records",
        /// The hello, or all records up to its end, exceed their bound.
        TooLong = "too_long",
        /// More cipher suites than any client has.
        TooManyCipherSuites = "too_many_cipher_suites",
        /// More extensions than any client has.
        TooManyExtensions = "too_many_extensions",
        /// More bytes in the hello's last record than the hello has.
        TrailingBytes = "trailing_bytes",
        /// Two names, or two extensions that hold one; a server may read the other one.
        TwoServerNames = "two_server_names",
    }
}

impl HelloReject {
    /// The fault of the downstream leg to count.
    pub const fn fault_kind(self) -> FaultKind {
        match self {
            Self::ClientAlert => FaultKind::Tls,
            Self::RecordTooLong | Self::SniTooLong | Self::TooLong => FaultKind::TooLarge,
            Self::StrayRecords | Self::TooManyCipherSuites | Self::TooManyExtensions => FaultKind::TooMany,
            Self::DuplicateExtension
            | Self::InterleavedRecord
            | Self::MalformedExtensions
            | Self::MalformedHello
            | Self::MalformedRecord
            | Self::MalformedServerName
            | Self::NotClientHello
            | Self::NotTls
            | Self::SniCharacter
            | Self::SniEmpty
            | Self::SslV2
            | Self::TrailingBytes
            | Self::TwoServerNames => FaultKind::Malformed,
        }
    }

    /// The alert to refuse with; `None` when the peer speaks no TLS or has given up itself.
    pub const fn alert(self) -> Option<Alert> {
        match self {
            Self::ClientAlert | Self::NotTls => None,
            Self::DuplicateExtension | Self::TwoServerNames => Some(Alert::IllegalParameter),
            Self::InterleavedRecord | Self::NotClientHello | Self::StrayRecords | Self::TrailingBytes => {
                Some(Alert::UnexpectedMessage)
            }
            Self::RecordTooLong => Some(Alert::RecordOverflow),
            Self::SniCharacter | Self::SniEmpty | Self::SniTooLong => Some(Alert::UnrecognizedName),
            Self::SslV2 => Some(Alert::ProtocolVersion),
            Self::MalformedExtensions
            | Self::MalformedHello
            | Self::MalformedRecord
            | Self::MalformedServerName
            | Self::TooLong
            | Self::TooManyCipherSuites
            | Self::TooManyExtensions => Some(Alert::DecodeError),
        }
    }
}

impl core::error::Error for HelloReject {}

impl From<SniReject> for HelloReject {
    fn from(reject: SniReject) -> Self {
        match reject {
            SniReject::Address | SniReject::Character => Self::SniCharacter,
            SniReject::Empty | SniReject::EmptyLabel => Self::SniEmpty,
            SniReject::LabelTooLong | SniReject::TooLong => Self::SniTooLong,
        }
    }
}
