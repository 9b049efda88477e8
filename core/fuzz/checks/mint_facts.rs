//! What must hold for any bytes that stand where an authority's certificate should: no panic, and what is signed below what
//! was read can be read again.

use penstock_core::mint::{CertificateFacts, LeafTemplate, SignError, Signer, Validity};
use penstock_core::sni::Sni;

struct NoKey;

impl Signer for NoKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0x30; 71])
    }
}

pub(crate) fn check(data: &[u8]) {
    let Ok(issuer) = CertificateFacts::parse(data) else { return };
    let Ok(template) = LeafTemplate::new(&issuer, issuer.public_key()) else { return };
    let Ok(name) = Sni::parse(b"login.microsoftonline.com") else { return };
    let Validity { not_before, not_after } = issuer.validity();
    for validity in [issuer.validity(), Validity { not_before, not_after: not_after.saturating_add(1) }] {
        let Ok(leaf) = template.encode(&name, [0; 16], validity, &NoKey) else { continue };
        let leaf = CertificateFacts::parse(&leaf);
        assert!(leaf.is_ok_and(|leaf| {
            !leaf.is_authority() && leaf.is_issued_by(&issuer) && leaf.validity() == issuer.validity()
        }));
        assert!(issuer.permitted().is_none_or(|permitted| permitted.permits(name.as_str())));
    }
}
