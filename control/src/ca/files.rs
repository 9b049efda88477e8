//! Files that hold secrets: made closed, replaced whole, refused when open to others.
//!
//! A file appears under its name only after its bytes are on the disk, so no crash leaves half of one.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::process::geteuid;
use zeroize::Zeroizing;

use super::error::CaError;

const DIRECTORY_MODE: u32 = 0o700;
const SECRET_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
/// Larger than any file of ours.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Public,
    Secret,
}

/// Makes a directory that only this user may enter; it must not exist yet.
pub(super) fn create_directory(directory: &Path) -> Result<(), CaError> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(directory).map_err(io_error(directory))
}

/// Writes a new file to the disk; it must not exist yet.
pub(super) fn create(file: &Path, access: Access, bytes: &[u8]) -> Result<(), CaError> {
    let mode = match access {
        Access::Public => PUBLIC_MODE,
        Access::Secret => SECRET_MODE,
    };
    let written = || -> io::Result<()> {
        let mut handle = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
        handle.write_all(bytes)?;
        handle.sync_all()
    };
    written().map_err(io_error(file))
}

/// Puts `bytes` in the place of a file, or makes it: whoever looks sees the old file or the new one, whole.
pub(super) fn replace(file: &Path, access: Access, bytes: &[u8]) -> Result<(), CaError> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    forget(fresh)?;
    create(fresh, access, bytes)?;
    fs::rename(fresh, file).map_err(io_error(file))?;
    file.parent().map_or(Ok(()), sync_directory)
}

/// Takes a file away, if it is there.
pub(super) fn remove(file: &Path) -> Result<(), CaError> {
    if forget(file)? { file.parent().map_or(Ok(()), sync_directory) } else { Ok(()) }
}

/// Whether there was such a file.
fn forget(file: &Path) -> Result<bool, CaError> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(file)(error)),
    }
}

/// Makes a directory that only this user may enter, unless it is there.
pub(super) fn ensure_directory(directory: &Path) -> Result<(), CaError> {
    if is_private_directory(directory)? {
        return Ok(());
    }
    DirBuilder::new().mode(DIRECTORY_MODE).recursive(true).create(directory).map_err(io_error(directory))
}

/// Waits until the names in `directory` are on the disk.
pub(super) fn sync_directory(directory: &Path) -> Result<(), CaError> {
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(io_error(directory))
}

/// Reads a whole file, which must be closed to others when it is secret; `None` when there is none.
pub(super) fn read(file: &Path, access: Access) -> Result<Option<Zeroizing<String>>, CaError> {
    let handle = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error(file))?,
    };
    // Asked of the open file, so that nobody can change it in between.
    let metadata = handle.metadata().map_err(io_error(file))?;
    if access == Access::Secret {
        refuse_loose(file, &metadata, SECRET_MODE)?;
    }
    let bytes = usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0);
    let mut text = Zeroizing::new(String::with_capacity(bytes + 1));
    handle.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io_error(file))?;
    Ok(Some(text))
}

/// Whether there is such a directory; refuses it when others may enter it.
pub(super) fn is_private_directory(directory: &Path) -> Result<bool, CaError> {
    match fs::metadata(directory) {
        Ok(metadata) => refuse_loose(directory, &metadata, DIRECTORY_MODE).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(directory)(error)),
    }
}

pub(super) fn io_error(file: &Path) -> impl FnOnce(io::Error) -> CaError {
    move |source| CaError::Io { file: file.into(), source }
}

/// Refuses what its group or others may touch, and what belongs to a user who is neither this one nor root.
fn refuse_loose(file: &Path, metadata: &Metadata, wanted: u32) -> Result<(), CaError> {
    let (mode, owner, user) = (metadata.mode() & 0o7777, metadata.uid(), geteuid().as_raw());
    if mode & 0o077 == 0 && (owner == user || owner == 0) {
        return Ok(());
    }
    Err(CaError::LooseMode { file: file.into(), mode, owner, user, wanted })
}
