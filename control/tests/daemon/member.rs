//! A data plane of another machine as far as TLS can tell: its key, its certificate, and how it came by them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use hyper_util::rt::TokioIo;
use penstock_core::mint::{SignError, Signer, encode_node_request};
use penstock_link::enrolment_client::EnrolmentClient;
use penstock_link::{
    CONTROL_HOST_NAME, CertificateRequest, Hello, JoinRequest, JoinToken, NodeCertificate, SealingPair, joining_config,
    node_config, pem,
};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

use crate::control::Control;
use crate::node::{Manner, Node};

pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) tls: Arc<ClientConfig>,
}

pub(crate) struct Key(EcdsaKeyPair);

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

impl Key {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        encode_node_request(self.0.public_key().as_der().unwrap().as_ref(), self).unwrap()
    }

    pub(crate) fn tls(&self, sent: &NodeCertificate) -> Arc<ClientConfig> {
        let key = PrivatePkcs8KeyDer::from(self.0.to_pkcs8v1().unwrap().as_ref().to_vec());
        let authorities = std::iter::once(&sent.authority).chain(&sent.also);
        let authorities = authorities.map(|der| CertificateDer::from(der.clone()));
        Arc::new(node_config(authorities, CertificateDer::from(sent.certificate.clone()), key.into()).unwrap())
    }
}

/// A token for `name`, by the admin API.
pub(crate) fn token(control: &Control, name: &str, seconds: u64) -> JoinToken {
    let asked = json!({ "node": name, "seconds": seconds }).to_string();
    let made = control.api("POST", "/nodes/tokens", &[("Content-Type", "application/json")], &asked);
    assert_eq!(made.status, 201, "{}", made.body);
    JoinToken::parse(made.json()["token"].as_str().unwrap()).unwrap()
}

impl Member {
    /// Joins by a fresh token.
    pub(crate) fn join(control: &Control, name: &str) -> Self {
        Self::join_by(control, &token(control, name, 60), name).unwrap()
    }

    pub(crate) fn join_by(control: &Control, token: &JoinToken, name: &str) -> Result<Self, tonic::Status> {
        let key = Key::new();
        let sent = ask_to_join(control, token.secret.to_vec(), key.request())?;
        Ok(Self { name: name.to_owned(), tls: key.tls(&sent) })
    }

    pub(crate) fn hello(&self) -> Hello {
        let [sealing_key, ticket_sealing_key] = [(); 2].map(|()| SealingPair::generate().unwrap().public().to_vec());
        Hello { node: self.name.clone(), shards: 1, sealing_key, ticket_sealing_key, ..Hello::default() }
    }

    /// Attaches by TLS as whom `hello` says.
    pub(crate) fn attach_as(&self, control: &Control, hello: Hello) -> Result<Node, tonic::Status> {
        self.attach_in(control, hello, Manner::Installs)
    }

    /// The same, answering in that manner from the first state on.
    pub(crate) fn attach_in(&self, control: &Control, hello: Hello, manner: Manner) -> Result<Node, tonic::Status> {
        let runtime = Runtime::new().unwrap();
        let channel = runtime.block_on(dial(control.link(), Arc::clone(&self.tls)));
        let channel = channel.map_err(|error| tonic::Status::unavailable(format!("{error:?}")))?;
        Node::attach_by(runtime, channel, hello, manner)
    }

    pub(crate) fn attach(&self, control: &Control) -> Result<Node, tonic::Status> {
        self.attach_as(control, self.hello())
    }
}

/// Asks for a certificate as somebody who has none.
pub(crate) fn ask_to_join(
    control: &Control,
    secret: Vec<u8>,
    pkcs10: Vec<u8>,
) -> Result<NodeCertificate, tonic::Status> {
    let runtime = Runtime::new().unwrap();
    let channel = runtime.block_on(dial(control.link(), guest(&control.state()))).unwrap();
    let asked = JoinRequest { secret, certificate: Some(CertificateRequest { pkcs10, several: true }) };
    Ok(runtime.block_on(EnrolmentClient::new(channel).join(asked))?.into_inner())
}

/// TLS without a certificate; believes what is in `state`.
pub(crate) fn guest(state: &Path) -> Arc<ClientConfig> {
    let text = fs::read_to_string(state.join("link-authority.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    for authority in pem::read_all(&text, pem::CERTIFICATE).unwrap() {
        roots.add(CertificateDer::from(authority.to_vec())).unwrap();
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    Arc::new(joining_config(verifier).unwrap())
}

pub(crate) async fn dial(address: SocketAddr, tls: Arc<ClientConfig>) -> Result<Channel, Error> {
    let connect = service_fn(move |_| {
        let connector = TlsConnector::from(Arc::clone(&tls));
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from(CONTROL_HOST_NAME).map_err(io::Error::other)?;
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://control.invalid").connect_with_connector(connect).await
}
