//! From Microsoft's first version to the second: what changes in the text, and what does not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use penstock_core::policy::{FindingCode, compile, migrate_entra};

const POLICY_ID: &str = "aaaabbbb-0000-cccc-1111-dddd2222eeee";

fn example() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/policies/example.toml")).unwrap()
}

#[test]
fn the_example_is_changed_where_it_must_be_and_nowhere_else() {
    let before = example();
    let migration = migrate_entra("p", &before, POLICY_ID).unwrap();
    let changed: Vec<(&str, &str)> =
        before.lines().zip(migration.text.lines()).filter(|(before, after)| before != after).collect();
    let after: Vec<&str> = changed.iter().map(|(_, after)| *after).collect();
    assert_eq!(
        after,
        [
            "connector = \"microsoft-entra-v2\"",
            "tenant_id = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"",
            "policy_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\"",
            "restrictions = [\"entra\", \"claude\", \"chatgpt\", \"google\"]",
        ]
    );
    assert_eq!(before.lines().count(), migration.text.lines().count());
    let snapshot = compile("p", &migration.text, None, 0).unwrap();
    let codes: Vec<_> = snapshot.warnings().iter().map(|finding| finding.code).collect();
    assert!(!codes.contains(&FindingCode::EntraVersionsMixed), "{codes:?}");
    assert!(codes.contains(&FindingCode::Unused), "the consumer restriction is left, and pointed out");
}

#[test]
fn every_tenant_of_the_list_is_a_step() {
    let steps = migrate_entra("p", &example(), POLICY_ID).unwrap().steps.join("\n");
    for tenant in ["contoso.com", "fabrikam.onmicrosoft.com", "aaaabbbb-0000-cccc-1111-dddd2222eeee"] {
        assert!(steps.contains(&format!("Permit {tenant}:")), "{tenant}: {steps}");
    }
    assert!(steps.contains("https://login.microsoftonline.com/contoso.com/v2.0/.well-known/openid-configuration"));
    assert!(steps.contains("9188040d-6c67-4c5b-b112-36a304b66dad: leave blocked"));
}

#[test]
fn a_document_without_the_first_version_stays_as_it_is() {
    let text = "[deny]\nhosts = [\"onedrive.live.com\"]   # as ever\n";
    let migration = migrate_entra("p", text, POLICY_ID).unwrap();
    assert_eq!((migration.text.as_str(), migration.changes.len(), migration.steps.len()), (text, 0, 0));
}

#[test]
fn tables_written_in_one_line_are_changed_too() {
    let text = "restriction = [{ name = \"e\", connector = \"microsoft-entra\", context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\", permitted_tenants = [\"contoso.com\"] }]\n";
    let text = migrate_entra("p", text, POLICY_ID).unwrap().text;
    assert!(text.contains("policy_id = \"aaaabbbb-0000-cccc-1111-dddd2222eeee\", tenant_id = \"bbbbcccc"), "{text}");
    compile("p", &text, None, 0).unwrap();
}

#[test]
fn what_is_wrong_is_told() {
    let found = migrate_entra("p", "[[restriction]]\n", POLICY_ID).unwrap_err();
    assert!(!found.is_empty());
    let found = migrate_entra("p", &example(), "00000000-0000-0000-0000-000000000000").unwrap_err();
    assert_eq!(found.iter().filter(|finding| finding.code == FindingCode::InventedName).count(), 2, "{found:#?}");
}
