//! The trial of this binary's cryptography, before it serves: a binary that is damaged or not for this machine is found out
//! while the one before it still has the connections.
//!
//! Known answers of both libraries; then, in memory, an authority and a leaf of this moment and a conversation between each
//! pair of engines, as our upstream leg and our downstream leg: two implementations that must agree. Called by the daemon,
//! once; nothing of it stays.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use penstock_core::flow::FaultKind;
use penstock_core::mint::CertificateFacts;
use penstock_core::policy::{EngineKind, Engines};
use penstock_core::signer::{LeafMint, Moment};
use penstock_core::sni::Sni;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::{CertificateDer, UnixTime};

use super::authority::Authority;
use super::verify::Verifier;
use super::{Alpn, Engine, Issuer, Leaf, Offer, PlainRead, TlsShard, TlsShared, UpstreamRoots, boring};

/// Tries all that a flow's cryptography stands on. An error: nothing may be served by this process.
pub(crate) fn trial() -> Result<(), TrialError> {
    let (hash, sealed) = (digest(&SHA256, MESSAGE), seal(&KEY, NONCE));
    check("aws-lc", hash.as_ref(), sealed)?;
    check("BoringSSL", &boring::sha256(MESSAGE), boring::seal(&KEY, &NONCE, &PLAIN))?;
    let name = Sni::parse(NAME).map_err(|_| TrialError::Certificate)?;
    let (shard, leaf) = side(&name).ok_or(TrialError::Certificate)?;
    for &upstream in EngineKind::ALL {
        for &downstream in EngineKind::ALL {
            let engines = Engines { upstream, downstream, legacy: false };
            let outcome = converse(&shard, &name, &leaf, engines);
            outcome.map_err(|kind| TrialError::Conversation { upstream, downstream, kind })?;
        }
    }
    Ok(())
}

/// What a trial found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    #[error("{library} does not answer as the standards do")]
    Answer { library: &'static str },
    #[error("a certificate cannot be made or is refused")]
    Certificate,
    #[error("a connection from {upstream} to {downstream} fails: {kind}")]
    Conversation { upstream: EngineKind, downstream: EngineKind, kind: FaultKind },
}

fn check(library: &'static str, hash: &[u8], sealed: Option<Vec<u8>>) -> Result<(), TrialError> {
    let sealed = sealed.unwrap_or_default();
    let is_right = hash == HASH.as_flattened() && sealed == SEALED.as_flattened();
    is_right.then_some(()).ok_or(TrialError::Answer { library })
}

/// AES-128-GCM without further data: ciphertext, then tag.
fn seal(key: &[u8; 16], nonce: [u8; 12]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).ok()?);
    let mut sealed = PLAIN.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
    Some(sealed)
}

/// A shard that mints below an authority and trusts that authority as an origin's, and its leaf for `name`.
fn side(name: &Sni) -> Option<(TlsShard, Arc<Leaf>)> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let Authority { root, issuer, validity, key } = Authority::new(now, &[name.as_str()])?;
    let shared = Arc::new(TlsShared::new(UpstreamRoots::of_system(&CertificateDer::from(root.as_slice()))?).ok()?);
    let parts = [issuer, root];
    let made = Arc::new(Issuer::from_parts(&parts, validity.not_before, validity.not_after).ok()?);
    let mut shard = TlsShard::new(Arc::clone(&shared)).ok()?;
    shard.install_issuer(Arc::clone(&made), 0);
    let request = shard.order(name, now).ok()?.request;
    let [issuer, _root] = &parts;
    let mut leaves = LeafMint::new(CertificateFacts::parse(issuer).ok()?);
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).ok()?;
    let minted = leaves.mint(&request, Moment { now, serial }, &key).ok()?;
    let chain = [CertificateDer::from(minted.certificate.as_slice()), CertificateDer::from(issuer.as_slice())];
    let verifier = Verifier::new(Arc::clone(shared.roots()), default_provider().signature_verification_algorithms);
    let proof = verifier.prove(name, &chain, UnixTime::now()).ok()?;
    let leaf = shard.take(&proof, &made, &minted, now);
    Some((shard, leaf))
}

/// A handshake, and something said each way.
fn converse(shard: &TlsShard, name: &Sni, leaf: &Leaf, engines: Engines) -> Result<(), FaultKind> {
    let mut client = shard.upstream(name, Offer::Http11, engines)?;
    let mut server = shard.downstream(leaf, Some(Alpn::Http11), engines)?;
    let (client, server) = (client.as_mut(), server.as_mut());
    while pass(client, server)? | pass(server, client)? {}
    if client.verified().is_none_or(|proof| proof.name() != name) || server.is_handshaking() {
        return Err(FaultKind::Tls);
    }
    tell(client, server)?;
    tell(server, client)
}

/// Something said, which must be heard as it was said.
fn tell(from: &mut dyn Engine, to: &mut dyn Engine) -> Result<(), FaultKind> {
    from.write_plain(&[IoSlice::new(MESSAGE)]);
    pass(from, to)?;
    let mut heard = [0; 2 * MESSAGE.len()];
    let is_whole = to.read_plain(&mut heard) == PlainRead::Bytes(MESSAGE.len()) && heard.starts_with(MESSAGE);
    is_whole.then_some(()).ok_or(FaultKind::Tls)
}

/// Gives `to` what `from` has to send; whether that was anything.
fn pass(from: &mut dyn Engine, to: &mut dyn Engine) -> Result<bool, FaultKind> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).map_err(|_| FaultKind::Tls)?;
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).map_err(|_| FaultKind::Tls)?;
        to.process()?;
    }
    Ok(!wire.is_empty())
}

/// Reserved (RFC 6761 section 6.4): nobody's, wherever it may be seen.
const NAME: &[u8] = b"trial.invalid";
/// The first example of FIPS 180-2 appendix B.
const MESSAGE: &[u8] = b"abc";
const HASH: [[u8; 16]; 2] = [
    0xba78_16bf_8f01_cfea_4141_40de_5dae_2223_u128.to_be_bytes(),
    0xb003_61a3_9617_7a9c_b410_ff61_f200_15ad_u128.to_be_bytes(),
];
/// Test case 2 of the specification of GCM.
const KEY: [u8; 16] = [0; 16];
const NONCE: [u8; 12] = [0; 12];
const PLAIN: [u8; 16] = [0; 16];
const SEALED: [[u8; 16]; 2] = [
    0x0388_dace_60b6_a392_f328_c2b9_71b2_fe78_u128.to_be_bytes(),
    0xab6e_47d4_2cec_13bd_f53a_67b2_1257_bddf_u128.to_be_bytes(),
];
