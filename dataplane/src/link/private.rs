//! Files that are their owner's alone, replaced whole: write, sync, rename, sync the folder. A crash leaves the old one or the
//! new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

/// Puts `parts` in the place of `directory/name`; makes the directory when it is missing. Blocks.
pub(super) fn replace(directory: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // An old process that drains and the next one may both have something to write.
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(directory.join(LOCK_FILE))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let fresh = directory.join(format!("{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()?;
    fs::rename(&fresh, directory.join(name))?;
    File::open(directory)?.sync_all()
}

const LOCK_FILE: &str = "lock";
