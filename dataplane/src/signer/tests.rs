//! The data plane's end against a signer on a thread, over the same socket, and against one that the test plays.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use penstock_core::flow::FaultKind;
use penstock_core::limits::{
    SIGNER_ISSUERS_MAX, SIGNER_MESSAGE_BYTES_MAX, SIGNER_MINTS_PER_SECOND_MAX, SIGNER_REQUESTS_MAX,
};
use penstock_core::mint::CertificateFacts;
use penstock_core::signer::{Answer, MintRequest, Refusal};
use penstock_core::sni::Sni;
use penstock_link::{SealingPair, seal};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use tempfile::TempDir;
use tokio::time::timeout;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::process::serve;
use super::{AdoptError, Holder, Place, SealedIssuer, SignerHandle, identity, start};
use crate::metrics::ProcessCells;
use crate::tls::tests::bed::{issuer_parts, now};

/// A signer in all but the process.
pub(super) fn serve_on_thread(socket: OwnedFd, state_directory: &Path) {
    let pair = identity::load(state_directory).unwrap();
    std::thread::spawn(move || serve(socket.as_fd(), Holder::new(pair)));
}

/// A signer on a thread of its own, with the task that tends it.
struct Bench {
    directory: TempDir,
    cells: Arc<ProcessCells>,
    signer: SignerHandle,
}

impl Bench {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cells = Arc::new(ProcessCells::new());
        let place = Place::Thread { state_directory: directory.path().to_owned() };
        let signer = start(&tokio::runtime::Handle::current(), place, Arc::clone(&cells));
        Self { directory, cells, signer }
    }

    async fn sealing_key(&self) -> Vec<u8> {
        timeout(LONG, self.signer.started()).await.unwrap().unwrap()
    }

    async fn give(&self, issuer: &Made) -> Result<(), AdoptError> {
        let sealed_key = seal(&self.sealing_key().await, &issuer.certificate, &issuer.key).unwrap();
        self.signer.adopt(SealedIssuer { certificate: issuer.certificate.clone(), sealed_key }, LONG).await
    }
}

/// An issuer with its key.
struct Made {
    certificate: Vec<u8>,
    key: Vec<u8>,
    root: Vec<u8>,
}

impl Made {
    fn new(hosts: &[&str]) -> Self {
        let (chain, key, _) = issuer_parts(now(), hosts);
        let [certificate, root] = chain.try_into().unwrap();
        Self { certificate, key, root }
    }

    fn request(&self, name: &str) -> MintRequest {
        let id = digest(&SHA256, &self.certificate).as_ref().try_into().unwrap();
        let public_key = CertificateFacts::parse(&self.root).unwrap().public_key().to_vec();
        MintRequest { issuer: id, name: Sni::parse(name.as_bytes()).unwrap(), public_key }
    }
}

fn holder() -> Holder {
    Holder::new(SealingPair::generate().unwrap())
}

#[test]
fn h103_a_key_that_is_not_the_certificates_is_refused() {
    let (issuer, other) = (Made::new(&["*.saas.example"]), Made::new(&["*.saas.example"]));
    let mut holder = holder();
    assert_eq!(holder.adopt(&issuer.certificate, &other.key), Err(Refusal::KeyMismatch));
    assert_eq!(holder.adopt(&issuer.certificate, b"no key"), Err(Refusal::Key));
    assert_eq!(holder.adopt(b"no certificate", &issuer.key), Err(Refusal::Certificate));
    assert_eq!(holder.mint(&issuer.request("login.saas.example"), now()), Err(Refusal::UnknownIssuer));
    assert_eq!(holder.adopt(&issuer.certificate, &issuer.key), Ok(()));
    let leaf = holder.mint(&issuer.request("login.saas.example"), now()).unwrap();
    assert_eq!(holder.adopt(&leaf.certificate, &issuer.key), Err(Refusal::Certificate), "a leaf signs nothing");
}

/// What others make of the leaf: x509-parser reads it strictly, and the issuer's key is what signed it.
#[test]
fn what_is_signed_is_a_leaf_whoever_reads_it() {
    let issuer = Made::new(&["*.saas.example"]);
    let mut holder = holder();
    holder.adopt(&issuer.certificate, &issuer.key).unwrap();
    let leaf = holder.mint(&issuer.request("login.saas.example"), now()).unwrap().certificate;
    let (rest, leaf) = X509Certificate::from_der(&leaf).unwrap();
    assert!(rest.is_empty() && !leaf.is_ca());
    assert!(leaf.basic_constraints().unwrap().is_none_or(|constraints| !constraints.value.ca));
    let usage = leaf.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign());
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && !extended.client_auth && !extended.code_signing && !extended.any);
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert_eq!(*names, [GeneralName::DNSName("login.saas.example")]);
    let (_, above) = X509Certificate::from_der(&issuer.certificate).unwrap();
    assert_eq!(leaf.issuer().as_raw(), above.subject().as_raw());
    assert_eq!(holder.mint(&issuer.request("login.bank.example"), now()), Err(Refusal::Name));
}

#[test]
fn more_than_a_second_bears_is_answered_busy() {
    let issuer = Made::new(&["*.saas.example"]);
    let mut holder = holder();
    holder.adopt(&issuer.certificate, &issuer.key).unwrap();
    let request = issuer.request("login.saas.example");
    let at = now();
    for _ in 0..SIGNER_MINTS_PER_SECOND_MAX {
        holder.mint(&request, at).unwrap();
    }
    assert_eq!(holder.mint(&request, at), Err(Refusal::Busy));
    assert!(holder.mint(&request, at + 1).is_ok());
}

