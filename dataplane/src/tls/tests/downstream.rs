//! What inside hosts meet: the leaf, the protocol, and refusals that tell them why.

use std::sync::Arc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::limits::LEAF_USE_SECONDS_MAX;
use penstock_core::mint::Validity;
use rustls::{AlertDescription, CipherSuite, ClientConfig, ClientConnection, Error, NamedGroup, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::bed::{
    Bed, DAY, EACH, HOST, LeafSource, RUSTLS, Shard, client_trusting, downstream, issuer, issuer_parts, now, sign, sni,
    upstream, upstream_offering,
};
use super::origin::{ClientAuth, TestCa, server_config};
use super::wire::Pair;
use crate::tls::leaf::LeafCache;
use crate::tls::{Alpn, Issuer, IssuerError, Offer};

/// The chain that a client is shown.
fn shown(bed: &Bed, shard: &mut Shard, name: &str) -> Vec<CertificateDer<'static>> {
    let (leaf, _) = bed.leaf(shard, name);
    let mut pair = downstream(shard, &leaf, &Arc::new(bed.client()), name, usize::MAX);
    assert_eq!(pair.run(), Ok(()));
    pair.peer.peer_certificates().expect("a chain").to_vec()
}

#[test]
fn h101_leaves_name_one_host_and_never_repeat_a_serial() {
    let bed = Bed::new();
    let chain = shown(&bed, &mut bed.shard(), HOST);
    assert_eq!(chain.len(), 2, "leaf and issuer; the root is the client's");
    let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("leaf");
    let names = leaf.subject_alternative_name().expect("one").expect("names");
    assert_eq!(names.value.general_names, [GeneralName::DNSName(HOST)]);
    let lifetime = leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp();
    assert!(lifetime <= 30 * DAY);
    assert!(leaf.validity().not_before.timestamp() <= now() - DAY + 5);
    let shard = bed.shard();
    let mut serials: Vec<Vec<u8>> = (0..300)
        .map(|_| {
            let order = shard.order(&sni(HOST), now()).expect("order");
            let leaf = sign(&order.request, now()).expect("leaf").certificate;
            X509Certificate::from_der(&leaf).expect("leaf").1.raw_serial().to_vec()
        })
        .collect();
    serials.sort_unstable();
    serials.dedup();
    assert_eq!(serials.len(), 300);
}

/// The cache gives the same leaf for the same name and chain; another chain of the upstream gets another leaf.
#[test]
fn h100_a_leaf_is_bound_to_the_chain_that_was_verified() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let (before, after) = (bed.origin(HOST), bed.origin(HOST));
    let verified = bed.verified(&shard, HOST, &before);
    let (first, source) = shard.leaf_for(&sni(HOST), &verified, now()).expect("leaf");
    assert_eq!(source, LeafSource::Minted);
    let (again, source) = shard.leaf_for(&sni(HOST), &verified, now()).expect("leaf");
    assert!(source == LeafSource::Cached && Arc::ptr_eq(&first, &again));

    let mut switched = upstream(&bed.shard(), HOST, &after, usize::MAX);
    switched.run().expect("handshake");
    let switched = switched.ours.verified().expect("verified");
    assert_ne!(switched, verified);
    let (other, source) = shard.leaf_for(&sni(HOST), &switched, now()).expect("leaf");
    assert!(source == LeafSource::Minted && !Arc::ptr_eq(&first, &other));

    let (_, source) = shard.leaf_for(&sni(HOST), &verified, now() + LEAF_USE_SECONDS_MAX + 5).expect("leaf");
    assert_eq!(source, LeafSource::Minted, "a day later");
    let (_, source) = shard.leaf_for(&sni(HOST), &verified, now() - LEAF_USE_SECONDS_MAX).expect("leaf");
    assert_eq!(source, LeafSource::Minted, "once a clock that was ahead is right again: it is not valid yet");
    shard.install_issuer(Arc::clone(&bed.issuer), 1);
    let (_, source) = shard.leaf_for(&sni(HOST), &verified, now()).expect("leaf");
    assert_eq!(source, LeafSource::Minted, "with another issuer");
    let refused = shard.leaf_for(&sni("other.saas.example"), &verified, now()).map(|_| ());
    assert_eq!(refused, Err(Fault::upstream(Phase::Verify, FaultKind::CertificateName)));
}

/// Without an issuer, outside its names and outside its time nothing is minted.
#[test]
fn nothing_is_minted_that_no_client_would_accept() {
    let bed = Bed::new();
    let not_ready = Err(Fault::downstream(Phase::Mint, FaultKind::NotReady));
    let mut shard = Shard::new(&bed.shared, RUSTLS);
    let verified = bed.verified(&shard, HOST, &bed.origin(HOST));
    let mint = |shard: &mut Shard, at| shard.leaf_for(&sni(HOST), &verified, at).map(|_| ());
    assert_eq!(mint(&mut shard, now()), not_ready);
    shard.install_issuer(Arc::new(issuer(now(), &["elsewhere.example"]).0), 1);
    assert_eq!(mint(&mut shard, now()), not_ready);
    shard.install_issuer(Arc::clone(&bed.issuer), 1);
    assert_eq!(mint(&mut shard, now() + 31 * DAY), not_ready);
    assert_eq!(mint(&mut shard, now() - 2 * DAY), not_ready);
    assert_eq!(mint(&mut shard, now()), Ok(()));
}

