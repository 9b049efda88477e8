//! Version 2: binary.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::header::{Endpoints, Header, HeaderReject, Version, signature};
use super::tlv::Tlvs;
use super::v1::v6;
use crate::bytes::{Parsed, Reader};
use crate::limits::PROXY_HEADER_BYTES_MAX;

/// Reads the block that `input` begins with.
pub(super) fn parse(input: &[u8]) -> Parsed<Header, HeaderReject> {
    if let Some(answer) = signature(input, SIGNATURE) {
        return answer;
    }
    let mut reader = Reader::new(input.get(SIGNATURE.len()..).unwrap_or_default());
    let (command, family) = match read_start(&mut reader) {
        Ok(Some(start)) => start,
        Ok(None) => return Parsed::Incomplete { more_bytes_min: 1 },
        Err(reject) => return Parsed::Reject(reject),
    };
    let Some(length) = reader.u16().map(usize::from) else {
        return Parsed::Incomplete { more_bytes_min: 2 - reader.len() };
    };
    let whole_bytes = FIXED_BYTES + length;
    if whole_bytes > PROXY_HEADER_BYTES_MAX {
        return Parsed::Reject(HeaderReject::Long);
    }
    let (Some(block), Some(whole)) = (reader.take(length), input.get(..whole_bytes)) else {
        return Parsed::Incomplete { more_bytes_min: length - reader.len() };
    };
    match read_block(command, family, block, whole) {
        Ok(value) => Parsed::Complete { value, consumed: whole_bytes },
        Err(reject) => Parsed::Reject(reject),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Command {
    Local,
    Proxy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Inet,
    Inet6,
    /// Defined, and nothing that a TCP listener is told of by a PROXY command. With the bytes of its addresses.
    Other(usize),
    Unspecified,
}

/// The two bytes behind the signature, each refused as soon as it is there.
fn read_start(reader: &mut Reader<'_>) -> Result<Option<(Command, Family)>, HeaderReject> {
    let command = match reader.u8() {
        None => return Ok(None),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(0x22..=0x2f) => return Err(HeaderReject::Command),
        Some(_) => return Err(HeaderReject::Version),
    };
    let family = match reader.u8() {
        None => return Ok(None),
        Some(0x00) => Family::Unspecified,
        Some(0x11) => Family::Inet,
        Some(0x21) => Family::Inet6,
        Some(0x12) => Family::Other(INET_BYTES),
        Some(0x22) => Family::Other(INET6_BYTES),
        Some(0x31 | 0x32) => Family::Other(UNIX_BYTES),
        Some(_) => return Err(HeaderReject::Family),
    };
    match (command, family) {
        (Command::Proxy, Family::Other(_)) => Err(HeaderReject::NotTcp),
        _ => Ok(Some((command, family))),
    }
}

/// Behind LOCAL the specification lets a receiver discard the block unread. It is read: whoever writes what is no block is
/// no sender to believe.
fn read_block(command: Command, family: Family, block: &[u8], whole: &[u8]) -> Result<Header, HeaderReject> {
    let mut reader = Reader::new(block);
    let mut endpoints = None;
    if command == Command::Local && block.is_empty() {
        return Ok(Header::new(Version::Two, None));
    }
    match family {
        Family::Inet => {
            let ends = read_inet(&mut reader).ok_or(HeaderReject::Address)?;
            endpoints = Some(ends);
        }
        Family::Inet6 => {
            let ends = read_inet6(&mut reader).ok_or(HeaderReject::Address)?;
            endpoints = Some(ends);
        }
        Family::Other(bytes) => {
            reader.take(bytes).ok_or(HeaderReject::Address)?;
        }
        Family::Unspecified => {}
    }
    let tlvs = Tlvs::read(reader.rest(), whole).map_err(HeaderReject::Tlv)?;
    Ok(Header { version: Version::Two, endpoints: endpoints.filter(|_| command == Command::Proxy), tlvs })
}

fn read_inet(reader: &mut Reader<'_>) -> Option<Endpoints> {
    let mut address = || reader.take(4)?.try_into().ok().map(|octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets)));
    let (source, destination) = (address()?, address()?);
    read_ports(reader, source, destination)
}

fn read_inet6(reader: &mut Reader<'_>) -> Option<Endpoints> {
    let mut address = || reader.take(16)?.try_into().ok().map(|octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets)));
    let (source, destination) = (address()?, address()?);
    read_ports(reader, source, destination)
}

fn read_ports(reader: &mut Reader<'_>, source: IpAddr, destination: IpAddr) -> Option<Endpoints> {
    let source = SocketAddr::new(source, reader.u16()?);
    Some(Endpoints::new(source, SocketAddr::new(destination, reader.u16()?)))
}

/// Writes the block.
pub(super) fn encode(endpoints: Option<Endpoints>, tlvs: &Tlvs) -> Vec<u8> {
    let (command, family, addresses) = match endpoints {
        None => (0x20, 0x00, Vec::new()),
        Some(ends) => match (ends.source.ip(), ends.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x21, 0x11, [source.octets(), destination.octets()].concat())
            }
            (source, destination) => (0x21, 0x21, [v6(source).octets(), v6(destination).octets()].concat()),
        },
    };
    let ports =
        endpoints.map(|ends| [ends.source.port().to_be_bytes(), ends.destination.port().to_be_bytes()].concat());
    let ports = ports.unwrap_or_default();
    // Tlvs::push keeps the whole within the limit, which is far below 65,535.
    let length = u16::try_from(addresses.len() + ports.len() + tlvs.block().len()).unwrap_or(u16::MAX);
    let mut header = [SIGNATURE, &[command, family], &length.to_be_bytes(), &addresses, &ports].concat();
    tlvs.encode_behind(&mut header);
    header
}

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, two bytes and the length.
pub(super) const FIXED_BYTES: usize = 16;
const INET_BYTES: usize = 12;
pub(super) const INET6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;
