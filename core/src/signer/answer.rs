//! What the signer says.
//!
//! ```text
//! Hello    1 | length 1 | sealing key
//! Adopted  2 | number 8
//! Minted   3 | number 8 | not before 8 | not after 8 | length 2 | certificate
//! Refused  4 | number 8 | reason 1
//! ```

use alloc::vec::Vec;

use super::Minted;
use super::wire::{read_u64, write_vector};
use crate::bytes::Reader;
use crate::flow::Label as _;
use crate::labelled;
use crate::mint::{MintError, Validity};

labelled! {
    /// Why the signer did not do what it was asked.
    pub enum Refusal {
        /// It has more to do than it will.
        Busy = "busy",
        /// The issuer's certificate cannot be read or is no CA.
        Certificate = "certificate",
        /// The issuer's key is not a P-256 key in PKCS#8.
        Key = "key",
        /// The issuer's key is not the one of its certificate.
        KeyMismatch = "key_mismatch",
        /// The issuer may not certify the name.
        Name = "name",
        /// The leaf's public key cannot be read.
        PublicKey = "public_key",
        /// The issuer's key is sealed for another signer, or with another certificate.
        Sealed = "sealed",
        /// The key did not sign.
        Signature = "signature",
        /// It does not know the issuer.
        UnknownIssuer = "unknown_issuer",
        /// The issuer's time is over, or has not begun.
        Validity = "validity",
    }
}

impl From<MintError> for Refusal {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Issuer | MintError::Pattern | MintError::TooMany => Self::Certificate,
            MintError::Name => Self::Name,
            MintError::PublicKey => Self::PublicKey,
            MintError::Signature => Self::Signature,
            MintError::Validity => Self::Validity,
        }
    }
}

/// A message of the signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has started.
    Hello {
        /// The public key that issuers' keys are to be sealed for.
        sealing_key: Vec<u8>,
    },
    /// It can sign for the issuer.
    Adopted {
        /// Of the request.
        number: u64,
    },
    /// The leaf.
    Minted {
        /// Of the request.
        number: u64,
        /// What was made.
        leaf: Minted,
    },
    /// It did not do it.
    Refused {
        /// Of the request.
        number: u64,
        /// Why.
        reason: Refusal,
    },
}

impl Answer {
    /// Reads one whole packet; `None` when it is anything else than one answer.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let answer = match reader.u8()? {
            HELLO => Self::Hello { sealing_key: reader.vector_u8()?.into() },
            ADOPTED => Self::Adopted { number: read_u64(&mut reader)? },
            MINTED => {
                let number = read_u64(&mut reader)?;
                let not_before = i64::try_from(read_u64(&mut reader)?).ok()?;
                let not_after = i64::try_from(read_u64(&mut reader)?).ok()?;
                let certificate = reader.vector_u16()?.into();
                let validity = Validity { not_before, not_after };
                Self::Minted { number, leaf: Minted { certificate, validity } }
            }
            REFUSED => {
                let number = read_u64(&mut reader)?;
                let reason = *Refusal::ALL.get(usize::from(reader.u8()?))?;
                Self::Refused { number, reason }
            }
            _ => return None,
        };
        reader.is_empty().then_some(answer)
    }

    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        match self {
            Self::Hello { sealing_key } => {
                out.push(HELLO);
                write_vector(&mut out, 1, sealing_key);
            }
            Self::Adopted { number } => {
                out.push(ADOPTED);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Minted { number, leaf } => {
                out.push(MINTED);
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&leaf.validity.not_before.to_be_bytes());
                out.extend_from_slice(&leaf.validity.not_after.to_be_bytes());
                write_vector(&mut out, 2, &leaf.certificate);
            }
            Self::Refused { number, reason } => {
                out.push(REFUSED);
                out.extend_from_slice(&number.to_be_bytes());
                out.push(u8::try_from(reason.index()).unwrap_or(u8::MAX));
            }
        }
        out
    }
}

const HELLO: u8 = 1;
const ADOPTED: u8 = 2;
const MINTED: u8 = 3;
const REFUSED: u8 = 4;
