//! Why an upstream's chain was refused, between webpki's words, rustls' alerts and the product's faults.

use std::fmt;
use std::sync::Arc;

use penstock_core::flow::FaultKind;
use rustls::{CertificateError, OtherError};

/// Why a chain was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChainRefusal {
    /// It leads to no trusted root.
    Issuer,
    /// It breaks a rule of RFC 5280, or cannot be read.
    Malformed,
    /// It is for another name.
    Name,
    /// It is expired, or not valid yet.
    Time,
    /// It has more bytes than the bound.
    TooLarge,
    /// It has more certificates, or needs more work, than the bound.
    TooMany,
}

impl ChainRefusal {
    /// The fault that this is.
    pub(super) const fn kind(self) -> FaultKind {
        match self {
            Self::Issuer => FaultKind::CertificateUnknown,
            Self::Malformed => FaultKind::Certificate,
            Self::Name => FaultKind::CertificateName,
            Self::Time => FaultKind::CertificateTime,
            Self::TooLarge => FaultKind::TooLarge,
            Self::TooMany => FaultKind::TooMany,
        }
    }
}

impl fmt::Display for ChainRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().label())
    }
}

impl std::error::Error for ChainRefusal {}

impl From<webpki::Error> for ChainRefusal {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error;
        match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } | Error::InvalidCertValidity => Self::Time,
            Error::CertNotValidForName(_) => Self::Name,
            Error::MaximumNameConstraintComparisonsExceeded
            | Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded => Self::TooMany,
            Error::UnknownIssuer => Self::Issuer,
            _ => Self::Malformed,
        }
    }
}

/// rustls answers each with the alert of RFC 8446 section 6.2 that fits.
impl From<ChainRefusal> for rustls::Error {
    fn from(refusal: ChainRefusal) -> Self {
        let reason = match refusal {
            ChainRefusal::Issuer => CertificateError::UnknownIssuer,
            ChainRefusal::Name => CertificateError::NotValidForName,
            ChainRefusal::Time => CertificateError::Expired,
            ChainRefusal::Malformed | ChainRefusal::TooLarge | ChainRefusal::TooMany => {
                CertificateError::Other(OtherError(Arc::new(refusal)))
            }
        };
        Self::InvalidCertificate(reason)
    }
}
