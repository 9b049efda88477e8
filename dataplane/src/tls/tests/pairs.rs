//! The engines against each other: every pair of client and server, as our upstream leg and our downstream leg.

use std::io::{self, IoSlice, Read as _};
use std::sync::Arc;

use penstock_core::flow::FaultKind;
use penstock_core::limits::INSPECT_BUFFER_BYTES_MAX;
use penstock_core::policy::{EngineKind, Engines};

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup};
use rustls::version::TLS13;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ServerConfig};

use super::bed::{Bed, EACH, HOST, Shard, downstream, sni, upstream};
use super::origin::TestCa;
use super::wire::Wire;
use crate::tls::chain::Voucher;
use crate::tls::engine::{Engine, PlainRead};
use crate::tls::roots::UpstreamRoots;
use crate::tls::{Alpn, Leaf, Offer, TlsShared};

/// One end and what it holds.
struct End {
    engine: Box<dyn Engine>,
    ingress: Wire,
    plain: Vec<u8>,
    end: Option<PlainRead>,
    outcome: Result<(), FaultKind>,
}

/// A client and a server, both ours.
struct Ends {
    client: End,
    server: End,
}

/// The client's shard, the server's, and the leaf that it serves.
struct Sides {
    client: Shard,
    server: Shard,
    leaf: Arc<Leaf>,
}

/// A client side that trusts what `bed` mints, and a server side that serves `bed`'s leaves.
fn sides(bed: &Bed, engines: Engines) -> Sides {
    let mut roots = UpstreamRoots::default();
    assert!(roots.add(&bed.root, Voucher::Operator));
    let shared = Arc::new(TlsShared::new(roots).expect("shared"));
    let mut server = bed.shard_by(engines);
    let (leaf, _) = bed.leaf(&mut server, HOST);
    Sides { client: Shard::new(&shared, engines), server, leaf }
}

fn pairs() -> impl Iterator<Item = Engines> {
    let each = EngineKind::ALL;
    each.iter()
        .flat_map(|&upstream| each.iter().map(move |&downstream| Engines { upstream, downstream, legacy: false }))
}

impl End {
    fn new(engine: Box<dyn Engine>, step: usize) -> Self {
        Self { engine, ingress: Wire::new(step), plain: Vec::new(), end: None, outcome: Ok(()) }
    }

    /// Reads all that came and writes all that follows from it to `egress`; whether anything moved.
    fn turn(&mut self, egress: &mut Wire) -> bool {
        let mut moved = false;
        while !self.ingress.bytes.is_empty() && self.outcome.is_ok() {
            moved = true;
            match self.engine.read_tls(&mut self.ingress) {
                Ok(_) => self.outcome = self.engine.process(),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            self.take();
        }
        while self.engine.wants_write() {
            moved |= self.engine.write_tls(egress).expect("memory") > 0;
        }
        moved
    }

    fn take(&mut self) {
        let mut out = [0; 3001];
        loop {
            match self.engine.read_plain(&mut out) {
                PlainRead::Bytes(count) => self.plain.extend(&out[..count]),
                PlainRead::WouldBlock => return,
                end => {
                    self.end = Some(end);
                    return;
                }
            }
        }
    }
}

impl Ends {
    fn new(sides: &Sides, (offer, choice): (Offer, Option<Alpn>), step: usize) -> Self {
        let Sides { client, server, leaf } = sides;
        Self {
            client: End::new(client.upstream(&sni(HOST), offer, client.engines).expect("client"), step),
            server: End::new(server.downstream(leaf, choice, server.engines).expect("server"), step),
        }
    }

    fn run(&mut self) {
        while self.client.turn(&mut self.server.ingress) | self.server.turn(&mut self.client.ingress) {}
    }

    fn connected(&self) -> bool {
        !self.client.engine.is_handshaking() && !self.server.engine.is_handshaking()
    }

    /// Sends to both at once, to the end.
    fn exchange(&mut self, to_server: &[u8], to_client: &[u8]) {
        let (mut to_server, mut to_client) = (to_server, to_client);
        while !to_server.is_empty() || !to_client.is_empty() {
            to_server = &to_server[self.client.engine.write_plain(&[IoSlice::new(to_server)])..];
            to_client = &to_client[self.server.engine.write_plain(&[IoSlice::new(to_client)])..];
            self.run();
        }
    }
}

const HTTP: (Offer, Option<Alpn>) = (Offer::Http11, Some(Alpn::Http11));

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 17 % 253) as u8).collect()
}

