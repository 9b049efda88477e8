//! A fleet at one control: how long until every node is attached after a start, and until every node has acknowledged a policy.
//!
//! The control is the real one, in this process; the nodes are simulated and speak the real link, each over a connection of its
//! own with a certificate of its own, and acknowledge a state when they have read it whole. What a node does with a policy is
//! measured elsewhere (`decide`). `PENSTOCK_BENCH_NODES` says how many there are (default 1,000; each takes two descriptors here).
//! The bar is 10 seconds for a thousand.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a bench may panic and says what it did")]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream as Blocking};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use hyper_util::rt::TokioIo;
use penstock_control::ca::{Asked, LinkAuthority};
use penstock_control::config::Config;
use penstock_control::daemon::Daemon;
use penstock_core::mint::{SignError, Signer, encode_node_request};
use penstock_link::link_client::LinkClient;
use penstock_link::{
    CONTROL_HOST_NAME, FromNode, Hello, Installed, MESSAGE_BYTES_MAX, MetricsReport, SealingPair, from_node,
    node_config, to_node,
};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

const NODES: usize = 1_000;
const PUSHES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);

struct Key(EcdsaKeyPair);

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

/// What all nodes count together.
#[derive(Default)]
struct Counts {
    attached: AtomicUsize,
    retries: AtomicUsize,
}

fn main() {
    let nodes = std::env::var("PENSTOCK_BENCH_NODES").ok().and_then(|count| count.parse().ok()).unwrap_or(NODES);
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(folder.path(), nodes));
    // Nodes dial for ever; nobody waits for them.
    runtime.shutdown_background();
}

async fn run(folder: &Path, nodes: usize) {
    let config = folder.join("control.toml");
    let state = folder.join("state");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nstate_directory = {state:?}\nacknowledge_deadline_ms = 60000\n[link]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(&config, text).expect("a configuration");
    let daemon = Daemon::start(Config::read(&config).expect("a configuration"), None).await.expect("a control");
    let (admin, link) = (daemon.address(), daemon.link_address().expect("a link"));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(daemon.serve(async { drop(stopped.await) }));
    let token = std::fs::read_to_string(state.join("admin.token")).expect("a token");
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/policies/example.toml");
    let policy = std::fs::read_to_string(policy).expect("a policy");
    push(admin, &token, &policy, 0).await;

    let began = Instant::now();
    let identities: Vec<_> = {
        let authority = LinkAuthority::open_or_create(&state, now()).expect("the authority");
        (0..nodes).map(|index| identity(&authority, &format!("edge-{index}"))).collect()
    };
    println!("{nodes} certificates in {:.1?}", began.elapsed());

    let (began, counts) = (Instant::now(), Arc::new(Counts::default()));
    for (index, tls) in identities.into_iter().enumerate() {
        tokio::spawn(live(format!("edge-{index}"), link, tls, Arc::clone(&counts)));
    }
    while counts.attached.load(Ordering::Relaxed) < nodes {
        assert!(began.elapsed() < PATIENCE, "{} of {nodes} attached", counts.attached.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let retries = counts.retries.load(Ordering::Relaxed);
    println!("{nodes} nodes came at once, and had the policy in {:.2?}, after {retries} retries", began.elapsed());

    let mut times = Vec::new();
    for round in 0..PUSHES {
        let began = Instant::now();
        push(admin, &token, &format!("{policy}\n# {round}\n"), nodes).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("a policy of {} bytes acknowledged by all {nodes}: {times:.2?}", policy.len());
    drop(stop);
    drop(tokio::time::timeout(PATIENCE, serving).await);
}

/// Publishes the policy, and answers when control says that `nodes` of them have it.
async fn push(admin: SocketAddr, token: &str, policy: &str, nodes: usize) {
    let request = format!(
        "PUT /api/v1/policy HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {}\r\nContent-Type: application/toml\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{policy}",
        token.trim(),
        policy.len()
    );
    let answer = tokio::task::spawn_blocking(move || -> io::Result<String> {
        let mut stream = Blocking::connect(admin)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    let answer = answer.await.expect("a thread").expect("an answer");
    let installed = answer.matches("\"state\":\"installed\"").count();
    assert!(answer.starts_with("HTTP/1.1 200") && installed == nodes, "{installed} of {nodes}: {answer:.300}");
}

/// Attaches, and again when the connection is lost.
async fn live(name: String, link: SocketAddr, tls: Arc<ClientConfig>, counts: Arc<Counts>) {
    loop {
        if let Ok(channel) = dial(link, Arc::clone(&tls)).await {
            let _ended = attach(&name, channel, &counts).await;
        }
        counts.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn attach(name: &str, channel: Channel, counts: &Counts) -> Result<(), tonic::Status> {
    let public = || SealingPair::generate().map_or_else(Vec::new, |pair| pair.public().to_vec());
    let hello = Hello {
        node: name.to_owned(),
        shards: 1,
        sealing_key: public(),
        ticket_sealing_key: public(),
        ..Hello::default()
    };
    let (outbound, messages) = mpsc::channel(8);
    let say = |message| FromNode { message: Some(message) };
    let _queued = outbound.try_send(say(from_node::Message::Hello(hello)));
    let mut client = LinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let mut inbound = client.attach(ReceiverStream::new(messages)).await?.into_inner();
    let mut has_policy = false;
    while let Some(message) = inbound.message().await? {
        let answer = match message.message {
            Some(to_node::Message::State(state)) => {
                let issuer = state.issuer.unwrap_or_default();
                assert!(!state.policy.is_empty() && issuer.key.is_empty() && !issuer.sealed_key.is_empty());
                from_node::Message::Installed(Installed { epoch: state.epoch, issuer: issuer.serial })
            }
            Some(to_node::Message::Metrics(request)) => {
                from_node::Message::Metrics(MetricsReport { id: request.id, samples: Vec::new() })
            }
            Some(to_node::Message::Authorities(_) | to_node::Message::TicketKeys(_)) | None => continue,
        };
        let is_first = matches!(answer, from_node::Message::Installed(_)) && !std::mem::replace(&mut has_policy, true);
        if outbound.send(say(answer)).await.is_err() {
            break;
        }
        counts.attached.fetch_add(usize::from(is_first), Ordering::Relaxed);
    }
    counts.attached.fetch_sub(usize::from(has_policy), Ordering::Relaxed);
    Ok(())
}

async fn dial(link: SocketAddr, tls: Arc<ClientConfig>) -> Result<Channel, tonic::transport::Error> {
    let connect = service_fn(move |_| {
        let connector = TlsConnector::from(Arc::clone(&tls));
        async move {
            let stream = TcpStream::connect(link).await?;
            let name = ServerName::try_from(CONTROL_HOST_NAME).map_err(io::Error::other)?;
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://control.invalid").connect_with_connector(connect).await
}

fn identity(authority: &LinkAuthority, name: &str) -> Arc<ClientConfig> {
    let key = Key(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"));
    let public = key.0.public_key().as_der().expect("a public key").as_ref().to_vec();
    let request = encode_node_request(&public, &key).expect("a request");
    let asked = Asked { pkcs10: &request, several: true };
    let signed = authority.certify_node(name, asked, now()).expect("a certificate");
    let secret = PrivatePkcs8KeyDer::from(key.0.to_pkcs8v1().expect("a key").as_ref().to_vec());
    let [above, certificate] = [signed.authority, signed.certificate].map(CertificateDer::from);
    Arc::new(node_config([above], certificate, secret.into()).expect("a configuration"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("before the year 292277026596")
}
