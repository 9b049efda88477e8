//! A throw-away certificate authority that issues a leaf for any name when a handshake asks for it.
//!
//! Owns the authority's key, its file, and the cache of issued leaves. The simulated endpoints and the load tool's
//! own origin call it; the appliance has its own, unrelated, minting.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// The authority: one P-256 key for itself and one for every leaf.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    leaf_key: KeyPair,
}

/// What is wrong, on purpose, with the certificate of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFlaw {
    /// It ended yesterday.
    Expired,
    /// It begins tomorrow.
    NotYetValid,
    /// It is signed by its own key.
    SelfSigned,
    /// It is signed by an authority that nobody was told of.
    UnknownRoot,
    /// It names another host.
    WrongName,
}

/// Why the authority could not be made, read or used.
#[derive(Debug)]
pub enum CertificateError {
    /// The file could not be read or written.
    File(io::Error),
    /// The key or certificate was refused.
    Generation(rcgen::Error),
    /// The key or certificate was refused by the TLS library.
    Tls(rustls::Error),
    /// The file does not hold one certificate and its key.
    Unreadable,
}

impl Authority {
    /// A new authority with a key of its own.
    pub fn generate() -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let pem = authority_parameters(AUTHORITY_NAME)?.self_signed(&key)?.pem();
        Self::assemble(key, pem)
    }

    /// The authority kept in `path`; makes one, readable by the owner alone, when the file is absent.
    pub fn open_or_create(path: &Path) -> Result<Self, CertificateError> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let (pem, key) = text.split_once(KEY_BEGIN).ok_or(CertificateError::Unreadable)?;
                let key = KeyPair::from_pem(&format!("{KEY_BEGIN}{key}"))?;
                Self::assemble(key, pem.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let authority = Self::generate()?;
                let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                file.write_all(authority.pem.as_bytes())?;
                file.write_all(authority.issuer.key().serialize_pem().as_bytes())?;
                Ok(authority)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The authority's own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A leaf for `name` and its key, ready for a handshake.
    pub fn issue(&self, name: &str, flaw: Option<CertificateFlaw>) -> Result<CertifiedKey, CertificateError> {
        let parameters = leaf_parameters(name, flaw)?;
        let certificate = match flaw {
            Some(CertificateFlaw::SelfSigned) => parameters.self_signed(&self.leaf_key)?,
            Some(CertificateFlaw::UnknownRoot) => {
                let stranger = Issuer::new(authority_parameters("Nobody's Test Root")?, KeyPair::generate()?);
                parameters.signed_by(&self.leaf_key, &stranger)?
            }
            _ => parameters.signed_by(&self.leaf_key, &self.issuer)?,
        };
        let key = PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der());
        let key = aws_lc_rs::sign::any_supported_type(&key.into())?;
        Ok(CertifiedKey::new(vec![CertificateDer::from(certificate.der().to_vec())], key))
    }

    fn assemble(key: KeyPair, pem: String) -> Result<Self, CertificateError> {
        let issuer = Issuer::new(authority_parameters(AUTHORITY_NAME)?, key);
        Ok(Self { issuer, pem, leaf_key: KeyPair::generate()? })
    }
}

/// Issues on demand by server name; remembers a bounded number of leaves.
pub struct OnDemand {
    authority: Authority,
    flaws: HashMap<String, CertificateFlaw>,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl OnDemand {
    /// Issues from `authority`; the hosts of `flaws` get what is said there.
    pub fn new(authority: Authority, flaws: HashMap<String, CertificateFlaw>) -> Self {
        Self { authority, flaws, leaves: Mutex::new(HashMap::new()) }
    }

    fn leaf(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(name) {
            return Some(Arc::clone(leaf));
        }
        if leaves.len() >= LEAVES_MAX {
            leaves.clear();
        }
        let leaf = Arc::new(self.authority.issue(name, self.flaws.get(name).copied()).ok()?);
        leaves.insert(name.to_owned(), Arc::clone(&leaf));
        Some(leaf)
    }
}

impl ResolvesServerCert for OnDemand {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(&hello.server_name().unwrap_or(NAME_WITHOUT_SNI).to_ascii_lowercase())
    }
}

