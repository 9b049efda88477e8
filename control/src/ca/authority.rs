//! The authority in force: the root that signs now, what is served beside it, and everything that is signed with it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use penstock_core::audit::timestamp;
use penstock_core::limits::CERTIFICATE_BACKDATE_SECONDS;
use penstock_core::mint::{CertificateFacts, PermittedNames, Signer, Validity};

use super::error::CaError;
use super::files::{self, Access};
use super::issuer::{IssuerBundle, Parent};
use super::operator::OperatorAuthority;
use super::root::{Root, RootFacts};
use super::rotation::{Rotation, RotationFacts, RotationStep};
use super::store::{Store, Stored, certificates_pem};
use crate::config::{AuthoritySettings, OperatorFiles};

/// The root with its key, and its successor while one comes.
pub struct Authority {
    overlap_seconds: i64,
    issuer_file: PathBuf,
    source: Source,
    /// Locked for the time of one change or one signature, never across a wait.
    inner: Mutex<Inner>,
}

/// Where the root is from.
enum Source {
    Own(Store),
    Operator { files: OperatorFiles, shown: PathBuf },
}

/// What signs now.
enum Inner {
    Own(Box<Stored>),
    Operator(Box<OperatorAuthority>),
}

impl Authority {
    /// Opens the root in `state/ca`, or makes one when there is none. `now` is Unix seconds.
    ///
    /// # Errors
    ///
    /// See [`Self::open`].
    pub fn open_or_create(state: &Path, now: i64) -> Result<Self, CaError> {
        Self::open(state, &AuthoritySettings::default(), now)
    }

    /// Opens the operator's authority, or the root in `state/ca`, or makes one when there is none.
    ///
    /// # Errors
    ///
    /// A root that must not be used: its key open to others or of another certificate, its time not now, a file missing
    /// or broken, an authority that cannot stand above our issuer. The message says which file and what to do.
    pub fn open(state: &Path, settings: &AuthoritySettings, now: i64) -> Result<Self, CaError> {
        let overlap_seconds = settings.overlap_seconds;
        if let Some(operator) = &settings.operator {
            let found = OperatorAuthority::read(operator, now)?;
            let directory = state.join(OPERATOR_DIRECTORY);
            files::ensure_directory(&directory)?;
            let shown = directory.join("root.pem");
            files::replace(&shown, Access::Public, certificates_pem([found.anchor()]).as_bytes())?;
            return Ok(Self {
                overlap_seconds,
                issuer_file: directory.join("issuer.pem"),
                source: Source::Operator { files: operator.clone(), shown },
                inner: Mutex::new(Inner::Operator(Box::new(found))),
            });
        }
        let store = Store::open_or_create(state, now)?;
        let stored = store.load()?;
        let issuer_file = store.issuer_file();
        let (source, inner) = (Source::Own(store), Mutex::new(Inner::Own(Box::new(stored))));
        let authority = Self { overlap_seconds, issuer_file, source, inner };
        authority.tend(now)?;
        authority.check_time(&authority.lock(), now)?;
        Ok(authority)
    }

