//! What our side of a TLS handshake costs, both legs, and what a record costs after it: CPU time of the thread, without
//! the peer's work.
//!
//! The legs are by our rustls engine, and under `boring/` by the second one, which keeps no upstream sessions.
//!
//! `rustls/…` is the same handshake by rustls alone with its own verifier, as a measure of the machine in the same run.
//! The upstream shows a leaf and an intermediate, all P-256. Floors to compare with (rustls 0.23 in memory, one core):
//! upstream full 203 us, resumed 68 us; downstream full 108 us, resumed 95 us; about 20 us more each with
//! X25519MLKEM768, which both legs use here.

use std::error::Error;
use std::io::{IoSlice, Read as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use penstock_bench::processor::thread_time;
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, PermittedNames, SignError, Signer, Validity, encode_issuer, encode_root,
};
use penstock_core::policy::EngineKind;
use penstock_core::sni::Sni;
use penstock_dataplane::bench_support::{EngineBench, LeafBench, TlsBench};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::{
    ClientConfig, ClientConnection, Connection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

const HOST: &str = "login.saas.example";

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Everything that a handshake needs on either side.
struct Bed {
    tls: TlsBench,
    name: Sni,
    origin: Arc<ServerConfig>,
    /// Trusts our root; keeps no sessions.
    client: Arc<ClientConfig>,
    /// Trusts our root; keeps sessions.
    resuming_client: Arc<ClientConfig>,
    /// Trusts the upstream's root, with rustls' own verifier; keeps no sessions.
    plain_client: Arc<ClientConfig>,
}

struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Fallible<(Self, Vec<u8>)> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let public_key = pair.public_key().as_der()?.as_ref().to_vec();
        Ok((Self(pair), public_key))
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

impl Bed {
    fn new() -> Fallible<Self> {
        let (upstream_root, origin) = origin()?;
        let (chain, key, period) = issuer()?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(chain.last().ok_or("no root")?.clone()))?;
        let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let resuming_client = Arc::new(client.clone());
        client.resumption = Resumption::disabled();
        let mut upstream_roots = RootCertStore::empty();
        upstream_roots.add(upstream_root.clone())?;
        let mut plain = ClientConfig::builder().with_root_certificates(upstream_roots).with_no_client_auth();
        plain.resumption = Resumption::disabled();
        let tls = TlsBench::new(&upstream_root, &chain, &key, period).ok_or("a part is refused")?;
        let name = Sni::parse(HOST.as_bytes()).map_err(|_| "no host name")?;
        Ok(Self { tls, name, origin, client: Arc::new(client), resuming_client, plain_client: Arc::new(plain) })
    }

    /// Our side of one upstream handshake.
    fn upstream(&self) -> Fallible<(Duration, EngineBench)> {
        let mut peer = Connection::Server(ServerConnection::new(Arc::clone(&self.origin))?);
        let started = thread_time();
        let engine = self.tls.upstream(&self.name).ok_or("no engine")?;
        let elapsed = thread_time().saturating_sub(started);
        shake_hands(engine, &mut peer, elapsed)
    }

    /// Our side of one downstream handshake.
    fn downstream(&self, leaf: &LeafBench, client: &Arc<ClientConfig>) -> Fallible<(Duration, EngineBench)> {
        let mut peer = Connection::Client(ClientConnection::new(Arc::clone(client), ServerName::try_from(HOST)?)?);
        let started = thread_time();
        let engine = self.tls.downstream(leaf).ok_or("no engine")?;
        let elapsed = thread_time().saturating_sub(started);
        shake_hands(engine, &mut peer, elapsed)
    }

    /// Both sides of a handshake by rustls alone; `upstream` says which is timed.
    fn plain(&self, upstream: bool) -> Fallible<(Duration, Connection)> {
        let started = thread_time();
        let client = ClientConnection::new(Arc::clone(&self.plain_client), ServerName::try_from(HOST)?)?;
        let middle = thread_time();
        let server = ServerConnection::new(Arc::clone(&self.origin))?;
        let (for_client, for_server) = (middle.saturating_sub(started), thread_time().saturating_sub(middle));
        if upstream {
            shake_hands(Connection::Client(client), &mut Connection::Server(server), for_client)
        } else {
            shake_hands(Connection::Server(server), &mut Connection::Client(client), for_server)
        }
    }

    fn leaf(&mut self) -> Fallible<LeafBench> {
        let verified = self.upstream()?.1.verified().ok_or("not verified")?;
        Ok(self.tls.leaf(&self.name, &verified, now()?).ok_or("no leaf")?)
    }
}

