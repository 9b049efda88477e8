//! What a shard needs for TLS: its client configuration, the issuer in force, its leaves.
//!
//! [`TlsShared`] is made once per process; each shard makes its [`TlsShard`] from it and uses it on its own thread only.

use std::sync::Arc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::limits::{LEAF_CACHE_ENTRIES_MAX, LEAF_USE_SECONDS_MAX, UPSTREAM_SESSIONS_MAX};
use penstock_core::policy::{EngineKind, Engines};
use penstock_core::signer::{MintRequest, Minted};
use penstock_core::sni::Sni;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};

use super::alpn::{Alpn, Offer, PerChoice, PerOffer};
use super::boring::{Origins, Serving};
use super::client_certificate::ClientCertificateRequests;
use super::engine::Engine;
use super::issuer::Issuer;
use super::leaf::{Leaf, LeafCache};
use super::memory::OriginMemory;
use super::roots::{RootsInForce, UpstreamRoots};
use super::rustls::RustlsEngine;
use super::ticket::TicketKeyring;
use super::verify::{VerifiedUpstream, Verifier};

/// What all shards share: the upstream roots, the ticket keys, the cryptography, and the downstream configuration without
/// a leaf.
pub(crate) struct TlsShared {
    roots: Arc<RootsInForce>,
    tickets: Arc<TicketKeyring>,
    provider: Arc<CryptoProvider>,
    downstream: ServerConfig,
}

impl TlsShared {
    /// Takes the roots that upstream chains may lead to.
    pub(crate) fn new(roots: UpstreamRoots) -> Result<Self, FaultKind> {
        Self::with_tickets(roots, TicketKeyring::new())
    }

    /// With ticket keys of another clock.
    pub(super) fn with_tickets(roots: UpstreamRoots, tickets: TicketKeyring) -> Result<Self, FaultKind> {
        let provider = Arc::new(provider());
        let downstream = downstream_config(&provider)?;
        let (roots, tickets) = (Arc::new(RootsInForce::new(roots)), Arc::new(tickets));
        Ok(Self { roots, tickets, provider, downstream })
    }

    /// The roots that upstream chains may lead to, to be replaced when they change on disk.
    pub(crate) const fn roots(&self) -> &Arc<RootsInForce> {
        &self.roots
    }

    /// The keys of session tickets, to be renewed.
    pub(crate) const fn tickets(&self) -> &Arc<TicketKeyring> {
        &self.tickets
    }
}

/// One shard's TLS.
pub(crate) struct TlsShard {
    shared: Arc<TlsShared>,
    verifier: Arc<Verifier>,
    requests: Arc<ClientCertificateRequests>,
    clients: PerOffer<ClientConfig>,
    origins: Origins,
    issuer: Option<Arc<Issuer>>,
    /// Of the policy that came with the issuer.
    epoch: u64,
    leaves: LeafCache,
    memory: OriginMemory,
}

impl TlsShard {
    pub(crate) fn new(shared: Arc<TlsShared>) -> Result<Self, FaultKind> {
        let verifier =
            Arc::new(Verifier::new(Arc::clone(&shared.roots), shared.provider.signature_verification_algorithms));
        let requests = Arc::new(ClientCertificateRequests::default());
        let client = client_config(&shared.provider, &verifier, &requests)?;
        let clients = PerOffer::new(|names| {
            let mut client = client.clone();
            client.alpn_protocols = names;
            client
        });
        let origins = Origins::new(Arc::clone(&verifier), Arc::clone(&requests))?;
        let leaves = LeafCache::new(LEAF_CACHE_ENTRIES_MAX);
        let memory = OriginMemory::new();
        Ok(Self { shared, verifier, requests, clients, origins, issuer: None, epoch: 0, leaves, memory })
    }

    /// Signs with `issuer` from now on, for the policy of `epoch`. Flows that are under way keep their leaf; tickets of
    /// another issuer or epoch are good for nothing any more.
    pub(crate) fn install_issuer(&mut self, issuer: Arc<Issuer>, epoch: u64) {
        self.issuer = Some(issuer);
        self.epoch = epoch;
        self.leaves.clear();
        self.memory.clear();
    }

    /// What origins chose and proved last time, under the roots in force.
    pub(crate) fn origins(&mut self) -> &mut OriginMemory {
        self.memory.stand_on(self.shared.roots.load().digest());
        &mut self.memory
    }

    /// Begins the upstream leg for `sni`, with the protocols that the client offered, by the engine of `engines`.
    pub(crate) fn upstream(&self, sni: &Sni, offer: Offer, engines: Engines) -> Result<Box<dyn Engine>, FaultKind> {
        if engines.upstream == EngineKind::Boring {
            return self.origins.begin(sni, offer, engines.legacy);
        }
        let name = ServerName::try_from(sni.as_str()).map_err(|_| FaultKind::Malformed)?.to_owned();
        let connection =
            UnbufferedClientConnection::new(Arc::clone(self.clients.find(offer)), name).map_err(|_| FaultKind::Tls)?;
        let (verifier, requests) = (Arc::clone(&self.verifier), Arc::clone(&self.requests));
        Ok(Box::new(RustlsEngine::upstream(connection, sni.clone(), verifier, requests)))
    }

