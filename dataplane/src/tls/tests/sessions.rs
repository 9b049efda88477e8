//! Sessions that are resumed, and those that must not be.

use std::sync::Arc;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use rustls_pki_types::ServerName;

use super::bed::{BORING, Bed, EACH, HOST, RUSTLS, Shard, downstream, issuer, now, upstream};
use super::origin::{ClientAuth, TestCa, server_config};
use crate::tls::chain::Voucher;
use crate::tls::{Leaf, TlsShared};

pub(super) const OTHER: &str = "other.saas.example";

/// A client's sessions, offered whatever the server's name: as an attacker would, or a client of one big site.
#[derive(Debug)]
struct NamelessSessions(ClientSessionMemoryCache);

impl NamelessSessions {
    fn name() -> ServerName<'static> {
        ServerName::try_from("any.example").expect("name")
    }
}

impl ClientSessionStore for NamelessSessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

pub(super) fn resuming(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::store(Arc::new(NamelessSessions(ClientSessionMemoryCache::new(8))));
    Arc::new(config)
}

/// One connection of a client; whether it was resumed, as both sides see it.
pub(super) fn connect(shard: &Shard, leaf: &Arc<Leaf>, client: &Arc<ClientConfig>, name: &str) -> bool {
    let mut pair = downstream(shard, leaf, client, name, usize::MAX);
    assert_eq!(pair.exchange(b"answer", b"request"), Ok(()));
    assert_eq!((&pair.at_ours[..], &pair.at_peer[..], &pair.peer_error), (&b"request"[..], &b"answer"[..], &None));
    let resumed = pair.ours.is_resumed();
    assert_eq!(pair.peer.handshake_kind() == Some(HandshakeKind::Resumed), resumed);
    resumed
}

/// A ticket of one shard is good at any other, while the issuer is the same.
#[test]
fn any_shard_resumes_until_the_issuer_changes() {
    let bed = Bed::new();
    let (mut first, mut second) = (bed.shard(), bed.shard());
    for version in [&TLS12, &TLS13] {
        let (leaf, other_leaf) = (bed.leaf(&mut first, HOST).0, bed.leaf(&mut second, HOST).0);
        let mut config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots(&bed))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = resuming(config);
        assert!(!connect(&first, &leaf, &client, HOST));
        assert!(connect(&first, &leaf, &client, HOST), "{version:?}");
        assert!(connect(&second, &other_leaf, &client, HOST), "{version:?}");
    }
    let client = resuming(bed.client());
    let (leaf, _) = bed.leaf(&mut first, HOST);
    assert!(!connect(&first, &leaf, &client, HOST));
    first.install_issuer(Arc::new(issuer(now(), &["*.saas.example"]).0), 1);
    let (leaf, _) = bed.leaf(&mut first, HOST);
    let mut pair = downstream(&first, &leaf, &client, HOST, usize::MAX);
    assert!(pair.run().is_err(), "a full handshake, whose root this client does not know");
    assert!(!pair.ours.is_resumed());
}

pub(super) fn roots(bed: &Bed) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(bed.root.clone()).expect("root");
    roots
}

/// BoringSSL's tickets are those of one leaf of one shard.
#[test]
fn boring_resumes_on_the_shard_that_gave_the_ticket() {
    let bed = Bed::new();
    let (mut first, mut second) = (bed.shard_by(BORING), bed.shard_by(BORING));
    let (leaf, other_leaf) = (bed.leaf(&mut first, HOST).0, bed.leaf(&mut second, HOST).0);
    for version in [&TLS12, &TLS13] {
        let client = resuming(
            ClientConfig::builder_with_protocol_versions(&[version])
                .with_root_certificates(roots(&bed))
                .with_no_client_auth(),
        );
        assert!(!connect(&first, &leaf, &client, HOST));
        assert!(connect(&first, &leaf, &client, HOST), "{version:?}");
        assert!(!connect(&second, &other_leaf, &client, HOST), "{version:?}");
    }
}

