//! Socket addresses as the kernel reads and writes them (`struct sockaddr_in`, `struct sockaddr_in6`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Room for one IPv4 or IPv6 socket address and its length. The kernel holds pointers into it while an accept or a
/// connect is in flight, so it lives in a box that the operation owns.
#[repr(C, align(8))]
#[derive(Clone)]
pub(super) struct RawAddress {
    bytes: [u8; CAPACITY],
    len: u32,
}

impl RawAddress {
    /// Empty, for the kernel to fill.
    pub(super) fn boxed() -> Box<Self> {
        Box::new(Self { bytes: [0; CAPACITY], len: CAPACITY as u32 })
    }

    /// `address`, for the kernel to read.
    ///
    /// ```text
    /// AF_INET   family:2 (host order) | port:2 (BE) | address:4  | zero:8                  16 bytes
    /// AF_INET6  family:2 (host order) | port:2 (BE) | flow:4 (BE) | address:16 | scope:4   28 bytes
    /// ```
    pub(super) fn encode(address: SocketAddr) -> Box<Self> {
        let mut raw = Self::boxed();
        raw.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                raw.bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
                raw.bytes[4..8].copy_from_slice(&v4.ip().octets());
                raw.len = 16;
            }
            SocketAddr::V6(v6) => {
                raw.bytes[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
                raw.bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                raw.bytes[8..24].copy_from_slice(&v6.ip().octets());
                raw.bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                raw.len = 28;
            }
        }
        raw
    }

    /// What the kernel wrote; `None` for a family that is neither IPv4 nor IPv6.
    pub(super) fn decode(&self) -> Option<SocketAddr> {
        let family = u16::from_ne_bytes([self.bytes[0], self.bytes[1]]);
        let port = u16::from_be_bytes([self.bytes[2], self.bytes[3]]);
        let ip = match family {
            AF_INET => {
                let octets: [u8; 4] = self.bytes[4..8].try_into().ok()?;
                IpAddr::V4(Ipv4Addr::from(octets))
            }
            AF_INET6 => {
                let octets: [u8; 16] = self.bytes[8..24].try_into().ok()?;
                IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
            }
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn as_ptr<T>(&self) -> *const T {
        self.bytes.as_ptr().cast()
    }

    pub(super) fn as_mut_ptrs<T>(&mut self) -> (*mut T, *mut u32) {
        (self.bytes.as_mut_ptr().cast(), &raw mut self.len)
    }
}

const CAPACITY: usize = 128;
const AF_INET: u16 = rustix::net::AddressFamily::INET.as_raw();
const AF_INET6: u16 = rustix::net::AddressFamily::INET6.as_raw();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["127.0.0.1:8080", "255.1.2.3:65535", "[::1]:443", "[2001:db8::5]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::encode(address).decode(), Some(address));
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:10.1.2.3]:9".parse().unwrap();
        assert_eq!(RawAddress::encode(mapped).decode(), Some("10.1.2.3:9".parse().unwrap()));
    }
}
