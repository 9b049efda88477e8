//! Whom a source address stands for, where what one host may do is bounded.

use core::net::{IpAddr, Ipv6Addr};

/// The host behind an address: that of IPv4 itself, also when it is written inside IPv6; of IPv6 the /64, since one host
/// has a whole one and takes another address whenever it likes.
pub fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(source) => IpAddr::V4(source),
        IpAddr::V6(source) => IpAddr::V6(Ipv6Addr::from_bits(source.to_bits() & !u128::from(u64::MAX))),
    }
}
