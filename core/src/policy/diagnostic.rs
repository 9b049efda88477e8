//! What is wrong with a policy document, where, and what to write instead.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use serde::{Serialize, Serializer};

use super::FindingCode;
use crate::labelled;

labelled! {
    /// Whether a policy can be used in spite of what was found.
    pub enum Severity {
        /// It cannot.
        Error = "error",
        /// It can, but probably does not do what was meant.
        Warning = "warning",
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// One finding. Prints as `file:line:column: severity: message [code]`, and the help on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Name of the document, as the caller gave it.
    pub file: Box<str>,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What kind of finding it is.
    pub code: FindingCode,
    /// What is wrong and why.
    pub message: String,
    /// What to write instead, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, code, message, help } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message} [{code}]")?;
        match help {
            Some(help) => write!(f, "\n    help: {help}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Diagnostic {}
