//! Watches the files of the upstream roots and puts what they hold now in force, without a restart.
//!
//! Runs on the background thread. What the verifier proved and what was minted under the former roots is not found again,
//! because the roots are part of the digest that names it; so a root that was taken away vouches for nothing from the
//! next handshake on, a resumed one included.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use penstock_core::limits::UPSTREAM_ROOTS_LOOK_MS;

use super::roots::{RootsError, RootsInForce, UpstreamRoots};

/// Where the roots come from, and what the files looked like when they were last read.
#[derive(Debug)]
pub(crate) struct RootsWatch {
    native: bool,
    files: Vec<PathBuf>,
    read: Stamp,
}

/// Every file and directory entry with what changes when it is written; `None` where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stamp {
    seen: Vec<(PathBuf, Option<Look>)>,
    /// A file was written so lately that it may be written again without looking different.
    is_fresh: bool,
}

/// Device, inode, length, and both times of one file.
type Look = (u64, u64, u64, i64, i64, i64, i64);

impl RootsWatch {
    /// Reads the roots for the first time; see [`UpstreamRoots::load`].
    pub(crate) fn load(native: bool, files: &[PathBuf]) -> Result<(UpstreamRoots, Self), RootsError> {
        // First the look, then the content: what is written in between is read twice, not never.
        let read = look(native, files);
        let roots = UpstreamRoots::load(native, files)?;
        Ok((roots, Self { native, files: files.to_vec(), read }))
    }

    /// Looks every few seconds, for ever.
    pub(crate) async fn run(mut self, roots: Arc<RootsInForce>) {
        loop {
            tokio::time::sleep(Duration::from_millis(UPSTREAM_ROOTS_LOOK_MS)).await;
            let in_force = Arc::clone(&roots);
            let looked = tokio::task::spawn_blocking(move || {
                self.refresh(&in_force);
                self
            });
            match looked.await {
                Ok(back) => self = back,
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }

    /// Reads the files again if they changed. Files that cannot be used leave the roots in force as they are.
    pub(super) fn refresh(&mut self, in_force: &RootsInForce) {
        let seen = look(self.native, &self.files);
        if seen == self.read && !seen.is_fresh {
            return;
        }
        let changed = seen.seen != self.read.seen;
        self.read = seen;
        match UpstreamRoots::load(self.native, &self.files) {
            Ok(roots) if roots.digest() == in_force.load().digest() => {}
            Ok(roots) => {
                tracing::info!(before = in_force.load().count(), now = roots.count(), "upstream roots changed");
                in_force.replace(roots);
            }
            Err(error) if changed => tracing::error!(%error, "the upstream roots stay as they were"),
            // Told when it was seen first.
            Err(_) => {}
        }
    }
}

fn look(native: bool, files: &[PathBuf]) -> Stamp {
    let mut stamp = Stamp::default();
    files.iter().for_each(|file| stamp.file(file));
    if native {
        // Where the loader of the system's store looks, and its two variables of the environment.
        let places = openssl_probe::probe();
        places.cert_file.iter().for_each(|file| stamp.file(file));
        places.cert_dir.iter().for_each(|directory| stamp.directory(directory));
    }
    stamp
}

impl Stamp {
    fn file(&mut self, file: &Path) {
        let metadata = fs::metadata(file).ok();
        self.is_fresh |= metadata.as_ref().is_some_and(is_fresh);
        self.seen.push((file.to_owned(), metadata.map(|metadata| of(&metadata))));
    }

    /// The directory itself and what its entries, mostly links, lead to.
    fn directory(&mut self, directory: &Path) {
        self.file(directory);
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).take(DIRECTORY_ENTRIES_MAX).collect();
        paths.sort_unstable();
        paths.iter().for_each(|path| self.file(path));
    }
}

fn of(metadata: &Metadata) -> Look {
    (
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

fn is_fresh(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    age.is_some_and(|age| age < FRESH)
}

/// The clock of file systems ticks in milliseconds on Linux; some network file systems have seconds.
const FRESH: Duration = Duration::from_secs(2);
/// The system's directory has a few hundred.
const DIRECTORY_ENTRIES_MAX: usize = 10_000;
