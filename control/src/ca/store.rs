//! The roots on disk, and what a crash between two writes left there.
//!
//! Every step of a rotation is one file that takes the place of another, in an order that always tells where it stood:
//! the root that signs is the one whose key is in `root.key`, a next root exists once `next.pem` does, and everything else
//! is written anew from these two when it does not fit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use penstock_link::pem;
use zeroize::Zeroizing;

use super::error::CaError;
use super::files::{self, Access};
use super::hex;
use super::key::{Key, random_serial};
use super::root::{Certificate, Root};
use super::rotation::Rotation;

/// A directory of roots that Penstock made.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

/// What is in it.
pub(super) struct Stored {
    pub(super) signing: Root,
    pub(super) rotation: Rotation,
}

impl Store {
    /// Opens the directory, or makes it with a first root in it.
    pub(super) fn open_or_create(state: &Path, now: i64) -> Result<Self, CaError> {
        let directory = state.join("ca");
        let exists = files::is_private_directory(&directory)?;
        if !exists || is_empty(&directory)? {
            create(state, &directory, now)?;
        }
        Ok(Self { directory })
    }

    pub(super) fn issuer_file(&self) -> PathBuf {
        self.directory.join(ISSUER)
    }

    pub(super) fn certificate_file(&self) -> PathBuf {
        self.directory.join(ROOT_CERTIFICATE)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads everything, and finishes what a crash interrupted.
    pub(super) fn load(&self) -> Result<Stored, CaError> {
        let (certificate_file, key_file) = (self.certificate_file(), self.directory.join(ROOT_KEY));
        let missing = |file: &Path| CaError::Incomplete { file: file.into(), directory: self.directory.clone() };
        let text = files::read(&certificate_file, Access::Public)?.ok_or_else(|| missing(&certificate_file))?;
        let key_text = files::read(&key_file, Access::Secret)?.ok_or_else(|| missing(&key_file))?;
        let malformed =
            || CaError::Malformed { file: certificate_file.clone(), expected: "a root certificate made by Penstock" };
        let mut certificates = pem::read_all(&text, pem::CERTIFICATE)
            .and_then(|all| all.into_iter().map(|der| Certificate::parse(der.to_vec())).collect::<Option<Vec<_>>>())
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(malformed)?;
        let key = pem::read(&key_text, pem::PRIVATE_KEY)
            .and_then(|der| Key::from_pkcs8(&der))
            .ok_or_else(|| CaError::Malformed { file: key_file.clone(), expected: "a P-256 key in PKCS#8" })?;
        let next = self.load_next()?;
        let place = certificates.iter().position(|known| known.facts.public_key() == key.public_key());
        let Some(place) = place else {
            return Err(CaError::WrongKey { key: key_file, certificate: certificate_file });
        };
        let signing = Root { certificate: certificates.swap_remove(place), key };
        let next = next.filter(|next| next.certificate.facts.public_key() != signing.key.public_key());
        let other = match &next {
            Some(next) => certificates.into_iter().find(|known| *known != next.certificate),
            None => certificates.into_iter().next(),
        };
        let rotation = match (next, other) {
            (Some(next), _) => {
                let cross = self.load_cross(&next.certificate, &signing.certificate)?;
                Rotation::Announced { next: Box::new(next), cross }
            }
            (None, Some(old)) => {
                let cross = self.load_cross(&signing.certificate, &old)?;
                Rotation::Switched { old: Box::new(old), cross }
            }
            (None, None) => Rotation::None,
        };
        let stored = Stored { signing, rotation };
        self.settle(&stored)?;
        Ok(stored)
    }

    /// Writes the next root, with all that clients may need before it signs.
    pub(super) fn announce(&self, signing: &Root, next: &Root, cross: Option<&[u8]>) -> Result<(), CaError> {
        match cross {
            Some(cross) => {
                files::replace(&self.directory.join(CROSS), Access::Public, certificates_pem([cross]).as_bytes())?
            }
            None => files::remove(&self.directory.join(CROSS))?,
        }
        let mut text = Zeroizing::new(String::new());
        pem::write(&mut text, pem::CERTIFICATE, &next.certificate.der);
        pem::write(&mut text, pem::PRIVATE_KEY, &next.key.to_pkcs8()?);
        files::replace(&self.directory.join(NEXT), Access::Secret, text.as_bytes())?;
        self.write_certificates([&signing.certificate, &next.certificate])
    }

    /// Lets the next root sign. The one write that decides is that of its key in the place of the old one, which is then
    /// gone for good.
    pub(super) fn switch(&self, old: &Certificate, next: &Root) -> Result<(), CaError> {
        let mut text = Zeroizing::new(String::new());
        pem::write(&mut text, pem::PRIVATE_KEY, &next.key.to_pkcs8()?);
        files::replace(&self.directory.join(ROOT_KEY), Access::Secret, text.as_bytes())?;
        self.write_certificates([&next.certificate, old])?;
        files::remove(&self.directory.join(NEXT))
    }

    /// Takes the old root away, and the issuer whose chain led to it.
    pub(super) fn finish(&self, signing: &Certificate) -> Result<(), CaError> {
        self.write_certificates([signing])?;
        files::remove(&self.directory.join(CROSS))?;
        files::remove(&self.issuer_file())
    }

    /// Makes the files say what was read, the signing root first.
    fn settle(&self, stored: &Stored) -> Result<(), CaError> {
        let signing = &stored.signing.certificate;
        match &stored.rotation {
            Rotation::Announced { next, .. } => self.write_certificates([signing, &next.certificate]),
            Rotation::Switched { old, .. } => {
                self.write_certificates([signing, old])?;
                files::remove(&self.directory.join(NEXT))
            }
            Rotation::None => {
                files::remove(&self.directory.join(NEXT))?;
                files::remove(&self.directory.join(CROSS))
            }
        }
    }

    fn load_next(&self) -> Result<Option<Root>, CaError> {
        let file = self.directory.join(NEXT);
        let Some(text) = files::read(&file, Access::Secret)? else { return Ok(None) };
        let certificate = pem::read(&text, pem::CERTIFICATE).and_then(|der| Certificate::parse(der.to_vec()));
        let key = pem::read(&text, pem::PRIVATE_KEY).and_then(|der| Key::from_pkcs8(&der));
        match (certificate, key) {
            (Some(certificate), Some(key)) if certificate.facts.public_key() == key.public_key() => {
                Ok(Some(Root { certificate, key }))
            }
            _ => Err(CaError::Malformed { file, expected: "the next root with its key" }),
        }
    }

    /// The cross certificate, when it is one of `old` for `new`.
    fn load_cross(&self, new: &Certificate, old: &Certificate) -> Result<Option<Vec<u8>>, CaError> {
        let text = files::read(&self.directory.join(CROSS), Access::Public)?;
        let cross = text.and_then(|text| pem::read(&text, pem::CERTIFICATE));
        let cross = cross.and_then(|der| Certificate::parse(der.to_vec()));
        let fits = |cross: &Certificate| {
            cross.facts.public_key() == new.facts.public_key() && cross.facts.is_issued_by(&old.facts)
        };
        Ok(cross.filter(fits).map(|cross| cross.der))
    }

    /// Nothing is written where nothing changes.
    fn write_certificates<const COUNT: usize>(&self, certificates: [&Certificate; COUNT]) -> Result<(), CaError> {
        let text = certificates_pem(certificates.map(|certificate| certificate.der.as_slice()));
        let file = self.certificate_file();
        if files::read(&file, Access::Public)?.is_some_and(|present| *present == text) {
            return Ok(());
        }
        files::replace(&file, Access::Public, text.as_bytes())
    }
}

/// Certificates as clients import them.
pub(super) fn certificates_pem<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = Zeroizing::new(String::new());
    certificates.into_iter().for_each(|certificate| pem::write(&mut text, pem::CERTIFICATE, certificate));
    String::clone(&text)
}