/// Another period, no chain, no CA: refused before anything is signed with it. Of keys the signer's tests say the same.
#[test]
fn h103_an_issuer_whose_parts_do_not_fit_is_refused() {
    let (chain, _, period) = issuer_parts(now(), &["*.saas.example"]);
    let Validity { not_before, not_after } = period;
    let refusal = |chain: &[Vec<u8>], not_after| {
        Issuer::from_parts(chain, not_before, not_after).map(|_| ()).expect_err("a refusal")
    };
    assert_eq!(refusal(&chain, not_after + 1), IssuerError::Validity);
    assert_eq!(refusal(&[], not_after), IssuerError::Certificate);
    assert_eq!(refusal(&[b"no certificate".to_vec()], not_after), IssuerError::Certificate);
    let issuer = Issuer::from_parts(&chain, not_before, not_after).expect("issuer");
    assert!(issuer.covers(["login.saas.example", "*.saas.example"]) && issuer.covers([]));
    assert!(!issuer.covers(["login.saas.example", "*.example"]) && !issuer.covers(["*.*.example"]));
    assert!(issuer.permits("a.saas.example") && !issuer.permits("saas.example.org"));
}

/// Names without end below an inspected wildcard: the cache is bounded by its places.
#[test]
fn h026_the_cache_is_bounded_and_keeps_what_is_used() {
    let (bed, at) = (Bed::new(), now());
    let wildcard = server_config(&bed.ca.server(&["*.saas.example"], |_| {}), rustls::ALL_VERSIONS, ClientAuth::None);
    let mut shard = bed.shard();
    let mut cache = LeafCache::new(4);
    let proofs: Vec<_> =
        (0..12).map(|number| bed.verified(&shard, &format!("h{number}.saas.example"), &wildcard)).collect();
    let (leaf, _) = bed.leaf(&mut shard, HOST);
    for proof in &proofs {
        cache.insert(proof, Arc::clone(&leaf));
        assert!(cache.find(&proofs[0], at).is_some(), "what is used stays");
    }
    let kept = proofs.iter().filter(|proof| cache.find(proof, at).is_some()).count();
    assert_eq!(kept, 4);
}

#[test]
fn a_client_that_does_not_trust_the_root_is_named_so() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let stranger = Arc::new(client_trusting(&TestCa::new("stranger").certificate));
        let mut pair = downstream(&shard, &leaf, &stranger, HOST, usize::MAX);
        assert_eq!(pair.run(), Err(FaultKind::Untrusted));
    }
}

/// The client gets what the origin chose, and an alert when that is not on its list.
#[test]
fn h022_the_client_gets_the_origins_choice_or_an_alert() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let meet = |protocols: &[&[u8]], choice: Option<Alpn>| {
            let mut config = bed.client();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            let name = ServerName::try_from(HOST).expect("name");
            let client = ClientConnection::new(Arc::new(config), name).expect("client");
            let mut pair = Pair::new(shard.downstream(&leaf, choice, engines).expect("engine"), client, usize::MAX);
            let outcome = pair.run().map(|()| pair.ours.alpn());
            (outcome, pair.peer.alpn_protocol().map(<[u8]>::to_vec), pair.peer_error)
        };
        let both: &[&[u8]] = &[b"h2", b"http/1.1"];
        for choice in [Alpn::Http2, Alpn::Http11] {
            assert_eq!(meet(both, Some(choice)), (Ok(Some(choice)), Some(choice.name().to_vec()), None));
        }
        assert_eq!(meet(both, None), (Ok(None), None, None), "an origin that chooses none");
        assert_eq!(meet(&[], None), (Ok(None), None, None));
        let refused = Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol));
        for unknown in [&b"h2"[..], b"http/1.0", b"h3", b"\xff\x00 \x80", b"HTTP/1.1"] {
            assert_eq!(meet(&[unknown], Some(Alpn::Http11)), (Err(FaultKind::Tls), None, refused.clone()));
        }
    }
}

/// Upstream is offered what the client offered, in its order; a choice that was not offered is a fault.
#[test]
fn upstream_chooses_among_what_the_client_offered() {
    let bed = Bed::new();
    for engines in EACH {
        let origin = |protocols: &[Alpn]| {
            let mut config = ServerConfig::clone(&bed.origin(HOST));
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
            Arc::new(config)
        };
        let shard = bed.shard_by(engines);
        let meet = |offer, protocols: &[Alpn]| {
            let mut pair = upstream_offering(&shard, HOST, &origin(protocols), offer, usize::MAX);
            pair.run().map(|()| pair.ours.alpn())
        };
        let (h2, http) = (Alpn::Http2, Alpn::Http11);
        for (offer, protocols, chosen) in [
            (Offer::BothHttp2First, &[h2, http][..], Ok(Some(h2))),
            (Offer::BothHttp2First, &[http], Ok(Some(http))),
            (Offer::BothHttp2First, &[], Ok(None)),
            (Offer::Both, &[h2], Ok(Some(h2))),
            (Offer::Http11, &[h2, http], Ok(Some(http))),
            (Offer::Http2, &[h2, http], Ok(Some(h2))),
            (Offer::Http2, &[http], Err(FaultKind::Tls)),
            (Offer::Nothing, &[h2, http], Ok(None)),
        ] {
            assert_eq!(meet(offer, protocols), chosen, "{offer:?} before {protocols:?}");
        }
    }
}

