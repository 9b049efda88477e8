//! Collects what is wrong with a document while it is compiled, and turns offsets into lines at the end.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Diagnostic, FindingCode, Severity};
use crate::limits::POLICY_FINDINGS_MAX;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The last one, which the caller may still add help to.
    current: Option<Finding>,
    /// Those before it, up to the bound.
    list: Vec<Finding>,
    /// Found when the list was full.
    left_out: usize,
    has_errors: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Finding {
    /// Byte offset in the document.
    at: usize,
    severity: Severity,
    code: FindingCode,
    message: String,
    help: Option<String>,
}

impl Finding {
    const fn new(at: usize, severity: Severity, code: FindingCode, message: String) -> Self {
        Self { at, severity, code, message, help: None }
    }

    /// Says what kind it is.
    pub(super) const fn code(&mut self, code: FindingCode) -> &mut Self {
        self.code = code;
        self
    }

    /// Adds what to write instead.
    pub(super) fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }

    /// Adds what to write instead, when something is known.
    pub(super) fn help_if(&mut self, help: Option<String>) {
        self.help = help;
    }
}

impl Findings {
    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) -> &mut Finding {
        self.add(Finding::new(at, Severity::Error, FindingCode::Invalid, message.into()))
    }

    pub(super) fn warning(&mut self, at: usize, message: impl Into<String>) -> &mut Finding {
        self.add(Finding::new(at, Severity::Warning, FindingCode::Doubtful, message.into()))
    }

    pub(super) const fn has_errors(&self) -> bool {
        self.has_errors
    }

    fn add(&mut self, finding: Finding) -> &mut Finding {
        self.has_errors |= finding.severity == Severity::Error;
        self.keep_current();
        self.current.insert(finding)
    }

    /// An error is never left out for a warning: in a full list it takes the last warning's place.
    fn keep_current(&mut self) {
        let Some(finding) = self.current.take() else { return };
        if self.list.len() < POLICY_FINDINGS_MAX {
            self.list.push(finding);
            return;
        }
        self.left_out += 1;
        let is_warning = |kept: &&mut Finding| kept.severity == Severity::Warning;
        if finding.severity == Severity::Error
            && let Some(warning) = self.list.iter_mut().rfind(is_warning)
        {
            *warning = finding;
        }
    }

    /// The findings in the order of the text.
    pub(super) fn into_diagnostics(mut self, file: &str, text: &str) -> Vec<Diagnostic> {
        self.keep_current();
        self.list.sort_by_key(|finding| finding.at);
        let mut place = Place { text, at: 0, line: 1, column: 1 };
        let mut diagnostics: Vec<_> = self.list.into_iter().map(|finding| place.diagnostic(file, finding)).collect();
        if self.left_out > 0 {
            let message = format!("{} findings more are not shown", self.left_out);
            let finding = Finding::new(text.len(), Severity::Warning, FindingCode::Doubtful, message);
            diagnostics.push(place.diagnostic(file, finding));
        }
        diagnostics
    }
}

/// Walks once through the text.
struct Place<'text> {
    text: &'text str,
    at: usize,
    line: usize,
    column: usize,
}

impl Place<'_> {
    fn diagnostic(&mut self, file: &str, finding: Finding) -> Diagnostic {
        let mut target = finding.at.min(self.text.len());
        while !self.text.is_char_boundary(target) {
            target -= 1;
        }
        for letter in self.text.get(self.at..target).unwrap_or_default().chars() {
            if letter == '\n' {
                (self.line, self.column) = (self.line + 1, 1);
            } else {
                self.column += 1;
            }
        }
        self.at = target.max(self.at);
        let Finding { severity, code, message, help, .. } = finding;
        Diagnostic { file: file.into(), line: self.line, column: self.column, severity, code, message, help }
    }
}