/// Our ticket for one host, offered with the name of another: a full handshake (CVE-2025-23419 is of this kind).
#[test]
fn h017_a_ticket_is_bound_to_its_name() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, other_leaf) = (bed.leaf(&mut shard, HOST).0, bed.leaf(&mut shard, OTHER).0);
        for version in [&TLS12, &TLS13] {
            let client = resuming(
                ClientConfig::builder_with_protocol_versions(&[version])
                    .with_root_certificates(roots(&bed))
                    .with_no_client_auth(),
            );
            assert!(!connect(&shard, &leaf, &client, HOST));
            assert!(!connect(&shard, &other_leaf, &client, OTHER), "{version:?}");
            assert!(connect(&shard, &other_leaf, &client, OTHER), "{version:?}");
        }
    }
}

/// A ticket that the real server gave off-network means nothing to us: a full handshake, which works.
#[test]
fn h016_a_ticket_of_the_real_server_gives_a_full_handshake() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let mut trust = roots(&bed);
        trust.add(bed.ca.certificate.clone()).expect("root");
        let client = resuming(ClientConfig::builder().with_root_certificates(trust).with_no_client_auth());
        let origin = bed.origin(HOST);
        let name = ServerName::try_from(HOST).expect("name");
        let mut real = rustls::ClientConnection::new(Arc::clone(&client), name).expect("client");
        let mut server = rustls::ServerConnection::new(origin).expect("server");
        hand_over(&mut real, &mut server);
        assert!(!connect(&shard, &leaf, &client, HOST));
    }
}

fn hand_over(client: &mut rustls::ClientConnection, server: &mut rustls::ServerConnection) {
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets().expect("good records");
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets().expect("good records");
        }
    }
}

/// Early data is neither taken nor sent: a request that can be replayed is none that we vouch for.
#[test]
fn h015_early_data_is_off_on_both_legs() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let mut config = bed.client();
        config.enable_early_data = true;
        let client = resuming(config);
        assert!(!connect(&shard, &leaf, &client, HOST));
        let mut pair = downstream(&shard, &leaf, &client, HOST, usize::MAX);
        let rustls::Connection::Client(peer) = &mut pair.peer else { panic!("a client") };
        assert!(peer.early_data().is_none(), "the ticket allows none");

        let identity = bed.ca.server(&[HOST], |_| {});
        let mut origin = Arc::unwrap_or_clone(server_config(&identity, rustls::ALL_VERSIONS, ClientAuth::None));
        origin.max_early_data_size = 16_384;
        let origin = Arc::new(origin);
        // BoringSSL keeps no upstream sessions.
        for resumed in [false, engines == RUSTLS] {
            let mut pair = upstream(&shard, HOST, &origin, usize::MAX);
            assert_eq!(pair.ours.write_plain(&[std::io::IoSlice::new(b"early")]), 0);
            assert_eq!(pair.exchange(b"request", b"answer"), Ok(()));
            assert_eq!(pair.ours.is_resumed(), resumed);
            assert_eq!(pair.at_peer, b"request");
        }
    }
}

/// A resumed upstream handshake shows no certificate, and is proven from the session's chain all the same.
#[test]
fn a_resumed_upstream_is_proven_too() {
    let bed = Bed::new();
    let shard = bed.shard();
    let identity = bed.ca.server(&[HOST], |_| {});
    for version in [&TLS12, &TLS13] {
        let origin = server_config(&identity, &[version], ClientAuth::None);
        let first = bed.verified(&shard, HOST, &origin);
        let mut pair = upstream(&shard, HOST, &origin, usize::MAX);
        assert_eq!(pair.exchange(b"request", b"answer"), Ok(()));
        assert!(pair.ours.is_resumed(), "{version:?}");
        assert_eq!(pair.ours.verified(), Some(first));
        // Sessions are the shard's own, and its own for each name.
        assert!(!resumes(&bed.shard(), HOST, &origin));
        assert!(!resumes(&shard, OTHER, &origin));
    }
    // A shard that trusts other roots begins anew, and refuses.
    let strangers = TestCa::new("strangers").roots(Voucher::System);
    let shared = Arc::new(TlsShared::new(strangers).expect("shared"));
    let stranger = Shard::new(&shared, RUSTLS);
    let origin = server_config(&identity, rustls::ALL_VERSIONS, ClientAuth::None);
    assert!(upstream(&stranger, HOST, &origin, usize::MAX).run().is_err());
}

fn resumes(shard: &Shard, name: &str, origin: &Arc<rustls::ServerConfig>) -> bool {
    let mut pair = upstream(shard, name, origin, usize::MAX);
    pair.run().is_ok() && pair.ours.is_resumed()
}