const ROOT_CERTIFICATE: &str = "root.pem";
const ROOT_KEY: &str = "root.key";
const NEXT: &str = "next.pem";
const CROSS: &str = "cross.pem";
const ISSUER: &str = "issuer.pem";

/// Makes key and certificate in a directory of their own, which then takes its name in one step: there is never a
/// certificate without its key. When another process was faster, its root stands.
fn create(state: &Path, directory: &Path, now: i64) -> Result<(), CaError> {
    let root = Root::new(now)?;
    let mut key_pem = Zeroizing::new(String::new());
    pem::write(&mut key_pem, pem::PRIVATE_KEY, &root.key.to_pkcs8()?);

    fs::create_dir_all(state).map_err(files::io_error(state))?;
    let fresh = state.join(format!("ca.new-{}", hex(&random_serial()?)));
    files::create_directory(&fresh)?;
    files::create(&fresh.join(ROOT_KEY), Access::Secret, key_pem.as_bytes())?;
    let certificate_pem = certificates_pem([root.certificate.der.as_slice()]);
    files::create(&fresh.join(ROOT_CERTIFICATE), Access::Public, certificate_pem.as_bytes())?;
    files::sync_directory(&fresh)?;
    match fs::rename(&fresh, directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(&fresh).map_err(files::io_error(&fresh))
        }
        renamed => renamed.map_err(files::io_error(directory)).and_then(|()| files::sync_directory(state)),
    }
}

fn is_empty(directory: &Path) -> Result<bool, CaError> {
    fs::read_dir(directory).map(|mut entries| entries.next().is_none()).map_err(files::io_error(directory))
}