/// One side of a handshake that is timed.
trait Side {
    /// Takes ciphertext and writes the answer; whether it went well.
    fn turn(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> bool;
    fn is_done(&self) -> (bool, bool);
}

impl Side for EngineBench {
    fn turn(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> bool {
        Self::turn(self, ciphertext, out)
    }

    fn is_done(&self) -> (bool, bool) {
        Self::is_done(self)
    }
}

impl Side for Connection {
    fn turn(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> bool {
        let fed = feed(self, ciphertext).is_ok();
        while self.wants_write() {
            if self.write_tls(out).is_err() {
                return false;
            }
        }
        fed
    }

    fn is_done(&self) -> (bool, bool) {
        (!self.is_handshaking(), self.handshake_kind() == Some(HandshakeKind::Resumed))
    }
}

/// Carries bytes until neither side has any, and adds up the timed side's time.
fn shake_hands<S: Side>(mut engine: S, peer: &mut Connection, mut elapsed: Duration) -> Fallible<(Duration, S)> {
    let mut to_engine = Vec::new();
    loop {
        let mut to_peer = Vec::with_capacity(16_384);
        let started = thread_time();
        let sound = engine.turn(&to_engine, &mut to_peer);
        elapsed += thread_time().saturating_sub(started);
        if !sound {
            return Err("our side refused".into());
        }
        to_engine.clear();
        feed(peer, &to_peer)?;
        while peer.wants_write() {
            peer.write_tls(&mut to_engine)?;
        }
        if to_engine.is_empty() {
            return if engine.is_done().0 { Ok((elapsed, engine)) } else { Err("no end of the handshake".into()) };
        }
    }
}

fn feed(peer: &mut Connection, mut ciphertext: &[u8]) -> Fallible<()> {
    while !ciphertext.is_empty() {
        peer.read_tls(&mut ciphertext)?;
        peer.process_new_packets()?;
        let mut plaintext = Vec::new();
        let _would_block = peer.reader().read_to_end(&mut plaintext);
    }
    Ok(())
}

/// A root, and a server below an intermediate of it.
fn origin() -> Fallible<(CertificateDer<'static>, Arc<ServerConfig>)> {
    let authority = |name| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        params
    };
    let (root_params, root_key) = (authority("root"), KeyPair::generate()?);
    let root = root_params.self_signed(&root_key)?;
    let root_issuer = Issuer::from_params(&root_params, &root_key);
    let (middle_params, middle_key) = (authority("middle"), KeyPair::generate()?);
    let middle = middle_params.signed_by(&middle_key, &root_issuer)?;
    let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &Issuer::from_params(&middle_params, &middle_key))?;
    let chain = vec![leaf.der().clone(), middle.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((root.der().clone(), Arc::new(config)))
}

/// Chain, key and period as the link delivers them.
fn issuer() -> Fallible<(Vec<Vec<u8>>, Vec<u8>, Validity)> {
    let ((root_key, root_public), (issuer_key, issuer_public)) = (Key::new()?, Key::new()?);
    let validity = Validity::from_now(now()?, 3650 * 86_400);
    let request = AuthorityRequest { common_name: "root", public_key: &root_public, serial: [1; 16], validity };
    let root = encode_root(&request, &root_key)?;
    let validity = Validity::from_now(now()?, 30 * 86_400);
    let request = AuthorityRequest { common_name: "issuer", public_key: &issuer_public, serial: [2; 16], validity };
    let permitted = PermittedNames::from_patterns(["*.saas.example"])?;
    let issuer = encode_issuer(&request, &CertificateFacts::parse(&root)?, &permitted, &root_key)?;
    Ok((vec![issuer, root], issuer_key.0.to_pkcs8v1()?.as_ref().to_vec(), validity))
}

fn now() -> Fallible<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

/// Times `operation`, which measures itself, `iterations` times; a failure ends the run.
fn total(iterations: u64, mut operation: impl FnMut() -> Fallible<Duration>) -> Duration {
    let mut sum = Duration::ZERO;
    for _ in 0..iterations {
        match operation() {
            Ok(elapsed) => sum += elapsed,
            Err(error) => {
                eprintln!("bench: {error}");
                std::process::exit(1);
            }
        }
    }
    sum
}

/// Times all iterations together; an `operation` that fails ends the run.
fn batch(iterations: u64, mut operation: impl FnMut() -> bool) -> Duration {
    let started = thread_time();
    for _ in 0..iterations {
        if !operation() {
            eprintln!("bench: refused");
            std::process::exit(1);
        }
    }
    thread_time().saturating_sub(started)
}

fn must_be(resumed: bool, (elapsed, engine): (Duration, impl Side)) -> Fallible<Duration> {
    if engine.is_done() == (true, resumed) { Ok(elapsed) } else { Err("not the handshake that was asked for".into()) }
}

fn handshakes(criterion: &mut Criterion) {
    let Ok(mut bed) = Bed::new() else { return };
    let mut group = criterion.benchmark_group("handshake");
    for (side, upstream) in [("rustls/upstream/full", true), ("rustls/downstream/full", false)] {
        group.bench_function(side, |bencher| {
            bencher.iter_custom(|iterations| total(iterations, || must_be(false, bed.plain(upstream)?)));
        });
    }
    group.bench_function("upstream/full/chain-new", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                bed.tls.forget_all();
                must_be(false, bed.upstream()?)
            })
        });
    });
    let no_tickets = Arc::new({
        let mut origin = (*bed.origin).clone();
        origin.send_tls13_tickets = 0;
        origin
    });
    let with_tickets = std::mem::replace(&mut bed.origin, no_tickets);
    bed.tls.forget_all();
    group.bench_function("upstream/full/chain-known", |bencher| {
        bencher.iter_custom(|iterations| total(iterations, || must_be(false, bed.upstream()?)));
    });
    bed.origin = with_tickets;
    let _first = bed.upstream();
    group.bench_function("upstream/resumed", |bencher| {
        bencher.iter_custom(|iterations| total(iterations, || must_be(true, bed.upstream()?)));
    });
    let Ok(leaf) = bed.leaf() else { return };
    group.bench_function("downstream/full", |bencher| {
        bencher.iter_custom(|iterations| total(iterations, || must_be(false, bed.downstream(&leaf, &bed.client)?)));
    });
    let _first = bed.downstream(&leaf, &bed.resuming_client);
    group.bench_function("downstream/resumed", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || must_be(true, bed.downstream(&leaf, &bed.resuming_client)?))
        });
    });
    group.finish();
    leaves(criterion, &mut bed);
    by_boring(criterion, &mut bed, &leaf);
}

