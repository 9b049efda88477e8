//! A whole TLS room under test: upstream roots, shared state, an issuer.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use penstock_core::flow::{Fault, Phase};
use penstock_core::mint::{CertificateFacts, MintError, Validity};
use penstock_core::policy::{EngineKind, Engines};
use penstock_core::signer::{IssuerId, LeafMint, MintRequest, Minted, Moment};
use penstock_core::sni::Sni;
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, ServerName};

use super::origin::{ClientAuth, TestCa, server_config};
use super::wire::Pair;
use crate::tls::authority::{Authority, AuthorityKey};
use crate::tls::chain::Voucher;
use crate::tls::{Alpn, Issuer, Leaf, Offer, TlsShard, TlsShared, VerifiedUpstream};

pub(super) const HOST: &str = "login.saas.example";
pub(super) const DAY: i64 = 86_400;

/// Both legs by one engine.
pub(super) const RUSTLS: Engines =
    Engines { upstream: EngineKind::Rustls, downstream: EngineKind::Rustls, legacy: false };
pub(super) const BORING: Engines =
    Engines { upstream: EngineKind::Boring, downstream: EngineKind::Boring, legacy: false };
/// What holds for one engine holds for the other.
pub(super) const EACH: [Engines; 2] = [RUSTLS, BORING];

/// A shard and the engines that its legs are by.
pub(super) struct Shard {
    pub(super) tls: TlsShard,
    pub(super) engines: Engines,
}

impl Shard {
    pub(super) fn new(shared: &Arc<TlsShared>, engines: Engines) -> Self {
        Self { tls: TlsShard::new(Arc::clone(shared)).expect("shard"), engines }
    }

    /// The leaf for `name`, signed at once where there is none.
    pub(super) fn leaf_for(
        &mut self,
        name: &Sni,
        upstream: &VerifiedUpstream,
        now: i64,
    ) -> Result<(Arc<Leaf>, LeafSource), Fault> {
        if let Some(leaf) = self.tls.cached_leaf(name, upstream, now)? {
            return Ok((leaf, LeafSource::Cached));
        }
        let refused = |kind| Fault::downstream(Phase::Mint, kind);
        let order = self.tls.order(name, now).map_err(refused)?;
        let minted = sign(&order.request, now).expect("a leaf");
        Ok((self.tls.take(upstream, &order.issuer, &minted, now), LeafSource::Minted))
    }
}

/// Where a leaf came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafSource {
    Cached,
    Minted,
}

type Issuers = HashMap<IssuerId, Arc<(CertificateFacts, AuthorityKey)>>;

/// The issuers that the tests of this process have made, with their keys: what a signer would have.
static ISSUERS: LazyLock<ArcSwap<Issuers>> = LazyLock::new(ArcSwap::default);

/// Signs what a shard orders.
pub(crate) fn sign(request: &MintRequest, now: i64) -> Result<Minted, MintError> {
    let issuer = ISSUERS.load().get(&request.issuer).cloned().ok_or(MintError::Issuer)?;
    let (facts, key) = issuer.as_ref();
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).expect("random bytes");
    LeafMint::new(facts.clone()).mint(request, Moment { now, serial }, key)
}

impl Deref for Shard {
    type Target = TlsShard;
    fn deref(&self) -> &TlsShard {
        &self.tls
    }
}

impl DerefMut for Shard {
    fn deref_mut(&mut self) -> &mut TlsShard {
        &mut self.tls
    }
}

