//! Version 1: a line of text.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use super::header::{Endpoints, Header, HeaderReject, Version, signature};
use crate::bytes::Parsed;
use crate::http1::syntax::port;
use crate::limits::PROXY_LINE_BYTES_MAX;

/// Reads the line that `input` begins with.
pub(super) fn parse(input: &[u8]) -> Parsed<Header, HeaderReject> {
    if let Some(answer) = signature(input, SIGNATURE) {
        return answer;
    }
    let window = input.get(..PROXY_LINE_BYTES_MAX).unwrap_or(input);
    let end = window.iter().position(|&byte| matches!(byte, b'\r' | b'\n'));
    let (line, ending) = window.split_at(end.unwrap_or(window.len()));
    match ending {
        [b'\r', b'\n', ..] => match read(line) {
            Ok(endpoints) => {
                Parsed::Complete { value: Header::new(Version::One, endpoints), consumed: line.len() + CRLF.len() }
            }
            Err(reject) => Parsed::Reject(reject),
        },
        [] | [b'\r'] if window.len() < PROXY_LINE_BYTES_MAX => Parsed::Incomplete { more_bytes_min: 1 },
        _ => Parsed::Reject(HeaderReject::Line),
    }
}

/// Reads a line without its end; it begins with the signature.
fn read(line: &[u8]) -> Result<Option<Endpoints>, HeaderReject> {
    let line = line.get(SIGNATURE.len()..).unwrap_or_default();
    // Whatever follows UNKNOWN is to be ignored.
    if line == UNKNOWN || (line.starts_with(UNKNOWN) && line.get(UNKNOWN.len()) == Some(&b' ')) {
        return Ok(None);
    }
    let mut fields = line.split(|&byte| byte == b' ');
    let family = fields.next().unwrap_or_default();
    let address: fn(&[u8]) -> Option<IpAddr> = match family {
        b"TCP4" => |text| read_address::<Ipv4Addr>(text).map(IpAddr::V4),
        b"TCP6" => |text| read_address::<Ipv6Addr>(text).map(IpAddr::V6),
        _ => return Err(HeaderReject::Family),
    };
    let [Some(source), Some(destination), Some(source_port), Some(destination_port), None] =
        core::array::from_fn(|_| fields.next())
    else {
        return Err(HeaderReject::Line);
    };
    let address = |text| address(text).ok_or(HeaderReject::Address);
    let (source, destination) = (address(source)?, address(destination)?);
    let port = |text| port(text).ok_or(HeaderReject::Port);
    let source = SocketAddr::new(source, port(source_port)?);
    Ok(Some(Endpoints::new(source, SocketAddr::new(destination, port(destination_port)?))))
}

fn read_address<A: FromStr>(text: &[u8]) -> Option<A> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Writes the line.
pub(super) fn encode(endpoints: Option<Endpoints>) -> Vec<u8> {
    let known = endpoints.filter(|ends| ends.source.port() != 0 && ends.destination.port() != 0);
    let line = known.map_or_else(|| String::from("UNKNOWN"), |ends| fields(&ends));
    [SIGNATURE, line.as_bytes(), CRLF].concat()
}

fn fields(ends: &Endpoints) -> String {
    let (source, destination) = (ends.source, ends.destination);
    let ports = format!("{} {}", source.port(), destination.port());
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => format!("TCP4 {source} {destination} {ports}"),
        (source, destination) => format!("TCP6 {} {} {ports}", v6(source), v6(destination)),
    }
}

/// The address in the family that both ends must share.
pub(super) const fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
const UNKNOWN: &[u8] = b"UNKNOWN";
const CRLF: &[u8] = b"\r\n";