/// The same by the second engine, as far as it does the same.
fn by_boring(criterion: &mut Criterion, bed: &mut Bed, leaf: &LeafBench) {
    bed.tls.choose(EngineKind::Boring);
    let mut group = criterion.benchmark_group("handshake/boring");
    group.bench_function("upstream/full/chain-new", |bencher| {
        bencher.iter_custom(|iterations| {
            total(iterations, || {
                bed.tls.forget_all();
                must_be(false, bed.upstream()?)
            })
        });
    });
    group.bench_function("upstream/full/chain-known", |bencher| {
        bencher.iter_custom(|iterations| total(iterations, || must_be(false, bed.upstream()?)));
    });
    group.bench_function("downstream/full", |bencher| {
        bencher.iter_custom(|iterations| total(iterations, || must_be(false, bed.downstream(leaf, &bed.client)?)));
    });
    let _first = bed.downstream(leaf, &bed.resuming_client);
    group.bench_function("downstream/resumed", |bencher| {
        bencher
            .iter_custom(|iterations| total(iterations, || must_be(true, bed.downstream(leaf, &bed.resuming_client)?)));
    });
    group.finish();
    bed.tls.choose(EngineKind::Rustls);
}

fn leaves(criterion: &mut Criterion, bed: &mut Bed) {
    let verified = bed.upstream().ok().and_then(|(_, engine)| engine.verified());
    let (Some(verified), Ok(mut now)) = (verified, now()) else { return };
    let mut group = criterion.benchmark_group("leaf");
    group.bench_function("cached", |bencher| {
        bencher.iter_custom(|iterations| batch(iterations, || bed.tls.leaf(&bed.name, &verified, now).is_some()));
    });
    let begin = now;
    group.bench_function("minted", |bencher| {
        bencher.iter_custom(|iterations| {
            batch(iterations, || {
                bed.tls.forget_leaves();
                // Another second each time, so that the bound on minting does not tell.
                now = begin + (now - begin + 1) % 1000;
                bed.tls.leaf(&bed.name, &verified, now).is_some()
            })
        });
    });
    group.finish();
}

