//! What must hold for any bytes ahead of a connection: the answer does not depend on how they were cut or on what follows,
//! a wait is honest about how long, and what is accepted is written and read back as itself.

use penstock_core::bytes::Parsed;
use penstock_core::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};
use penstock_core::proxy::proxy_protocol::{TlvKind, Version, begins_like_header, parse};

pub(crate) fn check(data: &[u8]) {
    let answer = parse(data);
    let mut end = 0;
    while end < data.len() {
        match parse(&data[..end]) {
            Parsed::Incomplete { more_bytes_min } => {
                assert!(more_bytes_min > 0);
                end += more_bytes_min;
            }
            early => return assert_eq!(early, answer),
        }
    }
    let Parsed::Complete { value: header, consumed } = answer else { return };
    assert!(begins_like_header(data) && consumed <= data.len());
    assert!(matches!(parse(&data[..consumed - 1]), Parsed::Incomplete { more_bytes_min: 1 }));
    let bytes_max = if header.version == Version::One { PROXY_LINE_BYTES_MAX } else { PROXY_HEADER_BYTES_MAX };
    assert!(consumed <= bytes_max);
    for address in header.endpoints.iter().flat_map(|ends| [ends.source, ends.destination]) {
        assert_eq!(address.ip().to_canonical(), address.ip());
    }
    for (kind, value) in header.tlvs.iter() {
        assert!(kind == TlvKind::NOOP || header.tlvs.find(kind) == Some(value));
    }
    let again = parse(&header.encode()).complete();
    if header.tlvs.find(TlvKind::CRC32C).is_none() {
        assert_eq!(again, Some(header));
    } else {
        // The checksum is that of the header as we write it.
        assert_eq!(again.map(|again| again.endpoints), Some(header.endpoints));
    }
}
