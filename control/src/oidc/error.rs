//! How signing in at the provider comes to nothing.

use std::io;

/// Why nobody is signed in. The messages are shown to who tries.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    /// The answer is to another browser's question, or to none.
    #[error("this sign-in was not begun in this browser, or too long ago; sign in again")]
    Astray,
    /// So many sign-ins wait for the provider that another one would have to wait, too.
    #[error("too many people are signing in; try again in a moment")]
    Busy,
    /// The configuration cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// The provider does not honour the code.
    #[error("the OpenID provider does not honour this sign-in ({0}); sign in again")]
    Exchange(String),
    /// The answer says that another provider gave it (RFC 9207).
    #[error("the answer is not from the OpenID provider that was asked")]
    MixUp,
    /// No name can be made of the claims.
    #[error("the OpenID provider names you by nothing that can be used here: {0}")]
    Name(String),
    /// The provider says no.
    #[error("the OpenID provider says: {0}")]
    Refused(String),
    /// The answer was used before.
    #[error("this sign-in was used before; sign in again")]
    Replayed,
    /// The ID token does not hold.
    #[error("the OpenID provider's word cannot be trusted: {0}")]
    Token(String),
    /// The provider cannot be asked.
    #[error("the OpenID provider cannot be reached: {0}")]
    Unreachable(String),
}

impl OidcError {
    /// Whether the fault is not with who tries, nor with what the provider says of that one.
    pub(crate) const fn is_fault(&self) -> bool {
        matches!(self, Self::Busy | Self::Configuration(_) | Self::Unreachable(_))
    }
}

impl From<io::Error> for OidcError {
    fn from(error: io::Error) -> Self {
        Self::Configuration(error.to_string())
    }
}
