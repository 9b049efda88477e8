//! Refusals are recognised however the body is cut, and nothing else is.

use penstock_core::catalogue::{ConnectorId, DenialCode, DenialScanner, connectors};
use penstock_core::limits::DENIAL_SCAN_BYTES_MAX;

const BOTH: &[ConnectorId] = &[ConnectorId::MicrosoftEntra, ConnectorId::MicrosoftEntraV2];

fn scan(connectors: &[ConnectorId], status: u16, pieces: &[&[u8]]) -> Option<DenialCode> {
    let mut scanner = DenialScanner::new(connectors);
    scanner.handle_head(status, [(&b"content-type"[..], &b"text/html"[..])].into_iter());
    for piece in pieces {
        scanner.handle_body(piece);
    }
    scanner.found()
}

#[test]
fn every_text_is_found_across_every_border() {
    for connector in connectors() {
        for denial in connector.denials {
            for text in denial.body {
                let body = format!("<html><p>Sorry: {text}. Ask.</p>").into_bytes();
                let status = denial.statuses.first().copied().unwrap_or(200);
                for at in 0..=body.len() {
                    let (before, after) = body.split_at(at);
                    assert_eq!(scan(&[connector.id], status, &[before, after]), Some(denial.code), "{text} at {at}");
                }
                let bytes: Vec<_> = body.chunks(1).collect();
                assert_eq!(scan(&[connector.id], status, &bytes), Some(denial.code), "{text}");
                if !denial.statuses.is_empty() {
                    assert_eq!(scan(&[connector.id], 200, &[&body]), None, "{text}");
                }
            }
        }
    }
}

#[test]
fn a_code_is_not_taken_for_the_start_of_a_longer_one() {
    let cases: [(&[u8], _); 7] = [
        (b"AADSTS500021: Access to 'x' tenant is denied", Some(DenialCode::Aadsts500021)),
        (b"AADSTS5000211: A tenant restrictions policy", Some(DenialCode::Aadsts5000211)),
        (b"AADSTS5000212: something else", None),
        (b"AADSTS500021", Some(DenialCode::Aadsts500021)),
        (b"AADSTS5000", None),
        (b"AADSTS50002122 and AADSTS500022.", Some(DenialCode::Aadsts500022)),
        (b"AADSTS50002AADSTS500021\"", Some(DenialCode::Aadsts500021)),
    ];
    for (body, expected) in cases {
        for at in 0..=body.len() {
            let (before, after) = body.split_at(at);
            assert_eq!(scan(BOTH, 400, &[before, after]), expected, "{} at {at}", body.escape_ascii());
        }
    }
}

#[test]
fn another_vendors_text_is_no_refusal() {
    let body = br#"{"error":{"error_code":"tenant_restriction_violation"}}"#;
    assert_eq!(scan(BOTH, 403, &[body]), None);
    assert_eq!(scan(&[ConnectorId::AnthropicClaude], 403, &[body]), Some(DenialCode::TenantRestrictionViolation));
    assert_eq!(scan(&[], 403, &[body]), None);
    assert_eq!(scan(&[ConnectorId::Slack], 403, &[body]), None);
}

#[test]
fn the_search_ends_at_its_bound_and_with_what_it_found() {
    let padding = vec![b' '; DENIAL_SCAN_BYTES_MAX];
    assert_eq!(scan(BOTH, 200, &[&padding, b"AADSTS500021 "]), None);
    assert_eq!(scan(BOTH, 200, &[&padding[20..], b"AADSTS500021 "]), Some(DenialCode::Aadsts500021));

    let mut scanner = DenialScanner::new(BOTH);
    scanner.handle_head(200, std::iter::empty());
    assert!(scanner.wants_body());
    scanner.handle_body(b"AADSTS500021 ");
    assert!(!scanner.wants_body());
    // The next response is judged on its own.
    scanner.handle_head(200, std::iter::empty());
    assert_eq!((scanner.found(), scanner.wants_body()), (None, true));

    let mut idle = DenialScanner::new(&[ConnectorId::AnthropicClaude]);
    idle.handle_head(200, std::iter::empty());
    assert!(!idle.wants_body(), "a status that no refusal has needs no body");
}
