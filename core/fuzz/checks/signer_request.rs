//! What must hold for any packet to the signer: no panic; what is a request has one form; and whatever it asks for, what is
//! signed is a server's leaf for one name that the issuer may certify, within the issuer's time. Packets of the signer itself
//! are read the same way.

use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, MintError, PermittedNames, SignError, Signer, Validity, encode_issuer,
    encode_root,
};
use penstock_core::signer::{Answer, LeafMint, Moment, Request};

const NOW: i64 = 1_795_305_600;
const YEAR: i64 = 365 * 86_400;
const KEY_HEAD: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3,
    0x42, 0, 4,
];

struct NoKey;

impl Signer for NoKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0x30; 71])
    }
}

fn issuer() -> Result<CertificateFacts, MintError> {
    let key = [&KEY_HEAD[..], &[7; 64]].concat();
    let validity = Validity { not_before: NOW - YEAR, not_after: NOW + YEAR };
    let request = |common_name| AuthorityRequest { common_name, public_key: &key, serial: [1; 16], validity };
    let root = CertificateFacts::parse(&encode_root(&request("root"), &NoKey)?)?;
    let permitted = PermittedNames::from_patterns(["*.saas.example"])?;
    CertificateFacts::parse(&encode_issuer(&request("issuer"), &root, &permitted, &NoKey)?)
}

pub(crate) fn check(data: &[u8]) {
    if let Some(answer) = Answer::parse(data) {
        assert_eq!(answer.encode(), data);
    }
    let Some(request) = Request::parse(data) else { return };
    assert_eq!(request.encode(), data);
    let (Request::Mint { leaf, .. }, Ok(issuer)) = (request, issuer()) else { return };
    match LeafMint::new(issuer.clone()).mint(&leaf, Moment { now: NOW, serial: [9; 16] }, &NoKey) {
        Ok(minted) => {
            let facts = CertificateFacts::parse(&minted.certificate);
            assert!(facts.is_ok_and(|facts| {
                let validity = facts.validity();
                let within = issuer.validity().not_before <= validity.not_before
                    && validity.not_after <= issuer.validity().not_after;
                within && validity == minted.validity && !facts.is_authority() && facts.is_issued_by(&issuer)
            }));
            assert!(leaf.name.as_str() == "saas.example" || leaf.name.as_str().ends_with(".saas.example"));
        }
        Err(error) => assert!(matches!(error, MintError::Name | MintError::PublicKey), "{error}"),
    }
}
