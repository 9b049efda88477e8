//! Certificates of the tests' own authority: good ones by name, and every bad one that an upstream could show.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

/// What an upstream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A CA as leaf.
    Authority,
    /// No subject alternative name, only a common name.
    CommonNameOnly,
    /// Signed by one of two authorities that certify each other, and that nobody else does.
    Cycle,
    /// Past its end.
    Expired,
    /// Good for the name.
    Good,
    /// Good, with a hundred certificates behind it that nobody needs.
    Hundred,
    /// The chain lacks the intermediate that signed the leaf.
    IntermediateMissing,
    /// Signed by an authority of whom fourteen certificates are shown, all by the name of the one that signs them: any of
    /// them may be the next of a path.
    Maze,
    /// Good, with a mebibyte of certificates behind it.
    Mebibyte,
    /// Only for client authentication.
    NotForServers,
    /// Before its start.
    NotYetValid,
    /// A wildcard above a public suffix.
    SuffixWildcard,
    /// Signed by itself.
    SelfSigned,
    /// Good for the name and for these.
    Shared(&'static [&'static str]),
    /// An extension that is critical and unknown to everybody.
    UnknownCritical,
    /// Signed by an authority that the appliance does not know.
    UnknownRoot,
    /// For another name.
    WrongName,
}

/// A root with the intermediate that some chains need.
pub struct TestAuthority {
    root: Issuer<'static, KeyPair>,
    root_der: CertificateDer<'static>,
    root_pem: String,
    intermediate: Issuer<'static, KeyPair>,
    intermediate_der: CertificateDer<'static>,
    leaf_key: KeyPair,
}

impl TestAuthority {
    /// Makes an authority called `name`.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority_params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let (root_der, root_pem) = (root.der().clone(), root.pem());
        let root = Issuer::new(params, key);
        let intermediate_key = KeyPair::generate().unwrap();
        let params = authority_params(&format!("{name} intermediate"));
        let intermediate_der = params.signed_by(&intermediate_key, &root).unwrap().der().clone();
        let intermediate = Issuer::new(params, intermediate_key);
        Self { root, root_der, root_pem, intermediate, intermediate_der, leaf_key: KeyPair::generate().unwrap() }
    }

    /// The root in PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root in DER.
    pub fn root_der(&self) -> &CertificateDer<'static> {
        &self.root_der
    }

    /// A good leaf for `name` with an RSA key, and the key, both in PEM: for servers that know nothing newer.
    pub fn certify_rsa(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let mut params = leaf_params(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        (params.signed_by(&key, &self.root).unwrap().pem(), key.serialize_pem())
    }

    /// A chain and its key for `name`.
    pub fn certify(&self, name: &str, shown: Shown) -> Arc<CertifiedKey> {
        let mut params = leaf_params(name);
        match shown {
            Shown::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Shown::CommonNameOnly => params.subject_alt_names.clear(),
            Shown::Expired => params.not_after = date_time_ymd(2024, 1, 1),
            Shown::NotForServers => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Shown::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            Shown::Shared(others) => {
                let beside = others.iter().filter(|other| **other != name);
                let names = beside.map(|&other| SanType::DnsName(other.try_into().unwrap()));
                params.subject_alt_names.extend(names);
            }
            Shown::SuffixWildcard => params = leaf_params("*.com"),
            Shown::UnknownCritical => {
                let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55_555, 1], vec![5, 0]);
                extension.set_criticality(true);
                params.custom_extensions.push(extension);
            }
            Shown::WrongName => params = leaf_params("wrong.example"),
            Shown::Cycle
            | Shown::Good
            | Shown::Hundred
            | Shown::IntermediateMissing
            | Shown::Maze
            | Shown::Mebibyte => {}
            Shown::SelfSigned | Shown::UnknownRoot => {}
        }
        let key = &self.leaf_key;
        let chain = match shown {
            Shown::SelfSigned => vec![params.self_signed(key).unwrap().der().clone()],
            Shown::UnknownRoot => {
                let stranger = Self::new("a stranger");
                vec![params.signed_by(key, &stranger.root).unwrap().der().clone(), stranger.root_der]
            }
            Shown::IntermediateMissing => vec![params.signed_by(key, &self.intermediate).unwrap().der().clone()],
            Shown::Good | Shown::Shared(_) => {
                vec![params.signed_by(key, &self.intermediate).unwrap().der().clone(), self.intermediate_der.clone()]
            }
            Shown::Cycle => {
                let (one, other) = (Stranger::new("one"), Stranger::new("other"));
                vec![
                    params.signed_by(key, &one.issuer).unwrap().der().clone(),
                    other.certify(&one),
                    one.certify(&other),
                ]
            }
            Shown::Maze => {
                let walls: Vec<Stranger> = (0..15).map(|_| Stranger::new("maze")).collect();
                let leaf = params.signed_by(key, &walls[0].issuer).unwrap().der().clone();
                let pairs = walls.iter().zip(walls.iter().skip(1));
                [leaf].into_iter().chain(pairs.map(|(wall, next)| next.certify(wall))).collect()
            }
            Shown::Hundred | Shown::Mebibyte => {
                let leaf = params.signed_by(key, &self.root).unwrap().der().clone();
                let filler = Stranger::new("filler");
                let filler = filler.certify(&filler);
                let count = if shown == Shown::Hundred { 100 } else { 1024 * 1024 / filler.len() };
                [leaf].into_iter().chain(vec![filler; count]).collect()
            }
            _ => vec![params.signed_by(key, &self.root).unwrap().der().clone()],
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Arc::new(CertifiedKey::new(chain, any_supported_type(&key).unwrap()))
    }
}

/// An authority that nobody knows.
struct Stranger {
    params: CertificateParams,
    issuer: Issuer<'static, KeyPair>,
}

impl Stranger {
    fn new(name: &str) -> Self {
        let mut params = authority_params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: Issuer::new(params.clone(), KeyPair::generate().unwrap()), params }
    }

    /// A certificate for `other`.
    fn certify(&self, other: &Self) -> CertificateDer<'static> {
        other.params.signed_by(other.issuer.key(), &self.issuer).unwrap().der().clone()
    }
}

impl std::fmt::Debug for TestAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestAuthority")
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params
}