impl std::fmt::Debug for OnDemand {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OnDemand").field("flaws", &self.flaws).finish_non_exhaustive()
    }
}

impl CertificateFlaw {
    /// Every flaw with the word that the command line uses.
    pub const ALL: [(&'static str, Self); 5] = [
        ("expired", Self::Expired),
        ("not-yet-valid", Self::NotYetValid),
        ("self-signed", Self::SelfSigned),
        ("unknown-root", Self::UnknownRoot),
        ("wrong-name", Self::WrongName),
    ];

    /// The flaw that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, flaw)| *flaw)
    }
}

impl std::fmt::Display for CertificateError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => write!(formatter, "the authority's file: {error}"),
            Self::Generation(error) => write!(formatter, "the certificate could not be made: {error}"),
            Self::Tls(error) => write!(formatter, "the certificate could not be used: {error}"),
            Self::Unreadable => formatter.write_str("the authority's file holds no certificate with its key"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl From<io::Error> for CertificateError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        Self::Generation(error)
    }
}

impl From<rustls::Error> for CertificateError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

fn authority_parameters(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let now = SystemTime::now();
    parameters.not_before = (now - DAY).into();
    parameters.not_after = (now + DAY * 365).into();
    Ok(parameters)
}

fn leaf_parameters(name: &str, flaw: Option<CertificateFlaw>) -> Result<CertificateParams, rcgen::Error> {
    let name = if flaw == Some(CertificateFlaw::WrongName) { "another.example" } else { name };
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    let (not_before, not_after) = match flaw {
        Some(CertificateFlaw::Expired) => (now - DAY * 30, now - DAY),
        Some(CertificateFlaw::NotYetValid) => (now + DAY, now + DAY * 30),
        _ => (now - DAY, now + DAY * 60),
    };
    parameters.not_before = not_before.into();
    parameters.not_after = not_after.into();
    Ok(parameters)
}

/// Leaves remembered; each costs about a kilobyte.
const LEAVES_MAX: usize = 4_096;
const DAY: Duration = Duration::from_secs(86_400);
const KEY_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const AUTHORITY_NAME: &str = "Penstock Simulated Services Root";
const NAME_WITHOUT_SNI: &str = "localhost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_authority_is_the_same_after_a_restart() {
        let directory = std::env::temp_dir().join(format!("penstock-authority-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("authority.pem");
        let first = Authority::open_or_create(&file).unwrap();
        let second = Authority::open_or_create(&file).unwrap();
        assert_eq!(first.pem(), second.pem());
        assert_eq!(first.issuer.key().serialize_der(), second.issuer.key().serialize_der());
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let file = std::env::temp_dir().join(format!("penstock-authority-broken-{}", std::process::id()));
        fs::write(&file, "nothing of the kind").unwrap();
        assert!(matches!(Authority::open_or_create(&file), Err(CertificateError::Unreadable)));
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn each_name_gets_its_own_leaf_once() {
        let names = OnDemand::new(Authority::generate().unwrap(), HashMap::new());
        let first = names.leaf("one.example").unwrap();
        assert!(Arc::ptr_eq(&first, &names.leaf("one.example").unwrap()));
        assert_ne!(first.cert, names.leaf("two.example").unwrap().cert);
    }

    #[test]
    fn every_flaw_has_a_word_and_makes_a_certificate() {
        let authority = Authority::generate().unwrap();
        for (word, flaw) in CertificateFlaw::ALL {
            assert_eq!(CertificateFlaw::from_word(word), Some(flaw));
            assert!(authority.issue("host.example", Some(flaw)).is_ok(), "{word}");
        }
        assert_eq!(CertificateFlaw::from_word("perfect"), None);
    }
}
