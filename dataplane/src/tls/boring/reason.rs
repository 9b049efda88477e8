//! What an error of BoringSSL means in the product's own vocabulary of faults.
//!
//! BoringSSL names its reasons; the names are part of its interface, and stay the same while numbers may move.

use boring::error::ErrorStack;
use boring::ssl::{Error, SslAlert};
use penstock_core::flow::{FaultKind, Leg};
use rustls::AlertDescription;

use super::super::fault;

/// The fault that `error` of the connection on `leg` is.
pub(super) fn kind_of(leg: Leg, error: &Error) -> FaultKind {
    let Some(error) = error.ssl_error().and_then(|stack: &ErrorStack| stack.errors().first()) else {
        return FaultKind::Tls;
    };
    if let Some(alert) = u8::try_from(error.reason_code() - ALERT_REASONS).ok().filter(|_| is_of_tls(error)) {
        return fault::alerted(leg, AlertDescription::from(alert));
    }
    match (leg, error.reason().unwrap_or_default()) {
        // Our side has one certificate to choose, and only for a server that asks: see `origins`.
        (Leg::Upstream, "NO_COMMON_SIGNATURE_ALGORITHMS" | "PRIVATE_KEY_OPERATION_FAILED")
        | (Leg::Upstream, "UNKNOWN_CERTIFICATE_TYPE") => FaultKind::ClientCertificate,
        (Leg::Upstream, reason) if is_of_certificate(reason) => FaultKind::Certificate,
        (_, "DATA_LENGTH_TOO_LONG" | "ENCRYPTED_LENGTH_TOO_LONG" | "EXCESSIVE_MESSAGE_SIZE") => FaultKind::TooLarge,
        _ => FaultKind::Tls,
    }
}

/// The alert that tells an upstream why its chain was refused (RFC 8446 section 6.2).
pub(super) const fn alert_of(kind: FaultKind) -> SslAlert {
    match kind {
        FaultKind::CertificateTime => SslAlert::CERTIFICATE_EXPIRED,
        FaultKind::CertificateUnknown => SslAlert::UNKNOWN_CA,
        FaultKind::CertificateName => SslAlert::BAD_CERTIFICATE,
        _ => SslAlert::CERTIFICATE_UNKNOWN,
    }
}

/// What BoringSSL itself finds in a server's certificate, or in the signature that should prove its key.
fn is_of_certificate(reason: &str) -> bool {
    matches!(
        reason,
        "BAD_ECC_CERT"
            | "BAD_SIGNATURE"
            | "CANNOT_PARSE_LEAF_CERT"
            | "CERTIFICATE_VERIFY_FAILED"
            | "KEY_USAGE_BIT_INCORRECT"
            | "UNKNOWN_CERTIFICATE_TYPE"
            | "WRONG_CERTIFICATE_TYPE"
    )
}

fn is_of_tls(error: &boring::error::Error) -> bool {
    error.library().is_some_and(|library| library.starts_with("SSL"))
}

/// A peer's alert stands as the reason with its number and this (`SSL_AD_REASON_OFFSET`).
const ALERT_REASONS: i32 = 1000;