/// The newest issuers stay: those of handshakes that have begun.
#[test]
fn issuers_are_bounded() {
    let issuers: Vec<Made> = (0..=SIGNER_ISSUERS_MAX).map(|_| Made::new(&["*.saas.example"])).collect();
    let mut holder = holder();
    for issuer in &issuers {
        holder.adopt(&issuer.certificate, &issuer.key).unwrap();
        holder.adopt(&issuer.certificate, &issuer.key).unwrap();
    }
    let mints = |issuer: &Made, holder: &mut Holder| holder.mint(&issuer.request("a.saas.example"), now()).map(|_| ());
    assert_eq!(mints(&issuers[0], &mut holder), Err(Refusal::UnknownIssuer));
    for issuer in &issuers[1..] {
        assert_eq!(mints(issuer, &mut holder), Ok(()));
    }
}

#[tokio::test]
async fn a_sealed_issuer_is_taken_and_signs() {
    let bench = Bench::start();
    let issuer = Made::new(&["*.saas.example"]);
    assert_eq!(bench.signer.mint(issuer.request("a.saas.example")).await, Err(FaultKind::NotReady));
    assert_eq!(bench.give(&issuer).await, Ok(()));
    assert!(bench.signer.mint(issuer.request("a.saas.example")).await.is_ok());
    assert_eq!(bench.signer.mint(issuer.request("a.bank.example")).await, Err(FaultKind::NotReady));
    assert_eq!(bench.cells.signer_up.value(()), 1);
    let file = std::fs::read(bench.directory.path().join("signer.key")).unwrap();
    assert!(file.ends_with(&bench.sealing_key().await));
}

#[tokio::test]
async fn what_is_sealed_for_another_or_with_another_certificate_is_refused() {
    let bench = Bench::start();
    let (issuer, other) = (Made::new(&["*.saas.example"]), Made::new(&["*.example"]));
    let sealing_key = bench.sealing_key().await;
    let stranger = SealingPair::generate().unwrap();
    for sealed_key in [
        seal(stranger.public(), &issuer.certificate, &issuer.key).unwrap(),
        seal(&sealing_key, &other.certificate, &issuer.key).unwrap(),
        issuer.key.clone(),
        Vec::new(),
    ] {
        let issuer = SealedIssuer { certificate: issuer.certificate.clone(), sealed_key };
        assert_eq!(bench.signer.adopt(issuer, LONG).await, Err(AdoptError::Refused(Refusal::Sealed)));
    }
    let large = SealedIssuer { certificate: vec![0x30; SIGNER_MESSAGE_BYTES_MAX], sealed_key: Vec::new() };
    assert_eq!(bench.signer.adopt(large, LONG).await, Err(AdoptError::Refused(Refusal::Certificate)));
    assert_eq!(bench.give(&Made { key: other.key, ..issuer }).await, Err(AdoptError::Refused(Refusal::KeyMismatch)));
}

/// Bytes that are no request end the signer, and the one that comes after it has the issuers of the one before.
#[tokio::test]
async fn a_signer_that_dies_is_started_again_with_its_issuers() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = pair();
    serve_on_thread(theirs, directory.path());
    send(&ours, b"nonsense", SendFlags::empty()).unwrap();
    let mut packet = [0; 4_096];
    let hello = recv(&ours, packet.as_mut_slice(), RecvFlags::empty()).unwrap().0;
    assert!(matches!(Answer::parse(&packet[..hello]), Some(Answer::Hello { .. })));
    assert_eq!(recv(&ours, packet.as_mut_slice(), RecvFlags::empty()).unwrap().0, 0, "it ends");

    let bench = Bench::start();
    let issuer = Made::new(&["*.saas.example"]);
    bench.give(&issuer).await.unwrap();
    for _ in 0..3 {
        // A request that the signer does not take for one.
        let broken = MintRequest { public_key: vec![0; usize::from(u16::MAX) + 1], ..issuer.request("a.saas.example") };
        assert_eq!(bench.signer.mint(broken).await, Err(FaultKind::NotReady), "asked twice, died twice");
        let again = async { while bench.signer.mint(issuer.request("a.saas.example")).await.is_err() {} };
        timeout(LONG, again).await.unwrap();
    }
}

/// Nobody answers: asked in vain until the deadline, refused at once when too many wait.
#[tokio::test]
async fn h105_a_signer_that_says_nothing_costs_a_deadline_and_no_more() {
    let (signer, mut asked) = SignerHandle::played();
    let issuer = Made::new(&["*.saas.example"]);
    let started = tokio::time::Instant::now();
    assert_eq!(signer.mint(issuer.request("a.saas.example")).await, Err(FaultKind::Deadline));
    assert!(started.elapsed() <= Duration::from_secs(1));
    // The first is still in the queue.
    while asked.len() < SIGNER_REQUESTS_MAX {
        let signer = signer.clone();
        let request = issuer.request("a.saas.example");
        tokio::spawn(async move { signer.mint(request).await });
        tokio::task::yield_now().await;
    }
    assert_eq!(signer.mint(issuer.request("a.saas.example")).await, Err(FaultKind::TooMany));
    while asked.try_recv().is_ok() {}
    drop(asked);
    assert_eq!(signer.mint(issuer.request("a.saas.example")).await, Err(FaultKind::Draining));
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

/// For what takes no time to speak of.
const LONG: Duration = Duration::from_secs(30);
