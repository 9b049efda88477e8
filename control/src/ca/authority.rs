//! The root: found or made when control starts, and everything that is signed with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use penstock_core::audit::timestamp;
use penstock_core::limits::ROOT_LIFE_SECONDS;
use penstock_core::mint::{AuthorityRequest, CertificateFacts, PermittedNames, Validity, encode_root};
use zeroize::Zeroizing;

use super::error::CaError;
use super::files::{self, Access};
use super::issuer::{IssuerBundle, hex};
use super::key::{Key, random_serial};
use super::pem;

/// The root with its key.
pub struct Authority {
    directory: PathBuf,
    key: Key,
    certificate: Vec<u8>,
    facts: CertificateFacts,
    pem: String,
    root: RootFacts,
}

/// What an operator sees of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFacts {
    /// Its common name.
    pub common_name: String,
    /// SHA-256 of the certificate, hex.
    pub sha256: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl Authority {
    /// Opens the root in `state/ca`, or makes one when there is none. `now` is Unix seconds.
    ///
    /// # Errors
    ///
    /// A root that must not be used: its key open to others or of another certificate, its time not now, a file missing
    /// or broken. The message says which file and what to do.
    pub fn open_or_create(state: &Path, now: i64) -> Result<Self, CaError> {
        let directory = state.join("ca");
        let exists = files::is_private_directory(&directory)?;
        let empty = !exists || is_empty(&directory)?;
        if empty {
            create(state, &directory, now)?;
        }
        Self::open(directory, now)
    }

    /// The issuer for the host patterns of a policy (`login.live.com`, `*.google.com`): the one in use when it is for
    /// exactly these and in the first half of its life, else a new one.
    ///
    /// # Errors
    ///
    /// [`CaError::Mint`] for a pattern that cannot be certified, [`CaError::Expired`] when the root's time is over, and
    /// when the new issuer cannot be kept on disk.
    pub fn issue<'a>(&self, hosts: impl Iterator<Item = &'a str>, now: i64) -> Result<IssuerBundle, CaError> {
        self.check_time(now)?;
        let permitted = PermittedNames::from_patterns(hosts)?;
        let file = self.directory.join(ISSUER);
        let kept = files::read(&file, Access::Secret)?;
        let kept = kept.and_then(|text| IssuerBundle::from_pem(&text, &self.certificate, &self.facts, &permitted, now));
        if let Some(bundle) = kept {
            return Ok(bundle);
        }
        let bundle = IssuerBundle::new(&self.facts, &self.key, &self.certificate, &permitted, now)?;
        files::replace_secret(&file, bundle.to_pem().as_bytes())?;
        Ok(bundle)
    }

    /// The root's certificate, for clients to trust.
    pub fn root_pem(&self) -> &str {
        &self.pem
    }

    /// The last Unix second of the root.
    pub const fn root_not_after(&self) -> i64 {
        self.root.not_after
    }

    /// SHA-256 of the root's certificate, hex.
    pub fn root_fingerprint(&self) -> &str {
        &self.root.sha256
    }

    /// What an operator sees of the root.
    pub const fn root(&self) -> &RootFacts {
        &self.root
    }

    fn open(directory: PathBuf, now: i64) -> Result<Self, CaError> {
        let (certificate_file, key_file) = (directory.join(ROOT_CERTIFICATE), directory.join(ROOT_KEY));
        let missing = |file: &Path| CaError::Incomplete { file: file.into(), directory: directory.clone() };
        let text = files::read(&certificate_file, Access::Public)?.ok_or_else(|| missing(&certificate_file))?;
        let key_text = files::read(&key_file, Access::Secret)?.ok_or_else(|| missing(&key_file))?;
        let certificate = pem::read(&text, pem::CERTIFICATE).map(|der| der.to_vec());
        let parsed = certificate.and_then(|der| Some((CertificateFacts::parse(&der).ok()?, der)));
        let (facts, certificate) = parsed.filter(|(facts, _)| facts.is_authority()).ok_or_else(|| {
            CaError::Malformed { file: certificate_file.clone(), expected: "a root certificate made by Penstock" }
        })?;
        let key = pem::read(&key_text, pem::PRIVATE_KEY)
            .and_then(|der| Key::from_pkcs8(&der))
            .ok_or_else(|| CaError::Malformed { file: key_file.clone(), expected: "a P-256 key in PKCS#8" })?;
        if key.public_key() != facts.public_key() {
            return Err(CaError::WrongKey { key: key_file, certificate: certificate_file });
        }
        let Validity { not_before, not_after } = facts.validity();
        let root = RootFacts {
            common_name: common_name(facts.public_key()),
            sha256: hex(digest::digest(&digest::SHA256, &certificate).as_ref()),
            not_before,
            not_after,
        };
        let mut pem = Zeroizing::new(String::new());
        pem::write(&mut pem, pem::CERTIFICATE, &certificate);
        let authority = Self { directory, key, certificate, facts, pem: pem.to_string(), root };
        authority.check_time(now)?;
        Ok(authority)
    }

    fn check_time(&self, now: i64) -> Result<(), CaError> {
        let Validity { not_before, not_after } = self.facts.validity();
        let file = self.directory.join(ROOT_CERTIFICATE);
        if now < not_before {
            return Err(CaError::Clock { file, not_before: moment(not_before), now: moment(now) });
        }
        if now > not_after {
            return Err(CaError::Expired { file, directory: self.directory.clone(), not_after: moment(not_after) });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("root", &self.root).finish_non_exhaustive()
    }
}

const ROOT_CERTIFICATE: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const ISSUER: &str = "issuer.pem";

/// Makes key and certificate in a directory of their own, which then takes its name in one step: there is never a
/// certificate without its key. When another process was faster, its root stands.
fn create(state: &Path, directory: &Path, now: i64) -> Result<(), CaError> {
    let (key, serial) = (Key::generate()?, random_serial()?);
    let name = common_name(key.public_key());
    let validity = Validity::from_now(now, ROOT_LIFE_SECONDS);
    let request = AuthorityRequest { common_name: &name, public_key: key.public_key(), serial, validity };
    let certificate = encode_root(&request, &key)?;
    let (mut certificate_pem, mut key_pem) = (Zeroizing::new(String::new()), Zeroizing::new(String::new()));
    pem::write(&mut certificate_pem, pem::CERTIFICATE, &certificate);
    pem::write(&mut key_pem, pem::PRIVATE_KEY, &key.to_pkcs8()?);

    fs::create_dir_all(state).map_err(files::io_error(state))?;
    let fresh = state.join(format!("ca.new-{}", hex(&serial)));
    files::create_directory(&fresh)?;
    files::create(&fresh.join(ROOT_KEY), Access::Secret, key_pem.as_bytes())?;
    files::create(&fresh.join(ROOT_CERTIFICATE), Access::Public, certificate_pem.as_bytes())?;
    files::sync_directory(&fresh)?;
    match fs::rename(&fresh, directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(&fresh).map_err(files::io_error(&fresh))
        }
        renamed => renamed.map_err(files::io_error(directory)).and_then(|()| files::sync_directory(state)),
    }
}

/// Unique per key: a client that trusts two roots of one name may try the wrong one.
fn common_name(public_key: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, public_key);
    format!("Penstock Root {}", hex(digest.as_ref().get(..4).unwrap_or_default()))
}

fn is_empty(directory: &Path) -> Result<bool, CaError> {
    fs::read_dir(directory).map(|mut entries| entries.next().is_none()).map_err(files::io_error(directory))
}

fn moment(unix_seconds: i64) -> String {
    timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000))
}
