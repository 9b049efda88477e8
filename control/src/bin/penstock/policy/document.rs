//! A policy file, read and compiled here, without a daemon.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;
use penstock_core::policy::{Diagnostic, Snapshot, compile};
use serde_json::json;

use crate::output;

/// A policy file and what the compiler says of it.
pub(crate) struct Document {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) compiled: Result<Snapshot, Vec<Diagnostic>>,
}

/// Reads and compiles. The file's name in diagnostics is as the user gave it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Document> {
    let file = path.display().to_string();
    let size = fs::metadata(path).with_context(|| file.clone())?.len();
    anyhow::ensure!(
        usize::try_from(size).is_ok_and(|size| size <= POLICY_DOCUMENT_BYTES_MAX),
        "{file}: a policy has at most {POLICY_DOCUMENT_BYTES_MAX} bytes"
    );
    let text = fs::read_to_string(path).with_context(|| file.clone())?;
    let compiled = compile(&file, &text, None, getrandom::u64().unwrap_or_default());
    Ok(Document { file, text, compiled })
}

/// Tells why the document is refused: on standard error for people, on standard output as JSON.
pub(crate) fn report_refusal(document: &Document, as_json: bool) -> anyhow::Result<ExitCode> {
    let Err(diagnostics) = &document.compiled else { return Ok(ExitCode::SUCCESS) };
    if as_json {
        output::json(&json!({ "valid": false, "file": document.file, "diagnostics": diagnostics }))?;
    } else {
        for diagnostic in diagnostics {
            output::note(&diagnostic.to_string());
        }
    }
    Ok(ExitCode::FAILURE)
}
