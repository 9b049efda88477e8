//! What must hold for any bytes on the explicit proxy's listener: the answer does not depend on how they were cut, what is
//! accepted reads back as itself, and no name is an address in disguise.

use std::net::IpAddr;

use penstock_core::bytes::Parsed;
use penstock_core::proxy::{ConnectReader, Host};

pub(crate) fn check(data: &[u8]) {
    let answer = ConnectReader::new().parse(data);
    let mut by_piece = ConnectReader::new();
    for end in (0..data.len()).step_by(data.len() / 64 + 1) {
        let step = by_piece.parse(&data[..end]);
        if !step.is_incomplete() {
            assert_eq!(step, answer);
            return;
        }
    }
    assert_eq!(by_piece.parse(data), answer);
    let Parsed::Complete { value, consumed } = answer else { return };
    assert!(data[..consumed].ends_with(b"\n\r\n") && value.authority.port > 0);
    match &value.authority.host {
        Host::Address(address) => assert_eq!(address.to_canonical(), *address),
        Host::Name(name) => assert!(name.as_str().parse::<IpAddr>().is_err()),
    }
    let again = format!("CONNECT {} HTTP/1.1\r\n\r\n", value.authority);
    let read = ConnectReader::new().parse(again.as_bytes()).complete();
    assert_eq!(read.map(|head| head.authority), Some(value.authority));
}
