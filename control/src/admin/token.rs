//! The token file: made at the first start, kept in a file that its owner alone may read, compared in constant time.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// The secret that opens the admin API.
#[derive(Clone)]
pub(crate) struct Token(Arc<Zeroizing<String>>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The token's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system's randomness failed.
    #[error("no randomness for a new admin token: {0}")]
    Randomness(getrandom::Error),
    /// The file is open to others.
    #[error("{}: other users may read it (mode {mode:o}); run: chmod 600 {0}", .path.display())]
    Readable {
        /// The token's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no usable token.
    #[error("{}: must hold one token of at least {TOKEN_BYTES_MIN} printable characters; remove it to have one made", .0.display())]
    Unusable(PathBuf),
}

impl Token {
    /// Reads the token, or makes one when there is no file.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, TokenError> {
        let io = |source| TokenError::Io { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(metadata) => {
                let mode = metadata.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(TokenError::Readable { path: path.to_owned(), mode });
                }
                let text = Zeroizing::new(fs::read_to_string(path).map_err(io)?);
                let token = text.trim_end_matches(['\r', '\n']);
                if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(TokenError::Unusable(path.to_owned()));
                }
                Ok(Self(Arc::new(Zeroizing::new(token.to_owned()))))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(io(error)),
        }
    }

    fn create(path: &Path) -> Result<Self, TokenError> {
        let mut random = Zeroizing::new([0_u8; 32]);
        getrandom::fill(random.as_mut_slice()).map_err(TokenError::Randomness)?;
        let token: Zeroizing<String> = Zeroizing::new(random.iter().map(|byte| format!("{byte:02x}")).collect());
        let write = || {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(token.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(|source| TokenError::Io { path: path.to_owned(), source })?;
        Ok(Self(Arc::new(token)))
    }

    pub(super) fn accepts(&self, presented: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), presented.as_bytes()).is_ok()
    }
}

const TOKEN_BYTES_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_guarded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = Token::open_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Token::open_or_create(&path).unwrap();
        assert!(read.accepts(&made.0) && !read.accepts("") && !read.accepts(&made.0[1..]));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Token::open_or_create(&path).err().unwrap().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short\n").unwrap();
        assert!(matches!(Token::open_or_create(&path), Err(TokenError::Unusable(_))));
    }
}