    /// The issuer for the host patterns of a policy (`login.live.com`, `*.google.com`): the one in use when it is for
    /// exactly these, by the root that signs now, and in the first half of its life, else a new one.
    ///
    /// # Errors
    ///
    /// [`CaError::Mint`] for a pattern that cannot be certified, [`CaError::Operator`] for a host that the operator's
    /// authority may not name, [`CaError::Expired`] when the root's time is over, and when the new issuer cannot be kept
    /// on disk.
    pub fn issue<'a>(&self, hosts: impl Iterator<Item = &'a str>, now: i64) -> Result<IssuerBundle, CaError> {
        let inner = self.lock();
        self.check_time(&inner, now)?;
        let permitted = PermittedNames::from_patterns(hosts)?;
        if let (Inner::Operator(operator), Source::Operator { files, .. }) = (&*inner, &self.source) {
            operator.check_hosts(files, &permitted)?;
        }
        let parent = inner.parent();
        let kept = files::read(&self.issuer_file, Access::Secret)?;
        if let Some(bundle) = kept.and_then(|text| IssuerBundle::from_pem(&text, &parent, &permitted, now)) {
            return Ok(bundle);
        }
        let bundle = IssuerBundle::new(&parent, &permitted, now)?;
        files::replace(&self.issuer_file, Access::Secret, bundle.to_pem().as_bytes())?;
        Ok(bundle)
    }

    /// Whether `bundle` is by the root that signs now, with the chain that clients need now.
    pub fn stands_behind(&self, bundle: &IssuerBundle) -> bool {
        bundle.chain.get(1..) == Some(self.lock().parent().chain.as_slice())
    }

    /// Does what is due: the next root begins to sign when the overlap is over, an old one whose time is over goes, and
    /// an operator's authority that was replaced on disk is taken. What fails leaves everything as it was.
    ///
    /// # Errors
    ///
    /// When files cannot be written, or an operator's authority was replaced by one that must not be used.
    pub fn tend(&self, now: i64) -> Result<(), CaError> {
        let mut inner = self.lock();
        match (&mut *inner, &self.source) {
            (Inner::Own(stored), Source::Own(store)) => {
                let due = match &stored.rotation {
                    Rotation::Announced { next, .. } => {
                        (now >= self.switches_at(stored, next)).then_some(RotationStep::Switch)
                    }
                    Rotation::Switched { old, .. } => {
                        (now > old.facts.validity().not_after).then_some(RotationStep::Finish)
                    }
                    Rotation::None => None,
                };
                due.map_or(Ok(()), |step| advance(stored, store, step, now))
            }
            (Inner::Operator(known), Source::Operator { files, shown }) => {
                let found = OperatorAuthority::read(files, now)?;
                if found.is_same(known) {
                    return Ok(());
                }
                tracing::info!(file = %files.certificate.display(), "the operator's authority was replaced");
                files::replace(shown, Access::Public, certificates_pem([found.anchor()]).as_bytes())?;
                **known = found;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes a rotation one step further.
    ///
    /// # Errors
    ///
    /// [`CaError::Rotation`] when the step does not fit where the rotation stands, and when files cannot be written: the
    /// rotation then stands where it stood.
    pub fn rotate(&self, step: RotationStep, now: i64) -> Result<(), CaError> {
        let mut inner = self.lock();
        match (&mut *inner, &self.source) {
            (Inner::Own(stored), Source::Own(store)) => advance(stored, store, step, now),
            _ => Err(CaError::Rotation(
                "the authority is the operator's: replace its certificate and key in their files, and the new one is \
                 taken within a minute",
            )),
        }
    }

    /// Where a rotation stands; `None` when none is under way.
    pub fn rotation(&self) -> Option<RotationFacts> {
        let Inner::Own(stored) = &*self.lock() else { return None };
        match &stored.rotation {
            Rotation::Announced { next, cross } => Some(RotationFacts::Announced {
                next: next.certificate.info(),
                switches_at: self.switches_at(stored, next),
                is_cross_signed: cross.is_some(),
            }),
            Rotation::None => None,
            Rotation::Switched { old, cross } => {
                Some(RotationFacts::Switched { old: old.info(), is_cross_signed: cross.is_some() })
            }
        }
    }

    /// The certificates that clients should trust, the one that signs now first.
    pub fn root_pem(&self) -> String {
        let inner = self.lock();
        match &*inner {
            Inner::Own(stored) => {
                let Stored { signing, rotation } = &**stored;
                let other = match rotation {
                    Rotation::Announced { next, .. } => Some(&next.certificate),
                    Rotation::None => None,
                    Rotation::Switched { old, .. } => Some(&**old),
                };
                certificates_pem(std::iter::once(&signing.certificate).chain(other).map(|one| one.der.as_slice()))
            }
            Inner::Operator(operator) => certificates_pem([operator.anchor()]),
        }
    }

    /// The certificate that signs now, or the one above it that clients trust; DER.
    pub fn root_der(&self) -> Vec<u8> {
        match &*self.lock() {
            Inner::Own(stored) => stored.signing.certificate.der.clone(),
            Inner::Operator(operator) => operator.anchor().to_vec(),
        }
    }

    /// The last Unix second of the root that signs now.
    pub fn root_not_after(&self) -> i64 {
        self.lock().parent().facts.validity().not_after
    }

    /// SHA-256 of the root's certificate, hex.
    pub fn root_fingerprint(&self) -> String {
        self.root().sha256
    }

    /// What an operator sees of the root that signs now.
    pub fn root(&self) -> RootFacts {
        match &*self.lock() {
            Inner::Own(stored) => stored.signing.certificate.info(),
            Inner::Operator(operator) => operator.info(),
        }
    }

    /// The file of an authority that is the operator's own.
    pub fn operator_file(&self) -> Option<&Path> {
        match &self.source {
            Source::Own(_) => None,
            Source::Operator { files, .. } => Some(&files.certificate),
        }
    }

    /// When the next root begins to sign: after the overlap, and a day before the old one ends at the latest. A root's
    /// own beginning tells when it was announced.
    fn switches_at(&self, stored: &Stored, next: &Root) -> i64 {
        let announced = next.certificate.facts.validity().not_before + CERTIFICATE_BACKDATE_SECONDS;
        let end = stored.signing.certificate.facts.validity().not_after;
        announced.saturating_add(self.overlap_seconds).min(end.saturating_sub(DAY_SECONDS))
    }

    fn check_time(&self, inner: &Inner, now: i64) -> Result<(), CaError> {
        let Validity { not_before, not_after } = inner.parent().facts.validity();
        let (file, directory) = match &self.source {
            Source::Own(store) => (store.certificate_file(), store.directory().to_owned()),
            Source::Operator { files, .. } => (files.certificate.clone(), PathBuf::new()),
        };
        if now < not_before {
            return Err(CaError::Clock { file, not_before: moment(not_before), now: moment(now) });
        }
        match self.source {
            _ if now <= not_after => Ok(()),
            Source::Own(_) => Err(CaError::Expired { file, directory, not_after: moment(not_after) }),
            Source::Operator { .. } => {
                Err(CaError::Operator { file, reason: format!("it expired at {}", moment(not_after)) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// What an issuer is signed with, and what stands above it.
    fn parent(&self) -> Parent<'_> {
        let (facts, signer, chain): (&CertificateFacts, &dyn Signer, Vec<Vec<u8>>) = match self {
            Self::Own(stored) => {
                let Stored { signing, rotation } = &**stored;
                let cross = match rotation {
                    Rotation::Switched { cross, .. } => cross.clone(),
                    Rotation::Announced { .. } | Rotation::None => None,
                };
                let chain = cross.into_iter().chain([signing.certificate.der.clone()]).collect();
                (&signing.certificate.facts, &signing.key, chain)
            }
            Self::Operator(operator) => (operator.facts(), operator.key(), operator.chain().to_vec()),
        };
        Parent { facts, signer, chain }
    }
}

/// One step: first on disk, then here.
fn advance(stored: &mut Stored, store: &Store, step: RotationStep, now: i64) -> Result<(), CaError> {
    match (step, &stored.rotation) {
        (RotationStep::Announce, Rotation::None) => announce(stored, store, now),
        (RotationStep::Announce, Rotation::Announced { .. }) => {
            Err(CaError::Rotation("a next root is announced already; switch to it when every client has it"))
        }
        (RotationStep::Announce | RotationStep::Switch, Rotation::Switched { .. }) => {
            Err(CaError::Rotation("the old root of the last rotation is still served; finish that rotation first"))
        }
        (RotationStep::Switch, _) => {
            if matches!(stored.rotation, Rotation::None) {
                announce(stored, store, now)?;
            }
            switch(stored, store)
        }
        (RotationStep::Finish, Rotation::Switched { .. }) => {
            store.finish(&stored.signing.certificate)?;
            stored.rotation = Rotation::None;
            tracing::info!(root = stored.signing.certificate.info().sha256, "the old root is served no more");
            Ok(())
        }
        (RotationStep::Finish, _) => Err(CaError::Rotation("no old root is served; there is nothing to finish")),
    }
}

fn announce(stored: &mut Stored, store: &Store, now: i64) -> Result<(), CaError> {
    let next = Root::new(now)?;
    let cross = stored.signing.certify(&next.certificate)?;
    store.announce(&stored.signing, &next, cross.as_deref())?;
    tracing::info!(root = next.certificate.info().sha256, "the next root is announced");
    stored.rotation = Rotation::Announced { next: Box::new(next), cross };
    Ok(())
}

fn switch(stored: &mut Stored, store: &Store) -> Result<(), CaError> {
    let Rotation::Announced { next, .. } = &stored.rotation else { return Ok(()) };
    store.switch(&stored.signing.certificate, next)?;
    let Rotation::Announced { next, cross } = std::mem::replace(&mut stored.rotation, Rotation::None) else {
        return Ok(());
    };
    let old = std::mem::replace(&mut stored.signing, *next).certificate;
    tracing::info!(root = stored.signing.certificate.info().sha256, "the next root signs now");
    stored.rotation = Rotation::Switched { old: Box::new(old), cross };
    Ok(())
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("root", &self.root()).finish_non_exhaustive()
    }
}

pub(super) fn moment(unix_seconds: i64) -> String {
    timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000))
}

const OPERATOR_DIRECTORY: &str = "ca-operator";
const DAY_SECONDS: i64 = 86_400;
