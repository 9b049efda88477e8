//! `Proxy-Authorization: Basic` (RFC 7617): who a client of the explicit proxy says that it is.
//!
//! Owns the decoding, and that a password is wiped when it is dropped and never shown. Whether it is the right one is
//! the data plane's to find out.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

use crate::http1::syntax::{is_name, trim};
use crate::limits::{CREDENTIALS_BYTES_MAX, USER_NAME_BYTES_MAX};
use crate::users::is_user_name;

/// What a request says of its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Absent,
    /// A name and a password.
    Basic(Basic),
    /// Another scheme, more than one field, or no name and password.
    Unreadable,
}

/// A user's name and password. Its debug form shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// `user:password`.
    text: Zeroizing<String>,
    user_bytes: usize,
}

impl Credentials {
    /// Reads a field's value.
    pub(crate) fn read(value: &[u8]) -> Self {
        Basic::read(value).map_or(Self::Unreadable, Self::Basic)
    }

    /// The same with another field: only one is understood.
    pub(super) fn and(self, value: &[u8]) -> Self {
        if self == Self::Absent { Self::read(value) } else { Self::Unreadable }
    }
}

impl Basic {
    fn read(value: &[u8]) -> Option<Self> {
        let value = trim(value);
        let space = value.iter().position(|&byte| byte == b' ')?;
        let (scheme, token) = value.split_at_checked(space)?;
        let token = trim(token);
        if !is_name(scheme, b"basic") || token.len() > CREDENTIALS_BYTES_MAX {
            return None;
        }
        let decoded = STANDARD.decode(token).ok()?;
        let text = Zeroizing::new(String::from_utf8(decoded).map_err(wiped).ok()?);
        let user_bytes = text.find(':')?;
        let user = text.get(..user_bytes)?;
        let is_right = is_user_name(user) && user.len() <= USER_NAME_BYTES_MAX && !text.chars().any(char::is_control);
        is_right.then_some(Self { text, user_bytes })
    }

    /// The name as the client wrote it.
    pub fn user(&self) -> &str {
        self.text.get(..self.user_bytes).unwrap_or_default()
    }

    /// The password, which may hold colons.
    pub fn password(&self) -> &str {
        self.text.get(self.user_bytes + 1..).unwrap_or_default()
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(..)")
    }
}

/// Wipes what was decoded and is no text.
fn wiped(error: alloc::string::FromUtf8Error) {
    let mut bytes: Vec<u8> = error.into_bytes();
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        match Credentials::read(value.as_bytes()) {
            Credentials::Basic(basic) => Some((basic.user().into(), basic.password().into())),
            Credentials::Absent | Credentials::Unreadable => None,
        }
    }

    #[test]
    fn rfc_7617_examples() {
        let pair = |user: &str, password: &str| Some((user.into(), password.into()));
        assert_eq!(read(" Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(read("bAsIc dGVzdDoxMjPCow=="), pair("test", "123\u{a3}"));
        assert_eq!(read("Basic YTpiOmM="), pair("a", "b:c"));
        assert_eq!(read("Basic YTo="), pair("a", ""));
    }

    #[test]
    fn what_is_no_name_and_password_is_unreadable() {
        let long = std::format!("Basic {}", STANDARD.encode(std::format!("a:{}", "b".repeat(CREDENTIALS_BYTES_MAX))));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic YTpi=",
            "Basic YWI=",
            "Basic OmI=",
            "Basic YQA6Yg==",
            "Basic YTpiCg==",
            "Basic /zpi",
            "Bearer YTpi",
            "Negotiate YTpi",
            "YTpi",
            &long,
        ] {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn a_second_field_makes_both_unreadable_and_nothing_is_shown() {
        let one = Credentials::default().and(b" Basic YTpi");
        assert!(matches!(one, Credentials::Basic(_)));
        assert_eq!(std::format!("{one:?}"), "Basic(Basic(..))");
        assert_eq!(one.and(b" Basic YTpi"), Credentials::Unreadable);
    }
}
