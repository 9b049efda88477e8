//! What the compiler says of wrong documents: place, reason and mend, all at once, word for word.
//!
//! Each `testdata/policy/NAME.toml` has its expected output in `NAME.txt`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use penstock_core::limits::{HEADER_VALUE_BYTES_MAX, POLICY_FINDINGS_MAX};
use penstock_core::policy::{Diagnostic, Severity, compile};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/policy");

fn diagnostics(file: &str, text: &str) -> Vec<Diagnostic> {
    compile(file, text, None, 0).map_or_else(|errors| errors, |snapshot| snapshot.warnings().to_vec())
}

#[test]
fn samples_are_answered_word_for_word() {
    let mut count = 0;
    for entry in fs::read_dir(SAMPLES).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let found = diagnostics(name, &fs::read_to_string(&path).unwrap());
        let said = found.iter().map(|diagnostic| format!("{diagnostic}\n")).collect::<String>();
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert!(said == expected, "{name} is answered otherwise than its .txt says:\n{said}");
        count += 1;
    }
    assert_eq!(count, 7, "samples in {}", Path::new(SAMPLES).display());
}

#[test]
fn every_error_is_said_at_once_and_in_the_order_of_the_text() {
    let found = diagnostics("keys.toml", &fs::read_to_string(Path::new(SAMPLES).join("keys.toml")).unwrap());
    let places: Vec<_> = found.iter().map(|diagnostic| (diagnostic.line, diagnostic.column)).collect();
    assert!(places.len() > 20 && places.is_sorted(), "{places:?}");
}

#[test]
fn columns_count_characters_and_help_is_a_line_of_its_own() {
    let text = "[deny]\nhosts = [\"ä.example\", \"*.com\"]\n";
    let found = diagnostics("p", text);
    assert_eq!(
        found[1].to_string(),
        concat!(
            "p:2:23: error: \"*.com\" covers everybody's names: com is a public suffix [invalid]\n",
            "    help: name the registered domains below it one by one"
        )
    );
}

#[test]
fn a_flood_of_findings_is_cut_and_counted() {
    let mut text = String::from("[deny]\nhosts = [");
    for _ in 0..POLICY_FINDINGS_MAX + 500 {
        text.push_str("\"*.com\",");
    }
    text.push(']');
    let found = diagnostics("p", &text);
    assert_eq!(found.len(), POLICY_FINDINGS_MAX + 1);
    assert_eq!(found[POLICY_FINDINGS_MAX].message, "500 findings more are not shown");
    assert!(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error));
}

#[test]
fn an_empty_document_is_legal_and_warned_of() {
    let found = diagnostics("p", "");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        concat!(
            "p:1:1: warning: without an [[assignment]] every flow passes [doubtful]\n",
            "    help: give a profile to sources: [[assignment]] with profile and sources"
        )
    );
}

/// h050: what could forge a header, or does not fit into one, never becomes a snapshot.
#[test]
fn h050_values_that_could_forge_a_header_are_refused() {
    let entra = |tenant: &str| {
        format!(
            "[[restriction]]\nname = \"e\"\nconnector = \"microsoft-entra\"\npermitted_tenants = [\"{tenant}\"]\n\
             context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n"
        )
    };
    let sites = |name: &str, value: &str| {
        format!(
            "[[restriction]]\nname = \"s\"\nconnector = \"atlassian\"\nallow_unverified = true\n\
             header_name = \"{name}\"\nheader_value = \"{value}\"\n"
        )
    };
    let documents = [
        entra("contoso.com\\r\\nX-Evil: 1"),
        entra("contoso.com\\n"),
        entra("contoso.com\\u0000"),
        entra("contoso.com\\u007f"),
        entra("contoso.com\\u0085"),
        sites("X-Sites", "a\\r\\nHost: evil.example"),
        sites("X-Sites", "a\\tb"),
        sites("X-Sites", "a\\u0000b"),
        sites("X-Sites", "caf\u{e9}"),
        sites("X Sites", "a"),
        sites("X-Sites:", "a"),
        sites("X-Sites\\r\\nY", "a"),
        sites("", "a"),
        sites("Transfer-Encoding", "chunked"),
        sites("Connection", "close"),
        sites(&"X".repeat(65), "a"),
        sites("X-Sites", &"a".repeat(HEADER_VALUE_BYTES_MAX + 1)),
    ];
    for document in documents {
        let found = compile("p", &document, None, 0).err().unwrap_or_else(|| panic!("accepted: {document:.300}"));
        let errors: Vec<_> = found.iter().filter(|found| found.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{found:#?}");
        assert!(errors.iter().all(|error| error.line > 1 && !error.message.contains(['\r', '\n'])), "{errors:?}");
    }
    assert!(compile("p", &sites("X-Sites", &"a".repeat(HEADER_VALUE_BYTES_MAX)), None, 0).is_ok());
}

/// h050: a long list is refused when its header would be too long, with the size that it would have.
#[test]
fn h050_a_list_that_makes_a_header_too_long_is_refused() {
    let tenants: Vec<_> = (0..222).map(|number| format!("\"11111111-2222-3333-4444-{number:012}\"")).collect();
    let document = |count: usize| {
        let tenants = tenants[..count].join(", ");
        format!(
            "[[restriction]]\nname = \"e\"\nconnector = \"microsoft-entra\"\npermitted_tenants = [{tenants}]\n\
             context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n"
        )
    };
    assert!(compile("p", &document(221), None, 0).is_ok());
    let found = compile("p", &document(222), None, 0).unwrap_err();
    let oversize = found.iter().find(|found| found.severity == Severity::Error).unwrap();
    assert_eq!(oversize.message, "Restrict-Access-To-Tenants would be 8213 bytes long; 8192 is the most");
}
