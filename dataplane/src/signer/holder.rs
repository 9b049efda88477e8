//! The keys of issuers, and what is signed with them.

use std::collections::VecDeque;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::limits::{SIGNER_ISSUERS_MAX, SIGNER_MINTS_PER_SECOND_MAX};
use penstock_core::mint::{CertificateFacts, SignError, Signer};
use penstock_core::signer::{Answer, IssuerId, LeafMint, MintRequest, Minted, Moment, Refusal, Request};
use penstock_link::SealingPair;

/// What a signer has. Keys are wiped by the library when they are dropped.
pub(crate) struct Holder {
    pair: SealingPair,
    /// The newest last.
    issuers: VecDeque<Held>,
    /// Unix second and the leaves that were signed in it.
    signed: (i64, u32),
}

struct Held {
    id: IssuerId,
    leaves: LeafMint,
    key: IssuerKey,
}

impl Holder {
    pub(crate) const fn new(pair: SealingPair) -> Self {
        Self { pair, issuers: VecDeque::new(), signed: (0, 0) }
    }

    /// What issuers' keys are to be sealed for.
    pub(super) fn sealing_key(&self) -> &[u8] {
        self.pair.public()
    }

    /// Does what is asked, at Unix second `now`.
    pub(super) fn answer(&mut self, request: Request, now: i64) -> Answer {
        let refused = |number| move |reason| Answer::Refused { number, reason };
        match request {
            Request::Adopt { number, certificate, sealed_key } => {
                let opened = self.pair.open(&certificate, &sealed_key).ok_or(Refusal::Sealed);
                let adopted = opened.and_then(|key| self.adopt(&certificate, &key));
                adopted.map_or_else(refused(number), |()| Answer::Adopted { number })
            }
            Request::Mint { number, leaf } => {
                self.mint(&leaf, now).map_or_else(refused(number), |leaf| Answer::Minted { number, leaf })
            }
        }
    }

    /// Signs below the authority of `certificate` (DER) with `key` (PKCS#8) from now on.
    pub(crate) fn adopt(&mut self, certificate: &[u8], key: &[u8]) -> Result<(), Refusal> {
        let facts = CertificateFacts::parse(certificate).ok().filter(CertificateFacts::is_authority);
        let facts = facts.ok_or(Refusal::Certificate)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).map_err(|_| Refusal::Key)?;
        let public_key = key.public_key().as_der().map_err(|_| Refusal::Key)?;
        if public_key.as_ref() != facts.public_key() {
            return Err(Refusal::KeyMismatch);
        }
        let mut id = IssuerId::default();
        id.copy_from_slice(digest(&SHA256, certificate).as_ref());
        self.issuers.retain(|held| held.id != id);
        if self.issuers.len() >= SIGNER_ISSUERS_MAX {
            self.issuers.pop_front();
        }
        self.issuers.push_back(Held { id, leaves: LeafMint::new(facts), key: IssuerKey(key) });
        Ok(())
    }

    /// Makes the leaf of `request`, valid from `now` on.
    pub(crate) fn mint(&mut self, request: &MintRequest, now: i64) -> Result<Minted, Refusal> {
        if self.signed.0 != now {
            self.signed = (now, 0);
        }
        if self.signed.1 >= SIGNER_MINTS_PER_SECOND_MAX {
            return Err(Refusal::Busy);
        }
        let held = self.issuers.iter_mut().find(|held| held.id == request.issuer).ok_or(Refusal::UnknownIssuer)?;
        let mut serial = [0; 16];
        aws_lc_rs::rand::fill(&mut serial).map_err(|_| Refusal::Signature)?;
        let minted = held.leaves.mint(request, Moment { now, serial }, &held.key)?;
        self.signed.1 += 1;
        Ok(minted)
    }
}

/// An issuer's private key.
struct IssuerKey(EcdsaKeyPair);

impl Signer for IssuerKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?;
        Ok(signature.as_ref().to_vec())
    }
}