    /// The leaf for `sni`, which `upstream` must prove, at Unix second `now`; `None` when one must be signed first.
    pub(crate) fn cached_leaf(
        &mut self,
        sni: &Sni,
        upstream: &VerifiedUpstream,
        now: i64,
    ) -> Result<Option<Arc<Leaf>>, Fault> {
        if upstream.name() != sni {
            return Err(Fault::upstream(Phase::Verify, FaultKind::CertificateName));
        }
        Ok(self.leaves.find(upstream, now))
    }

    /// Whether a leaf for `sni` may be in the cache, for some chain of its upstream.
    pub(crate) fn knows(&self, sni: &Sni) -> bool {
        self.leaves.knows(sni)
    }

    /// What to ask the signer for, at Unix second `now`, to have a leaf for `name`.
    pub(crate) fn order(&self, name: &Sni, now: i64) -> Result<LeafOrder, FaultKind> {
        let issuer = self.issuer.as_ref().ok_or(FaultKind::NotReady)?;
        let request = issuer.request(name, now)?;
        Ok(LeafOrder { issuer: Arc::clone(issuer), request })
    }

    /// Whether `issuer` is the one in force.
    pub(crate) fn signs_with(&self, issuer: &Arc<Issuer>) -> bool {
        self.issuer.as_ref().is_some_and(|current| Arc::ptr_eq(current, issuer))
    }

    /// Makes a leaf of what `issuer` has signed for the name that `upstream` has proven, and keeps it.
    pub(crate) fn take(
        &mut self,
        upstream: &VerifiedUpstream,
        issuer: &Arc<Issuer>,
        minted: &Minted,
        now: i64,
    ) -> Arc<Leaf> {
        let leaf = Arc::new(self.dress(upstream.name(), issuer, minted, now));
        if self.signs_with(issuer) {
            self.leaves.insert(upstream, Arc::clone(&leaf));
        }
        leaf
    }

    /// Begins the downstream leg with `leaf`, in the protocol that the origin chose, by the engine of `engines`.
    pub(crate) fn downstream(
        &self,
        leaf: &Leaf,
        choice: Option<Alpn>,
        engines: Engines,
    ) -> Result<Box<dyn Engine>, FaultKind> {
        if engines.downstream == EngineKind::Boring {
            return leaf.boring.begin(choice);
        }
        let connection =
            UnbufferedServerConnection::new(Arc::clone(leaf.configs.find(choice))).map_err(|_| FaultKind::Tls)?;
        Ok(Box::new(RustlsEngine::downstream(connection)))
    }

    fn dress(&self, name: &Sni, issuer: &Issuer, minted: &Minted, now: i64) -> Leaf {
        let tickets = self.shared.tickets.bound(issuer.certificate(), self.epoch, name);
        let leaf = CertificateDer::from(minted.certificate.clone());
        let chain: Vec<_> = std::iter::once(leaf).chain(issuer.shown().iter().cloned()).collect();
        let keys = issuer.leaf_key();
        let boring = Serving::new(chain.clone().into(), keys.boring.clone());
        let key = CertifiedKey::new(chain, Arc::clone(&keys.rustls));
        let mut config = self.shared.downstream.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        config.ticketer = tickets;
        let use_until = now.saturating_add(LEAF_USE_SECONDS_MAX).min(minted.validity.not_after);
        let configs = PerChoice::new(|names| {
            let mut config = config.clone();
            config.alpn_protocols = names;
            config
        });
        Leaf { configs, boring, use_from: minted.validity.not_before, use_until }
    }
}

/// What a shard asks the signer for, and who is to sign it.
pub(crate) struct LeafOrder {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) request: MintRequest,
}

/// rustls' own choice of suites, AES-128 first, as browsers have it: with SHA-256, for which processors have
/// instructions, a handshake costs a quarter less than with SHA-384, and nobody breaks either.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let is_aes_128 = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (suite.tls13().is_none(), !is_aes_128)
    });
    provider
}

/// The upstream leg: TLS 1.2 and 1.3, AEAD suites, the post-quantum hybrid first, no early data (hostile data could be
/// replayed), sessions kept per name.
fn client_config(
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<Verifier>,
    requests: &Arc<ClientCertificateRequests>,
) -> Result<ClientConfig, FaultKind> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|_| FaultKind::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::<Verifier>::clone(verifier))
        .with_client_cert_resolver(Arc::<ClientCertificateRequests>::clone(requests));
    config.resumption = Resumption::in_memory_sessions(UPSTREAM_SESSIONS_MAX);
    Ok(config)
}

/// The downstream leg but for leaf and ticket keys. Sessions live in tickets alone, which any shard can resume and which
/// rustls binds to the server name; early data stays off.
fn downstream_config(provider: &Arc<CryptoProvider>) -> Result<ServerConfig, FaultKind> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|_| FaultKind::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoLeaf));
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Stands where each leaf's own certificate comes.
#[derive(Debug)]
struct NoLeaf;

impl ResolvesServerCert for NoLeaf {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
