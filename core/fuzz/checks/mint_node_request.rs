//! What must hold for any bytes that stand where a node's request for a certificate should: no panic, no part of a request is
//! one, and a certificate can be made for the key of whatever is taken for one.

use penstock_core::mint::NodeRequest;

pub(crate) fn check(data: &[u8]) {
    let Some(request) = NodeRequest::parse(data) else { return };
    assert_eq!((request.public_key.len(), request.point.len()), (91, 65));
    assert!(request.public_key.ends_with(request.point) && request.signed.len() > request.public_key.len());
    for end in 0..data.len() {
        assert_eq!(NodeRequest::parse(&data[..end]), None, "cut at {end}");
    }
}
