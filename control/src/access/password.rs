//! Passwords: what is taken for one, and Argon2id.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use serde::Deserialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// A password as somebody gave it: not printed by mistake, and wiped when it is dropped.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(value_type = String, format = Password, pattern = r"^[^\x00-\x1f\x7f-\x9f]{10,512}$")]
#[serde(from = "String")]
pub(crate) struct Password(Zeroizing<String>);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<Zeroizing<String>> for Password {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

/// Why a password is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes and no control characters")]
    Form,
    #[error("a password must not be the user's name")]
    Name,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// Checks and hashes a new password. Takes tens of milliseconds: not for the reactor.
pub(super) fn hash(user: &str, Password(password): &Password) -> Result<String, PasswordError> {
    let fits = (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.len());
    if !fits || password.chars().any(char::is_control) {
        return Err(PasswordError::Form);
    }
    if password.eq_ignore_ascii_case(user) {
        return Err(PasswordError::Name);
    }
    let failed = |error: &dyn std::fmt::Display| PasswordError::Hash(error.to_string());
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| failed(&error))?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| failed(&error))?;
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt).map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

/// Whether the password is the one of this hash. Without a hash (no such user) the same work is done, so that the time
/// does not tell which names exist.
pub(super) fn verify(hash: Option<&str>, Password(password): &Password) -> bool {
    let password = if password.len() > PASSWORD_BYTES_MAX { "" } else { password.as_str() };
    let parsed = PasswordHash::new(hash.unwrap_or(NOBODY));
    let verified = parsed.is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
    verified && hash.is_some()
}

/// Fewer can be guessed, whatever the bound on attempts.
pub(crate) const PASSWORD_BYTES_MIN: usize = 10;
const PASSWORD_BYTES_MAX: usize = 512;
/// A hash with the parameters of all others, of a password that nobody knows.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm8$V7P3uXy8zu0o6GmbNJ6dV1Jc6yEo1q5n0yC1xH0m2yM";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_opens() {
        let verify = |hash: Option<&str>, password: &str| verify(hash, &password.to_owned().into());
        let kept = hash("alice", &"correct horse".to_owned().into()).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !kept.contains("horse"), "{kept}");
        assert!(verify(Some(&kept), "correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!verify(Some(&kept), wrong), "{wrong:?}");
        }
        assert!(!verify(None, "correct horse") && !verify(Some("no hash"), ""));
        assert!(PasswordHash::new(NOBODY).is_ok(), "without it, an unknown name would be answered at once");
    }

    #[test]
    fn weak_passwords_are_not_taken() {
        for (user, weak) in [("alice", "short"), ("alexandria", "Alexandria"), ("alice", "line\nline line")] {
            assert!(hash(user, &weak.to_owned().into()).is_err(), "{weak:?}");
        }
    }
}
