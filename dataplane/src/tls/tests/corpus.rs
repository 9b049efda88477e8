//! The corpora that tests read: outside the tree, and needed where `CI` is set.

use std::path::PathBuf;

/// Path of a corpus file; `None`, said aloud, where the corpora are absent.
pub(super) fn file(name: &str) -> Option<PathBuf> {
    let corpora = std::env::var_os("PENSTOCK_CORPORA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora")), PathBuf::from);
    let path = corpora.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is needed", path.display());
    eprintln!("left out: {} is absent", path.display());
    None
}