#[test]
fn upstream_speaks_tls_1_3_with_a_post_quantum_group() {
    let bed = Bed::new();
    for engines in EACH {
        let mut pair = upstream(&bed.shard_by(engines), HOST, &bed.origin(HOST), usize::MAX);
        pair.run().expect("handshake");
        assert_eq!(pair.peer.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = pair.peer.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
        let suite = pair.peer.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(suite, Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
    }
}

/// Downstream the cheap suite is ours to choose, whatever the client likes best; BoringSSL keeps to the client's wish.
#[test]
fn downstream_chooses_suite_and_group() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let mut pair = downstream(&shard, &leaf, &Arc::new(bed.client()), HOST, usize::MAX);
        pair.run().expect("handshake");
        let suite = pair.peer.negotiated_cipher_suite().map(|suite| suite.suite());
        if engines == RUSTLS {
            assert_eq!(suite, Some(CipherSuite::TLS13_AES_128_GCM_SHA256));
        }
        let group = pair.peer.negotiated_key_exchange_group().map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
    }
}

/// A ClientHello of SSL 3.0 to TLS 1.1, as OpenSSL of that time would write its core. The flow tells such a client
/// protocol_version before it dials; were it to come this far, it is refused by a fatal alert all the same.
#[test]
fn an_old_client_is_refused_by_alert() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        for version in [0x00_u8, 0x01, 0x02] {
            let mut hello = vec![3, version];
            hello.extend([7; 32]);
            // No session id; two suites of that time; no compression; no extensions.
            hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
            let mut record = vec![22, 3, version.min(1), 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
            record.extend(hello);
            let client = Arc::new(bed.client());
            let mut pair = downstream(&shard, &leaf, &client, HOST, usize::MAX);
            assert_eq!(pair.ours.read_tls(&mut &record[..]).expect("memory"), record.len());
            assert_eq!(pair.ours.process(), Err(FaultKind::Tls));
            let alert = written(&mut pair);
            assert_eq!((alert.len(), alert[0], alert[5]), (7, 21, 2), "{alert:?}");
        }
    }
}

/// The second hello after a HelloRetryRequest must carry the same name.
#[test]
fn h018_a_name_that_changes_on_retry_is_refused() {
    let bed = Bed::new();
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        let client = Arc::new(bed.client());
        for (second, refused) in [(HOST, false), ("other.saas.example", true)] {
            let mut pair = downstream(&shard, &leaf, &client, HOST, usize::MAX);
            let first = without_key_shares(hello_of(&client, HOST));
            pair.ours.read_tls(&mut &first[..]).expect("memory");
            assert_eq!(pair.ours.process(), Ok(()));
            let retry = written(&mut pair);
            assert_eq!((retry[0], retry[5]), (22, 2), "a ServerHello that asks again");
            let hello = hello_of(&client, second);
            let mut hello = &hello[..];
            pair.ours.read_tls(&mut hello).expect("memory");
            let outcome = pair.ours.process();
            // The same name from a fresh hello is another hello, too; what counts is that the other name is never served.
            assert!(!refused || outcome.is_err(), "{second}: {outcome:?}");
            assert!(pair.ours.is_handshaking());
            let answer = written(&mut pair);
            // rustls says nothing here; by neither is anything served.
            assert!(answer.is_empty() || !refused || (answer.len(), answer[0]) == (7, 21), "{answer:?}");
        }
    }
}

fn hello_of(client: &Arc<ClientConfig>, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let mut connection = ClientConnection::new(Arc::clone(client), name).expect("client");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("memory");
    hello
}

/// Renames the groups of all shares (extension 51) to ones that nobody knows, and leaves the groups as they are.
fn without_key_shares(mut hello: Vec<u8>) -> Vec<u8> {
    let word = |hello: &[u8], at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    // Record and handshake heads, version, random; then session id, suites and compression.
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + word(&hello, at);
    at += 1 + usize::from(hello[at]) + 2;
    while word(&hello, at) != 51 {
        at += 4 + word(&hello, at + 2);
    }
    let (mut share, end, mut unknown) = (at + 6, at + 4 + word(&hello, at + 2), 0x30);
    while share < end {
        (hello[share], hello[share + 1]) = (0x12, unknown);
        unknown += 1;
        share += 4 + word(&hello, share + 2);
    }
    hello
}

fn written(pair: &mut Pair) -> Vec<u8> {
    let mut out = Vec::new();
    while pair.ours.wants_write() {
        pair.ours.write_tls(&mut out).expect("memory");
    }
    out
}
