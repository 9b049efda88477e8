//! Fatal alerts, for a flow that is refused before any handshake (RFC 8446 section 6).
//!
//! Does not own alerts inside a handshake; the engines write those.

use crate::labelled;

labelled! {
    /// Why a handshake is refused (RFC 8446 section 6.2, RFC 7301 section 3.2).
    pub enum Alert {
        /// Policy forbids the connection.
        AccessDenied = "access_denied",
        /// The message does not parse.
        DecodeError = "decode_error",
        /// The handshake cannot be done with what was offered.
        HandshakeFailure = "handshake_failure",
        /// A field contradicts another or the protocol.
        IllegalParameter = "illegal_parameter",
        /// The appliance itself failed.
        InternalError = "internal_error",
        /// None of the offered application protocols is spoken.
        NoApplicationProtocol = "no_application_protocol",
        /// The offered versions are too old.
        ProtocolVersion = "protocol_version",
        /// A record is longer than a record may be.
        RecordOverflow = "record_overflow",
        /// A record that does not belong here.
        UnexpectedMessage = "unexpected_message",
        /// The host name is not served.
        UnrecognizedName = "unrecognized_name",
    }
}

impl Alert {
    /// The description byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::UnexpectedMessage => 10,
            Self::RecordOverflow => 22,
            Self::HandshakeFailure => 40,
            Self::IllegalParameter => 47,
            Self::AccessDenied => 49,
            Self::DecodeError => 50,
            Self::ProtocolVersion => 70,
            Self::InternalError => 80,
            Self::UnrecognizedName => 112,
            Self::NoApplicationProtocol => 120,
        }
    }
}

/// The whole record of a fatal alert, to be written to a client whose hello is refused.
///
/// Its record version is TLS 1.0: no version has been chosen, clients of TLS 1.2 and later ignore the field there
/// (RFC 8446 section 5.1), and older ones accept no higher one than they know.
pub const fn record(alert: Alert) -> [u8; 7] {
    const CONTENT_TYPE_ALERT: u8 = 21;
    const LEVEL_FATAL: u8 = 2;
    [CONTENT_TYPE_ALERT, 3, 1, 0, 2, LEVEL_FATAL, alert.code()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_alert_is_one_record_of_two_bytes() {
        assert_eq!(record(Alert::AccessDenied), [0x15, 3, 1, 0, 2, 2, 49]);
        assert_eq!(record(Alert::NoApplicationProtocol), [0x15, 3, 1, 0, 2, 2, 120]);
    }

    #[test]
    fn codes_stand_once() {
        for alert in Alert::ALL {
            assert_eq!(Alert::ALL.iter().filter(|other| other.code() == alert.code()).count(), 1, "{alert}");
        }
    }
}