#[test]
fn every_pair_exchanges_data_in_any_cut() {
    let bed = Bed::new();
    for engines in pairs() {
        let sides = sides(&bed, engines);
        for step in [1, 3, 5, 1399, usize::MAX] {
            let mut ends = Ends::new(&sides, HTTP, step);
            ends.run();
            assert!(ends.connected(), "{engines:?}, step {step}: {:?}", (ends.client.outcome, ends.server.outcome));
            assert!(ends.client.engine.verified().is_some_and(|proof| proof.name() == &sni(HOST)));
            assert!(ends.server.engine.verified().is_none());
            let (egress, ingress) = if step > 1000 { (3_000_001, 2_000_003) } else { (40_001, 17_000) };
            let (egress, ingress) = (pattern(egress), pattern(ingress));
            ends.exchange(&egress, &ingress);
            assert!(ends.server.plain == egress && ends.client.plain == ingress, "{engines:?}, step {step}");
        }
    }
}

#[test]
fn every_pair_agrees_on_the_protocol_or_tells_why_not() {
    let bed = Bed::new();
    let (h2, http) = (Alpn::Http2, Alpn::Http11);
    for engines in pairs() {
        let sides = sides(&bed, engines);
        for (offer, choice, agreed) in [
            (Offer::BothHttp2First, Some(h2), Ok(Some(h2))),
            (Offer::BothHttp2First, Some(http), Ok(Some(http))),
            (Offer::Both, None, Ok(None)),
            (Offer::Nothing, Some(http), Ok(None)),
            (Offer::Http2, Some(http), Err(FaultKind::Tls)),
        ] {
            let mut ends = Ends::new(&sides, (offer, choice), usize::MAX);
            ends.run();
            let found = |end: &End| end.outcome.map(|()| end.engine.alpn());
            assert_eq!((found(&ends.client), found(&ends.server)), (agreed, agreed), "{engines:?}, {offer:?}");
        }
    }
}

/// rustls keeps upstream sessions and boring does not; either serves tickets.
#[test]
fn every_pair_resumes_what_the_client_kept() {
    let bed = Bed::new();
    for engines in pairs() {
        let sides = sides(&bed, engines);
        let kept = engines.upstream == EngineKind::Rustls;
        for resumed in [false, kept, kept] {
            let mut ends = Ends::new(&sides, HTTP, usize::MAX);
            ends.run();
            ends.exchange(b"request", b"answer");
            assert_eq!(&ends.client.plain, b"answer");
            let seen = (ends.client.engine.is_resumed(), ends.server.engine.is_resumed());
            assert_eq!(seen, (resumed, resumed), "{engines:?}");
            assert!(ends.client.engine.verified().is_some());
        }
    }
}

#[test]
fn every_pair_tells_an_end_from_a_cut() {
    let bed = Bed::new();
    for engines in pairs() {
        let sides = sides(&bed, engines);
        let mut ends = Ends::new(&sides, HTTP, usize::MAX);
        ends.run();
        ends.server.engine.send_close_notify();
        ends.server.engine.send_close_notify();
        ends.run();
        assert_eq!(ends.client.end, Some(PlainRead::Closed));
        assert!(!ends.client.engine.wants_read());
        // The other direction stays open.
        ends.exchange(b"still said", b"");
        assert_eq!((&ends.server.plain[..], ends.server.end), (&b"still said"[..], None));
        ends.client.engine.send_close_notify();
        ends.run();
        assert_eq!(ends.server.end, Some(PlainRead::Closed));

        let mut ends = Ends::new(&sides, HTTP, usize::MAX);
        ends.run();
        for end in [&mut ends.client, &mut ends.server] {
            assert_eq!(end.engine.read_tls(&mut io::empty()).expect("end"), 0);
            assert_eq!(end.engine.process(), Ok(()));
            end.take();
            assert_eq!(end.end, Some(PlainRead::Truncated));
        }
    }
}

