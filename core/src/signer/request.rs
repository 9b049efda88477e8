//! What the signer is asked.
//!
//! ```text
//! Adopt  1 | number 8 | length 3 | certificate | length 2 | sealed key
//! Mint   2 | number 8 | issuer 32 | length 2 | public key | length 1 | host name
//! ```

use alloc::vec::Vec;

use super::wire::{read_u64, read_vector_u24, write_vector};
use crate::bytes::Reader;
use crate::sni::Sni;

/// Names an issuer: SHA-256 of its certificate.
pub type IssuerId = [u8; 32];

/// A leaf that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintRequest {
    /// Who shall sign.
    pub issuer: IssuerId,
    /// The one host that it is for.
    pub name: Sni,
    /// DER `SubjectPublicKeyInfo` of the leaf.
    pub public_key: Vec<u8>,
}

/// A message to the signer. Answers bear its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take over an issuer.
    Adopt {
        /// Of the request.
        number: u64,
        /// The issuer's own, DER.
        certificate: Vec<u8>,
        /// Its key, which the signer alone can open.
        sealed_key: Vec<u8>,
    },
    /// Make a leaf.
    Mint {
        /// Of the request.
        number: u64,
        /// Which.
        leaf: MintRequest,
    },
}

impl Request {
    /// Reads one whole packet; `None` when it is anything else than one request.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(packet);
        let kind = reader.u8()?;
        let number = read_u64(&mut reader)?;
        let request = match kind {
            ADOPT => Self::Adopt {
                number,
                certificate: read_vector_u24(&mut reader)?.into(),
                sealed_key: reader.vector_u16()?.into(),
            },
            MINT => {
                let issuer = *reader.take(32)?.first_chunk()?;
                let public_key = reader.vector_u16()?.into();
                let name = reader.vector_u8()?;
                // A name has one spelling here: the one that it has in the certificate.
                let name = Sni::parse(name).ok().filter(|parsed| parsed.as_str().as_bytes() == name)?;
                Self::Mint { number, leaf: MintRequest { issuer, name, public_key } }
            }
            _ => return None,
        };
        reader.is_empty().then_some(request)
    }

    /// The packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Adopt { number, certificate, sealed_key } => {
                out.push(ADOPT);
                out.extend_from_slice(&number.to_be_bytes());
                write_vector(&mut out, 3, certificate);
                write_vector(&mut out, 2, sealed_key);
            }
            Self::Mint { number, leaf: MintRequest { issuer, name, public_key } } => {
                out.push(MINT);
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(issuer);
                write_vector(&mut out, 2, public_key);
                write_vector(&mut out, 1, name.as_str().as_bytes());
            }
        }
        out
    }
}

const ADOPT: u8 = 1;
const MINT: u8 = 2;
