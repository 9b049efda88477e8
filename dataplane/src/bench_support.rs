//! What benches may reach of this crate: both TLS legs of one shard, over memory, with the signer's work inline.
//!
//! No part of the product, and no promise to anyone; `bench/benches/handshake.rs` is the only caller.

use std::io::{self, IoSlice};
use std::sync::Arc;

use penstock_core::mint::Validity;
use penstock_core::policy::{EngineKind, Engines};
use penstock_core::sni::Sni;
use penstock_link::SealingPair;
use rustls_pki_types::CertificateDer;

use crate::signer::Holder;
use crate::tls::{Alpn, Engine, Issuer, Leaf, Offer, PlainRead, TlsShard, TlsShared, UpstreamRoots, VerifiedUpstream};

/// One shard's TLS.
pub struct TlsBench {
    shared: Arc<TlsShared>,
    issuer: Arc<Issuer>,
    shard: TlsShard,
    holder: Holder,
    engines: Engines,
}

/// A leaf, ready to serve.
pub struct LeafBench(Arc<Leaf>);

/// One leg's connection.
pub struct EngineBench(Box<dyn Engine>);

/// Proof of an upstream.
pub struct VerifiedBench(VerifiedUpstream);

impl TlsBench {
    /// A shard that trusts `upstream_root`, with an issuer as the link delivers it; `None` when a part is refused.
    pub fn new(upstream_root: &CertificateDer<'_>, chain: &[Vec<u8>], key: &[u8], period: Validity) -> Option<Self> {
        let roots = UpstreamRoots::of_system(upstream_root)?;
        let shared = Arc::new(TlsShared::new(roots).ok()?);
        let issuer = Arc::new(Issuer::from_parts(chain, period.not_before, period.not_after).ok()?);
        let mut holder = Holder::new(SealingPair::generate()?);
        holder.adopt(chain.first()?, key).ok()?;
        let shard = TlsShard::new(Arc::clone(&shared)).ok()?;
        let mut bench = Self { shared, issuer, shard, holder, engines: Engines::default() };
        bench.forget_leaves();
        Some(bench)
    }

    /// Begins with no session, no proven chain and no leaf.
    pub fn forget_all(&mut self) {
        if let Ok(shard) = TlsShard::new(Arc::clone(&self.shared)) {
            self.shard = shard;
        }
        self.forget_leaves();
    }

    /// Empties the leaf cache.
    pub fn forget_leaves(&mut self) {
        self.shard.install_issuer(Arc::clone(&self.issuer), 0);
    }

    /// Both legs by `engine` from now on.
    pub const fn choose(&mut self, engine: EngineKind) {
        self.engines = Engines { upstream: engine, downstream: engine, legacy: false };
    }

    /// An upstream leg.
    pub fn upstream(&self, name: &Sni) -> Option<EngineBench> {
        self.shard.upstream(name, Offer::Http11, self.engines).ok().map(EngineBench)
    }

    /// From the cache, or minted.
    pub fn leaf(&mut self, name: &Sni, upstream: &VerifiedBench, now: i64) -> Option<LeafBench> {
        if let Some(leaf) = self.shard.cached_leaf(name, &upstream.0, now).ok()? {
            return Some(LeafBench(leaf));
        }
        let order = self.shard.order(name, now).ok()?;
        let minted = self.holder.mint(&order.request, now).ok()?;
        Some(LeafBench(self.shard.take(&upstream.0, &order.issuer, &minted, now)))
    }

    /// A downstream leg.
    pub fn downstream(&self, leaf: &LeafBench) -> Option<EngineBench> {
        self.shard.downstream(&leaf.0, Some(Alpn::Http11), self.engines).ok().map(EngineBench)
    }
}

impl EngineBench {
    /// Takes all of `ciphertext` and writes what follows from it to `out`; whether it went well.
    pub fn turn(&mut self, mut ciphertext: &[u8], out: &mut Vec<u8>) -> bool {
        while !ciphertext.is_empty() {
            match self.0.read_tls(&mut ciphertext) {
                Ok(_) if self.0.process().is_ok() => {}
                Ok(_) => return false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        self.write(out)
    }

    /// Decrypts all of `ciphertext`; the count of plaintext bytes, which go through `scratch`.
    pub fn decrypt(&mut self, mut ciphertext: &[u8], scratch: &mut [u8]) -> usize {
        let mut total = 0;
        while !ciphertext.is_empty() {
            if self.0.read_tls(&mut ciphertext).is_err() || self.0.process().is_err() {
                return 0;
            }
            while let PlainRead::Bytes(count) = self.0.read_plain(scratch) {
                total += count;
            }
        }
        total
    }

    /// Encrypts one gather to `out`.
    pub fn encrypt(&mut self, pieces: &[IoSlice<'_>], out: &mut Vec<u8>) -> usize {
        let taken = self.0.write_plain(pieces);
        self.write(out);
        taken
    }

    /// Whether the handshake is over, and whether it resumed a session.
    pub fn is_done(&self) -> (bool, bool) {
        (!self.0.is_handshaking(), self.0.is_resumed())
    }

    /// The proof, on an upstream leg.
    pub fn verified(&self) -> Option<VerifiedBench> {
        self.0.verified().map(VerifiedBench)
    }

    fn write(&mut self, out: &mut Vec<u8>) -> bool {
        while self.0.wants_write() {
            if self.0.write_tls(out).is_err() {
                return false;
            }
        }
        true
    }
}