/// HelloRetryRequest (RFC 8446 section 4.1.4), on either leg: the first share is for a group that the other side does not
/// like or know.
#[test]
fn each_engine_asks_and_is_asked_for_another_share() {
    let bed = Bed::new();
    let provider = |groups: &[&'static dyn SupportedKxGroup]| {
        Arc::new(CryptoProvider { kx_groups: groups.to_vec(), ..aws_lc_rs::default_provider() })
    };
    let origin = {
        let resolver = Arc::clone(&bed.origin(HOST).cert_resolver);
        let builder = ServerConfig::builder_with_provider(provider(&[kx_group::SECP384R1]));
        let builder = builder.with_protocol_versions(&[&TLS13]).expect("versions").with_no_client_auth();
        Arc::new(builder.with_cert_resolver(resolver))
    };
    let client = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(bed.root.clone()).expect("root");
        let builder = ClientConfig::builder_with_provider(provider(&[&Unliked, kx_group::X25519]));
        let builder = builder.with_protocol_versions(&[&TLS13]).expect("versions");
        // A new one each time: they remember which group a server likes.
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    };
    for engines in EACH {
        let mut shard = bed.shard_by(engines);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        for mut pair in
            [upstream(&shard, HOST, &origin, usize::MAX), downstream(&shard, &leaf, &client(), HOST, usize::MAX)]
        {
            assert_eq!(pair.exchange(b"out", b"in"), Ok(()), "{engines:?}");
            assert_eq!((&pair.at_peer[..], &pair.at_ours[..]), (&b"out"[..], &b"in"[..]));
            assert_eq!(pair.peer.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest), "{engines:?}");
        }
    }
}

/// P-384 under the number of a group that nobody has.
#[derive(Debug)]
struct Unliked;

impl SupportedKxGroup for Unliked {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        kx_group::SECP384R1.start().map(|inner| Box::new(UnlikedShare(inner)) as Box<dyn ActiveKeyExchange>)
    }
    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(0x2f2f)
    }
}

struct UnlikedShare(Box<dyn ActiveKeyExchange>);

impl ActiveKeyExchange for UnlikedShare {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        self.0.complete(peer)
    }
    fn pub_key(&self) -> &[u8] {
        self.0.pub_key()
    }
    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(0x2f2f)
    }
}

/// A root that the client does not know: both sides learn why.
#[test]
fn every_pair_refuses_an_unknown_root() {
    let bed = Bed::new();
    for engines in pairs() {
        let sides = sides(&bed, engines);
        let roots = TestCa::new("stranger").roots(Voucher::Operator);
        let stranger = Shard::new(&Arc::new(TlsShared::new(roots).expect("shared")), engines);
        let mut ends = Ends::new(&Sides { client: stranger, ..sides }, HTTP, usize::MAX);
        ends.run();
        assert_eq!(ends.client.outcome, Err(FaultKind::CertificateUnknown), "{engines:?}");
        assert_eq!(ends.server.outcome, Err(FaultKind::Untrusted), "{engines:?}");
        assert!(ends.client.engine.verified().is_none());
    }
}

/// A record that is changed or longer than any may be ends the connection, and a peer that stalls costs a bound.
#[test]
fn every_pair_bounds_and_checks_records() {
    let bed = Bed::new();
    for engines in pairs() {
        let sides = sides(&bed, engines);
        let mut ends = Ends::new(&sides, HTTP, usize::MAX);
        ends.run();
        let block = pattern(50_000);
        let mut taken = 0;
        loop {
            match ends.client.engine.write_plain(&[IoSlice::new(&block)]) {
                0 => break,
                count => taken += count,
            }
        }
        assert!((INSPECT_BUFFER_BYTES_MAX / 2..=INSPECT_BUFFER_BYTES_MAX).contains(&taken), "{engines:?}: {taken}");
        let mut wire = Wire::new(usize::MAX);
        while ends.client.engine.wants_write() {
            ends.client.engine.write_tls(&mut wire).expect("memory");
        }
        let mut sent = Vec::new();
        let _would_block = wire.read_to_end(&mut sent);
        sent[600] ^= 1;
        ends.server.ingress.bytes.extend(sent);
        ends.run();
        assert_eq!(ends.server.outcome, Err(FaultKind::Tls), "{engines:?}");
        assert!(ends.server.plain.is_empty());

        let mut ends = Ends::new(&sides, HTTP, usize::MAX);
        ends.run();
        ends.client.ingress.bytes.extend([23, 3, 3, 0x48, 0]);
        ends.client.ingress.bytes.extend(vec![0; 0x4800]);
        ends.run();
        assert!(matches!(ends.client.outcome, Err(FaultKind::TooLarge | FaultKind::Tls)), "{engines:?}");
    }
}
