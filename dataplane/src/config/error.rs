//! A mistake in the configuration, told as `file:line:column: reason`.

use std::fmt;
use std::ops::Range;

/// Why a configuration cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The file, as it was named.
    pub(crate) file: String,
    /// Line and column, from 1; absent when the file could not be read.
    pub(crate) place: Option<(usize, usize)>,
    /// What is wrong and what would be right.
    pub(crate) reason: String,
}

impl ConfigError {
    /// A mistake at `span` (bytes) of `text`.
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, reason: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
        Self { file: file.to_owned(), place: Some((line, column)), reason: reason.into() }
    }

    /// A file that could not be read at all.
    pub(super) fn unreadable(file: &str, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), place: None, reason: format!("cannot be read: {reason}") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: error: {}", self.file, self.reason),
            None => write!(f, "{}: error: {}", self.file, self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}
