//! Which names an issuer may certify: the host patterns of the policy as name constraints.
//!
//! RFC 5280 section 4.2.1.10 knows subtrees only: a permitted `dNSName` covers itself and everything below it. So an
//! exact host permits its own subtree, and `*.google.com` permits that of `google.com`. Nothing else is permitted, and
//! all addresses are excluded, so a stolen issuer key cannot speak for any other host.

use alloc::string::String;
use alloc::vec::Vec;

use super::der::{self, Writer};
use super::signer::MintError;
use crate::bytes::Reader;
use crate::limits::{HOST_LABEL_BYTES_MAX, HOST_NAME_BYTES_MAX, ISSUER_PERMITTED_NAMES_MAX};

/// What stands in for an empty list: an empty `permittedSubtrees` would permit everything, this name nothing that
/// exists (RFC 6761 section 6.4).
const NOTHING: &str = "nothing.invalid";

/// The permitted subtrees of an issuer: sorted, in lower case, none below another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittedNames {
    names: Vec<String>,
}

impl PermittedNames {
    /// Reads host patterns of a snapshot: `login.live.com` or `*.google.com`.
    ///
    /// # Errors
    ///
    /// [`MintError::Pattern`] for any other form, [`MintError::TooMany`] past the bound.
    pub fn from_patterns<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, MintError> {
        let mut names = Vec::new();
        for pattern in patterns {
            let name = pattern.strip_prefix("*.").unwrap_or(pattern);
            if !is_host_name(name) {
                return Err(MintError::Pattern);
            }
            names.push(name.to_ascii_lowercase());
        }
        Self::from_names(names)
    }

    /// The subtrees, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether `name`, in lower case, is in one of the subtrees.
    pub fn permits(&self, name: &str) -> bool {
        suffixes(name).any(|suffix| self.names.binary_search_by(|known| known.as_str().cmp(suffix)).is_ok())
    }

    fn from_names(mut names: Vec<String>) -> Result<Self, MintError> {
        names.sort_unstable();
        names.dedup();
        let all = Self { names };
        let mut names: Vec<String> = all
            .names
            .iter()
            .filter(|name| {
                !suffixes(name).skip(1).any(|above| all.names.binary_search_by(|n| n.as_str().cmp(above)).is_ok())
            })
            .cloned()
            .collect();
        if names.len() > ISSUER_PERMITTED_NAMES_MAX {
            return Err(MintError::TooMany);
        }
        if names.is_empty() {
            names.push(NOTHING.into());
        }
        Ok(Self { names })
    }

    /// `NameConstraints` (RFC 5280 section 4.2.1.10): our names permitted, all addresses excluded.
    pub(super) fn write(&self, writer: &mut Writer) {
        writer.nested(der::SEQUENCE, |writer| {
            writer.nested(der::context_constructed(0), |writer| {
                for name in self.iter() {
                    writer.nested(der::SEQUENCE, |writer| writer.element(der::context(2), name.as_bytes()));
                }
            });
            writer.nested(der::context_constructed(1), |writer| {
                // An address followed by its mask: of IPv4 4 + 4 bytes, of IPv6 16 + 16; all zero is every address.
                writer.nested(der::SEQUENCE, |writer| writer.element(der::context(7), &[0; 8]));
                writer.nested(der::SEQUENCE, |writer| writer.element(der::context(7), &[0; 32]));
            });
        });
    }

    /// Reads the permitted names of what [`Self::write`] writes; `None` for any other form.
    pub(super) fn read(extension: &[u8]) -> Option<Self> {
        let constraints = der::expect(&mut Reader::new(extension), der::SEQUENCE)?;
        let mut subtrees = Reader::new(der::expect(&mut Reader::new(constraints), der::context_constructed(0))?);
        let mut names = Vec::new();
        while !subtrees.is_empty() {
            let subtree = der::expect(&mut subtrees, der::SEQUENCE)?;
            let name = der::expect(&mut Reader::new(subtree), der::context(2))?;
            let name = core::str::from_utf8(name).ok().filter(|name| is_host_name(name))?;
            names.push(name.to_ascii_lowercase());
        }
        Self::from_names(names).ok()
    }
}

/// `a.b.c`, `b.c`, `c`.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    core::iter::successors(Some(name), |rest| rest.split_once('.').map(|(_, above)| above))
}

fn is_host_name(name: &str) -> bool {
    name.len() <= HOST_NAME_BYTES_MAX
        && name.split('.').all(|label| {
            (1..=HOST_LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(patterns: &[&str]) -> Vec<String> {
        PermittedNames::from_patterns(patterns.iter().copied()).expect("patterns").names
    }

    #[test]
    fn patterns_become_the_fewest_subtrees() {
        assert_eq!(
            permitted(&["login.live.com", "*.google.com", "google.com", "Accounts.Google.com", "login.live.com"]),
            ["google.com", "login.live.com"]
        );
        // A name that merely ends in the same letters is not below.
        assert_eq!(permitted(&["live.com", "notlive.com", "a-live.com"]), ["a-live.com", "live.com", "notlive.com"]);
        assert_eq!(permitted(&[]), [NOTHING]);
    }

    #[test]
    fn patterns_that_no_constraint_can_say_are_refused() {
        for pattern in ["*", "*.*.com", "a.*.com", "login*.com", "", ".live.com", "live.com.", "a b", "[::1]", "ü.de"]
        {
            assert_eq!(PermittedNames::from_patterns([pattern]), Err(MintError::Pattern), "{pattern}");
        }
        let many: Vec<String> = (0..=ISSUER_PERMITTED_NAMES_MAX).map(|n| alloc::format!("h{n}.example")).collect();
        assert_eq!(PermittedNames::from_patterns(many.iter().map(String::as_str)), Err(MintError::TooMany));
    }

    #[test]
    fn a_subtree_holds_itself_and_what_is_below() {
        let names = PermittedNames::from_patterns(["*.google.com", "login.live.com"]).expect("patterns");
        for name in ["google.com", "accounts.google.com", "a.b.google.com", "login.live.com", "x.login.live.com"] {
            assert!(names.permits(name), "{name}");
        }
        for name in ["live.com", "notgoogle.com", "com", "google.com.evil.example", "", "nothing.invalid"] {
            assert!(!names.permits(name), "{name}");
        }
    }

    #[test]
    fn the_extension_is_read_back() {
        let names = PermittedNames::from_patterns(["*.google.com", "login.live.com"]).expect("patterns");
        let mut writer = Writer::default();
        names.write(&mut writer);
        let der = writer.into_bytes();
        assert_eq!(PermittedNames::read(&der), Some(names));
        for end in 0..der.len() {
            assert_eq!(PermittedNames::read(&der[..end]), None);
        }
    }
}
