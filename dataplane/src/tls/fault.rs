//! What a TLS error means in the product's own vocabulary of faults.

use penstock_core::flow::{FaultKind, Leg};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::refusal::ChainRefusal;

/// The fault that `error` of the connection on `leg` is.
pub(super) fn kind_of(leg: Leg, error: &Error) -> FaultKind {
    match error {
        Error::InvalidCertificate(reason) => certificate(reason),
        Error::NoCertificatesPresented => FaultKind::Certificate,
        Error::AlertReceived(alert) => alerted(leg, *alert),
        Error::PeerSentOversizedRecord
        | Error::InvalidMessage(
            InvalidMessage::CertificatePayloadTooLarge | InvalidMessage::HandshakePayloadTooLarge,
        ) => FaultKind::TooLarge,
        _ => FaultKind::Tls,
    }
}

/// What our verifier said, or what rustls itself found in a certificate.
fn certificate(reason: &CertificateError) -> FaultKind {
    match reason {
        CertificateError::Expired => FaultKind::CertificateTime,
        CertificateError::NotValidForName => FaultKind::CertificateName,
        CertificateError::UnknownIssuer => FaultKind::CertificateUnknown,
        CertificateError::Other(other) => {
            other.0.downcast_ref::<ChainRefusal>().map_or(FaultKind::Certificate, |refusal| refusal.kind())
        }
        _ => FaultKind::Certificate,
    }
}

/// A downstream that answers our leaf with one of these alerts does not trust the root. Which one it takes is a matter
/// of the implementation (RFC 8446 section 6.2).
pub(super) fn alerted(leg: Leg, alert: AlertDescription) -> FaultKind {
    let about_certificate = matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    );
    match (leg, alert) {
        (Leg::Downstream, _) if about_certificate => FaultKind::Untrusted,
        (Leg::Downstream, AlertDescription::EncryptedClientHelloRequired) => FaultKind::EchRequired,
        // Only after a request for one, which we never answer.
        (Leg::Upstream, AlertDescription::CertificateRequired) => FaultKind::ClientCertificate,
        _ => FaultKind::Tls,
    }
}
