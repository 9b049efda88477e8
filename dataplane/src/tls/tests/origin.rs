//! Origins with certificates of every kind, made by rcgen, and the client side that trusts us.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::tls::chain::Voucher;
use crate::tls::roots::UpstreamRoots;

/// A CA of the other side.
pub(super) struct TestCa {
    params: CertificateParams,
    key: KeyPair,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
}

/// A certificate chain with its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
}

impl TestCa {
    pub(super) fn new(name: &str) -> Self {
        Self::new_with(name, |_| {})
    }

    /// A root as `change` wants it.
    pub(super) fn new_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca_params(name), KeyPair::generate().expect("key"));
        change(&mut params);
        let certificate = params.self_signed(&key).expect("root");
        Self { params, key, certificate: certificate.der().clone(), pem: certificate.pem() }
    }

    /// An authority below this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        self.intermediate_with(name, |_| {})
    }

    /// An authority below this one, as `change` wants it.
    pub(super) fn intermediate_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca_params(name), KeyPair::generate().expect("key"));
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).expect("intermediate");
        Self { params, key, certificate: certificate.der().clone(), pem: certificate.pem() }
    }

    /// A certificate of this CA for the name and key of another.
    pub(super) fn certify(&self, other: &Self) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        other.params.signed_by(&other.key, &issuer).expect("cross-signed").der().clone()
    }

    /// A server's certificate for `names`, as `change` wants it.
    pub(super) fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (mut params, key) = (CertificateParams::new(names).expect("names"), KeyPair::generate().expect("key"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let issuer = Issuer::from_params(&self.params, &self.key);
        let leaf = params.signed_by(&key, &issuer).expect("leaf").der().clone();
        Identity { chain: vec![leaf], key }
    }

    /// Upstream roots of this CA alone, as the operator's or as the system's.
    pub(super) fn roots(&self, voucher: Voucher) -> UpstreamRoots {
        let mut roots = UpstreamRoots::default();
        assert!(roots.add(&self.certificate, voucher));
        roots
    }
}

/// A certificate that vouches for itself.
pub(super) fn self_signed(name: &str) -> Identity {
    let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
    let key = KeyPair::generate().expect("key");
    Identity { chain: vec![params.self_signed(&key).expect("leaf").der().clone()], key }
}

pub(super) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
}

pub(super) fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2090, 1, 1);
    params.not_after = date_time_ymd(2091, 1, 1);
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// What an origin asks of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Optional,
    Required,
}

/// An origin's configuration; ALPN h2 and http/1.1, as real ones have.
pub(super) fn server_config(
    identity: &Identity,
    versions: &[&'static SupportedProtocolVersion],
    client_auth: ClientAuth,
) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_protocol_versions(versions);
    let builder = match client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => {
            let mut roots = RootCertStore::empty();
            roots.add(TestCa::new("clients").certificate).expect("root");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            let verifier =
                if client_auth == ClientAuth::Optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        }
    };
    // Shown as it is, sound or not, whatever the key.
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).expect("key");
    let resolver = SingleCertAndKey::from(CertifiedKey::new(identity.chain.clone(), key));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}
