//! Why the authority cannot be used: each message names the file and what mends it.

use std::io;
use std::path::PathBuf;

use penstock_core::mint::MintError;

/// Why the authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The clock stands before the root's time.
    #[error(
        "{}: not valid before {not_before}, but this machine's clock says {now}; correct the clock", file.display()
    )]
    Clock {
        /// The root's certificate.
        file: PathBuf,
        /// Its first moment.
        not_before: String,
        /// The clock.
        now: String,
    },
    /// The root's time is over.
    #[error(
        "{}: the root expired at {not_after}; move the directory {} away and start again: a new root is made, which \
         every client must then trust", file.display(), directory.display()
    )]
    Expired {
        /// The root's certificate.
        file: PathBuf,
        /// Where it lies.
        directory: PathBuf,
        /// Its last moment.
        not_after: String,
    },
    /// A file of the pair is gone.
    #[error(
        "{}: missing, while other files of the authority are there; restore it from a backup, or move the directory {} \
         away and start again with a new root", file.display(), directory.display()
    )]
    Incomplete {
        /// The missing file.
        file: PathBuf,
        /// Where it should lie.
        directory: PathBuf,
    },
    /// The file system refuses.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or replace a secret.
    #[error(
        "{}: open to others (mode {mode:04o}, owner {owner}); run `chown {user} {0} && chmod {wanted:04o} {0}`, and if \
         others can have read a key in it, start again with a new root", file.display()
    )]
    LooseMode {
        /// The file or directory.
        file: PathBuf,
        /// Its mode.
        mode: u32,
        /// Its owner.
        owner: u32,
        /// Who should own it.
        user: u32,
        /// The mode that it should have.
        wanted: u32,
    },
    /// The file is not what it should be.
    #[error("{}: not {expected}; restore it from a backup", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// An issuer cannot be made for these hosts.
    #[error("no issuer can be made: {0}")]
    Mint(#[from] MintError),
    /// An operator's own authority that cannot be used.
    #[error("{}: {reason}", file.display())]
    Operator {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what mends it.
        reason: String,
    },
    /// The system gives no random bytes, or the cryptography failed.
    #[error("the system gives no random bytes or no key")]
    Random,
    /// What a node asks with.
    #[error("the request for a certificate is no PKCS #10 of a P-256 key, or not signed by that key")]
    Request,
    /// A step that does not fit where the rotation stands.
    #[error("{0}")]
    Rotation(&'static str),
    /// The key is that of another certificate.
    #[error(
        "{}: not the key of the certificate in {}; restore the pair from a backup", key.display(), certificate.display()
    )]
    WrongKey {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
}
