//! Addresses that are never dialled for a client, whatever name led to them.
//!
//! A proxy that dials its own network for anybody is a way around every firewall behind it, so each resolved address is
//! checked, and the checked address is the one that is dialled. The data plane's own table of hosts is exempt; that
//! exemption is the data plane's to make. The ranges are those of the IANA special-purpose registries (RFC 6890).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::labelled;

labelled! {
    /// Why an address is not dialled.
    pub enum Forbidden {
        /// A range for documentation, benchmarks or future use.
        Reserved = "reserved",
        /// Link-local, which is where clouds serve instance metadata (169.254.169.254).
        LinkLocal = "link_local",
        /// This machine.
        Loopback = "loopback",
        /// Multicast or broadcast.
        Multicast = "multicast",
        /// Private networks (RFC 1918, RFC 4193), shared address space (RFC 6598).
        Private = "private",
        /// No address.
        Unspecified = "unspecified",
    }
}

/// Why `address` may not be dialled; `None` when it may.
pub const fn check(address: IpAddr) -> Option<Forbidden> {
    match address {
        IpAddr::V4(address) => check_v4(address),
        IpAddr::V6(address) => check_v6(address),
    }
}

/// Why an address may not be dialled to which the kernel led a client that knows of no proxy; `None` when it may.
///
/// Such a client reaches private addresses by its own routes, and the operator's rules chose to steer it there; what is
/// this machine's or its link's alone, the client would not have reached through it.
pub const fn check_steered(address: IpAddr) -> Option<Forbidden> {
    match check(address) {
        None | Some(Forbidden::Private | Forbidden::Reserved) => None,
        forbidden => forbidden,
    }
}

const fn check_v4(address: Ipv4Addr) -> Option<Forbidden> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some(Forbidden::Unspecified),
        (127, ..) => Some(Forbidden::Loopback),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Some(Forbidden::Private),
        (169, 254, _) => Some(Forbidden::LinkLocal),
        (224..=239, ..) => Some(Forbidden::Multicast),
        (255, 255, 255) if address.is_broadcast() => Some(Forbidden::Multicast),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) | (240..=255, ..) => {
            Some(Forbidden::Reserved)
        }
        _ => None,
    }
}

/// Addresses that carry an IPv4 address inside are judged by that one: a translator would dial it.
const fn check_v6(address: Ipv6Addr) -> Option<Forbidden> {
    if let Some(inner) = embedded_v4(address) {
        return check_v4(inner);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Forbidden::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Forbidden::Loopback),
        [0xfe80..=0xfebf, ..] => Some(Forbidden::LinkLocal),
        // Unique local, and the site-local range that it replaced (RFC 3879).
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Some(Forbidden::Private),
        [0xff00..=0xffff, ..] => Some(Forbidden::Multicast),
        // Discard, documentation, segment routing, Teredo and the rest of the protocol assignments.
        [0x0100, 0, 0, 0..=1, ..]
        | [0x2001, 0x0db8, ..]
        | [0x3fff, 0..=0x0fff, ..]
        | [0x5f00, ..]
        | [0x2001, 0..=0x01ff, ..] => Some(Forbidden::Reserved),
        // Everything outside 2000::/3 that was not named above is unassigned.
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Forbidden::Reserved),
    }
}

/// The IPv4 address in an IPv4-mapped (RFC 4291), IPv4-compatible, 6to4 (RFC 3056) or NAT64 address (RFC 6052). The local
/// NAT64 prefix (RFC 8215) is not among them: where an address stands in it is the network's choice, so it is refused
/// whole, as unassigned.
const fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => (high, low),
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_addresses_are_never_dialled() {
        let cases = [
            ("0.0.0.0", Forbidden::Unspecified),
            ("0.1.2.3", Forbidden::Unspecified),
            ("127.0.0.1", Forbidden::Loopback),
            ("127.255.255.254", Forbidden::Loopback),
            ("10.0.0.1", Forbidden::Private),
            ("172.16.0.1", Forbidden::Private),
            ("172.31.255.255", Forbidden::Private),
            ("192.168.1.1", Forbidden::Private),
            ("100.64.0.1", Forbidden::Private),
            ("169.254.169.254", Forbidden::LinkLocal),
            ("224.0.0.1", Forbidden::Multicast),
            ("255.255.255.255", Forbidden::Multicast),
            ("192.0.2.1", Forbidden::Reserved),
            ("198.18.0.1", Forbidden::Reserved),
            ("240.0.0.1", Forbidden::Reserved),
            ("::", Forbidden::Unspecified),
            ("::1", Forbidden::Loopback),
            ("::ffff:127.0.0.1", Forbidden::Loopback),
            ("::ffff:10.1.2.3", Forbidden::Private),
            ("::127.0.0.1", Forbidden::Loopback),
            ("64:ff9b::10.0.0.1", Forbidden::Private),
            ("64:ff9b:1:0a00:0:100::", Forbidden::Reserved),
            ("2002:7f00:1::", Forbidden::Loopback),
            ("fe80::1", Forbidden::LinkLocal),
            ("fd00:ec2::254", Forbidden::Private),
            ("fec0::1", Forbidden::Private),
            ("ff02::1", Forbidden::Multicast),
            ("2001:db8::1", Forbidden::Reserved),
            ("2001::1", Forbidden::Reserved),
            ("4000::1", Forbidden::Reserved),
        ];
        for (address, reason) in cases {
            assert_eq!(check(address.parse().unwrap()), Some(reason), "{address}");
        }
    }

    #[test]
    fn steered_clients_reach_private_addresses_and_nothing_of_this_machine() {
        for address in ["10.1.2.3", "192.168.0.1", "198.51.100.7", "fd00::1", "2001:db8::1", "1.1.1.1"] {
            assert_eq!(check_steered(address.parse().unwrap()), None, "{address}");
        }
        for address in ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1"] {
            assert!(check_steered(address.parse().unwrap()).is_some(), "{address}");
        }
        assert_eq!(check_steered("64:ff9b::127.0.0.1".parse().unwrap()), Some(Forbidden::Loopback));
    }

    #[test]
    fn public_addresses_are_dialled() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "20.190.151.7",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.1.1",
            "223.255.255.255",
            "2603:1006:2000::1",
            "2a00:1450:4001:80b::200e",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(check(address.parse().unwrap()), None, "{address}");
        }
    }
}
