//! The `server_name` extension (RFC 6066 section 3): exactly one host name, or the hello is refused.
//!
//! ```text
//! ServerNameList:  u16 length | name_type (0 = host_name) | u16 length | HostName
//! ```

use super::reject::HelloReject;
use crate::bytes::Reader;
use crate::sni::{Sni, SniReject};

/// What a well-formed `server_name` extension says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerName {
    /// An address literal: forbidden by RFC 6066, sent by real clients, and worth as much as no name.
    Address,
    /// A host name.
    Name(Sni),
}

const NAME_TYPE_HOST_NAME: u8 = 0;

/// Reads the extension's body.
pub(super) fn parse(body: &[u8]) -> Result<ServerName, HelloReject> {
    let mut reader = Reader::new(body);
    let list = reader.vector_u16().filter(|_| reader.is_empty()).ok_or(HelloReject::MalformedServerName)?;
    let mut names = Reader::new(list);
    // An unknown type cannot be skipped: its length is not known to us, so a server that knows it may find another name.
    if names.u8() != Some(NAME_TYPE_HOST_NAME) {
        return Err(HelloReject::MalformedServerName);
    }
    let name = names.vector_u16().ok_or(HelloReject::MalformedServerName)?;
    if !names.is_empty() {
        return Err(HelloReject::TwoServerNames);
    }
    match Sni::parse(name) {
        Ok(sni) => Ok(ServerName::Name(sni)),
        Err(SniReject::Address) => Ok(ServerName::Address),
        Err(reject) => Err(reject.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_name_is_read() {
        let body = b"\x00\x0e\x00\x00\x0bExample.COM";
        assert_eq!(parse(body), Ok(ServerName::Name(Sni::parse(b"example.com").unwrap())));
        for end in 0..body.len() {
            assert_eq!(parse(&body[..end]), Err(HelloReject::MalformedServerName));
        }
    }

    #[test]
    fn an_address_is_no_name() {
        assert_eq!(parse(b"\x00\x0c\x00\x00\x09127.0.0.1"), Ok(ServerName::Address));
    }

    #[test]
    fn anything_but_one_host_name_is_refused() {
        assert_eq!(parse(b"\x00\x08\x00\x00\x01a\x00\x00\x01b"), Err(HelloReject::TwoServerNames));
        assert_eq!(parse(b"\x00\x08\x01\x00\x01a\x00\x00\x01b"), Err(HelloReject::MalformedServerName));
        assert_eq!(parse(b"\x00\x08\x00\x00\x01a\x01\x00\x01b"), Err(HelloReject::TwoServerNames));
        assert_eq!(parse(b"\x00\x04\x00\x00\x01ab"), Err(HelloReject::MalformedServerName));
        assert_eq!(parse(b"\x00\x00"), Err(HelloReject::MalformedServerName));
        assert_eq!(parse(b"\x00\x03\x00\x00\x00"), Err(HelloReject::SniEmpty));
    }
}