/// Upstream CA, shared state and the root that our clients trust.
pub(crate) struct Bed {
    pub(super) ca: TestCa,
    pub(crate) shared: Arc<TlsShared>,
    pub(crate) issuer: Arc<Issuer>,
    pub(super) root: CertificateDer<'static>,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::for_hosts(&["*.saas.example"])
    }

    /// With an issuer that may certify `hosts`.
    pub(crate) fn for_hosts(hosts: &[&str]) -> Self {
        let ca = TestCa::new("public authority");
        let shared = Arc::new(TlsShared::new(ca.roots(Voucher::System)).expect("shared"));
        let (issuer, root) = issuer(now(), hosts);
        Self { ca, shared, issuer: Arc::new(issuer), root }
    }

    pub(super) fn shard(&self) -> Shard {
        self.shard_by(RUSTLS)
    }

    /// A shard whose legs are by `engines`; a test that fails says by which.
    pub(super) fn shard_by(&self, engines: Engines) -> Shard {
        eprintln!("{engines:?}");
        let mut shard = Shard::new(&self.shared, engines);
        shard.install_issuer(Arc::clone(&self.issuer), 1);
        shard
    }

    /// An honest origin for `name`.
    pub(crate) fn origin(&self, name: &str) -> Arc<ServerConfig> {
        server_config(&self.ca.server(&[name], |_| {}), rustls::ALL_VERSIONS, ClientAuth::None)
    }

    /// The proof for `name`, from a handshake with `origin`.
    pub(super) fn verified(&self, shard: &Shard, name: &str, origin: &Arc<ServerConfig>) -> VerifiedUpstream {
        let mut pair = upstream(shard, name, origin, usize::MAX);
        assert_eq!(pair.run(), Ok(()));
        pair.ours.verified().expect("verified")
    }

    /// A leaf for `name`, by way of an honest origin.
    pub(super) fn leaf(&self, shard: &mut Shard, name: &str) -> (Arc<Leaf>, LeafSource) {
        let verified = self.verified(shard, name, &self.origin(name));
        shard.leaf_for(&sni(name), &verified, now()).expect("leaf")
    }

    /// A client that trusts our root.
    pub(crate) fn client(&self) -> ClientConfig {
        client_trusting(&self.root)
    }
}

pub(super) fn client_trusting(root: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("root");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

pub(super) fn upstream(shard: &Shard, name: &str, origin: &Arc<ServerConfig>, step: usize) -> Pair {
    upstream_offering(shard, name, origin, Offer::Http11, step)
}

pub(super) fn upstream_offering(
    shard: &Shard,
    name: &str,
    origin: &Arc<ServerConfig>,
    offer: Offer,
    step: usize,
) -> Pair {
    let ours = shard.upstream(&sni(name), offer, shard.engines).expect("engine");
    Pair::new(ours, ServerConnection::new(Arc::clone(origin)).expect("server"), step)
}

pub(super) fn downstream(shard: &Shard, leaf: &Arc<Leaf>, client: &Arc<ClientConfig>, name: &str, step: usize) -> Pair {
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let client = ClientConnection::new(Arc::clone(client), name).expect("client");
    Pair::new(shard.downstream(leaf, Some(Alpn::Http11), shard.engines).expect("engine"), client, step)
}

pub(crate) fn sni(name: &str) -> Sni {
    Sni::parse(name.as_bytes()).expect("host name")
}

pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock");
    i64::try_from(now.as_secs()).expect("seconds")
}

/// What the link would deliver at `now`: chain, PKCS#8 key and period.
pub(crate) fn issuer_parts(now: i64, hosts: &[&str]) -> (Vec<Vec<u8>>, Vec<u8>, Validity) {
    let Authority { root, issuer, validity: period, key } = Authority::new(now, hosts).expect("authority");
    let pkcs8 = key.0.to_pkcs8v1().expect("PKCS#8").as_ref().to_vec();
    let id = digest(&SHA256, &issuer).as_ref().try_into().expect("32 bytes");
    let facts = CertificateFacts::parse(&issuer).expect("facts");
    let made = Arc::new((facts, key));
    ISSUERS.rcu(|issuers| {
        let mut issuers = Issuers::clone(issuers);
        issuers.insert(id, Arc::clone(&made));
        issuers
    });
    (vec![issuer, root], pkcs8, period)
}

pub(super) fn issuer(now: i64, hosts: &[&str]) -> (Issuer, CertificateDer<'static>) {
    let (chain, _, period) = issuer_parts(now, hosts);
    let issuer = Issuer::from_parts(&chain, period.not_before, period.not_after).expect("issuer");
    (issuer, CertificateDer::from(chain[1].clone()))
}
