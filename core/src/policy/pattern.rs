//! A host rule as an operator writes it: a name, every name below a suffix, or a name with wildcards inside.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::inner;
use crate::limits::HOST_NAME_BYTES_MAX;
use crate::sni::{Sni, SniReject};

/// A checked host rule, lower-case and without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct HostPattern {
    scope: Scope,
    /// The name, or the suffix without `*.`; with its asterisks for [`Scope::Inner`].
    name: Box<str>,
}

/// Which names a pattern covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scope {
    /// `*.example.com`: every name below, at any depth, and not the name itself.
    Below,
    /// `example.com`: that name.
    Exact,
    /// `login-*.example.com`: an asterisk stands for any bytes of one label, none too.
    Inner,
}

/// Why a text is no host rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternReject {
    /// Without its asterisks it is no host name.
    Name(SniReject),
    /// Nothing but asterisks is left of it: it would cover everything.
    Everything,
}

impl HostPattern {
    /// Reads a rule.
    pub(super) fn parse(text: &str) -> Result<Self, PatternReject> {
        let (scope, name) = match text.strip_prefix("*.") {
            Some(rest) if !rest.contains('*') => (Scope::Below, rest),
            _ if text.contains('*') => (Scope::Inner, text),
            _ => (Scope::Exact, text),
        };
        if text.bytes().all(|byte| matches!(byte, b'*' | b'.')) && text.contains('*') {
            return Err(PatternReject::Everything);
        }
        if scope == Scope::Inner {
            return Self::parse_inner(text);
        }
        let name = Sni::parse(name.as_bytes()).map_err(PatternReject::Name)?;
        Ok(Self { scope, name: name.as_str().into() })
    }

    /// An asterisk is checked as if a letter stood there, so that labels of nothing but asterisks pass.
    fn parse_inner(text: &str) -> Result<Self, PatternReject> {
        let name = Sni::parse(text.replace('*', "x").as_bytes()).map_err(PatternReject::Name)?;
        let lower: String = text.trim_end_matches('.').to_ascii_lowercase();
        debug_assert!(name.as_str().len() == lower.len() && lower.len() <= HOST_NAME_BYTES_MAX);
        Ok(Self { scope: Scope::Inner, name: lower.into() })
    }

    pub(super) const fn scope(&self) -> Scope {
        self.scope
    }

    /// The name or suffix.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it covers `name`, which is lower-case and has no trailing dot.
    pub(super) fn covers_name(&self, name: &str) -> bool {
        match self.scope {
            Scope::Below => is_below(name, &self.name),
            Scope::Exact => *self.name == *name,
            Scope::Inner => inner::covers(&self.name, name),
        }
    }

    /// Whether every name that `other` covers is covered by this pattern too. Inner wildcards cover only themselves.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self.scope, other.scope) {
            (Scope::Below, Scope::Exact) => is_below(&other.name, &self.name),
            (Scope::Below, Scope::Below) => other.name == self.name || is_below(&other.name, &self.name),
            _ => self == other,
        }
    }

    /// Whether some name is covered by both. Exact for names and suffixes.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scope == Scope::Below {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

/// Whether `name` has at least one label before `suffix`.
pub(super) fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}