/// After the handshake: a request of 1 KiB as a gather of four pieces, and full records.
fn records(criterion: &mut Criterion) {
    records_by(criterion, EngineKind::Rustls, "record");
    records_by(criterion, EngineKind::Boring, "record/boring");
}

fn records_by(criterion: &mut Criterion, engine: EngineKind, group: &str) {
    let Ok(mut bed) = Bed::new() else { return };
    bed.tls.choose(engine);
    let Ok((_, mut engine)) = bed.upstream() else { return };
    let mut group = criterion.benchmark_group(group);
    for bytes in [1024, 16_384] {
        let piece = vec![b'a'; bytes / 4];
        let pieces = [IoSlice::new(&piece); 4];
        let mut out = Vec::with_capacity(2 * bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("encrypt/{bytes}"), |bencher| {
            bencher.iter_custom(|iterations| {
                batch(iterations, || {
                    out.clear();
                    engine.encrypt(&pieces, &mut out) == bytes
                })
            });
        });
        let mut scratch = vec![0; 16_384];
        group.bench_function(format!("decrypt/{bytes}"), |bencher| {
            bencher.iter_custom(|iterations| total(iterations, || decrypt(&bed, bytes, &mut scratch)));
        });
    }
    group.finish();
}

/// Eight records of a fresh connection, the time of one.
fn decrypt(bed: &Bed, bytes: usize, scratch: &mut [u8]) -> Fallible<Duration> {
    const RECORDS: u32 = 8;
    let mut peer = Connection::Server(ServerConnection::new(Arc::clone(&bed.origin))?);
    let engine = bed.tls.upstream(&bed.name).ok_or("no engine")?;
    let (_, mut engine) = shake_hands(engine, &mut peer, Duration::ZERO)?;
    let mut ciphertext = Vec::new();
    for _ in 0..RECORDS {
        std::io::Write::write_all(&mut peer.writer(), &vec![b'a'; bytes])?;
        while peer.wants_write() {
            peer.write_tls(&mut ciphertext)?;
        }
    }
    let started = thread_time();
    let total = engine.decrypt(&ciphertext, scratch);
    let elapsed = thread_time().saturating_sub(started);
    if total == bytes * 8 { Ok(elapsed / RECORDS) } else { Err(format!("{total} bytes came").into()) }
}

criterion_group!(benches, handshakes, records);
criterion_main!(benches);
