//! Hides who somebody is in an event, and leaves what is needed to see what happens.

use std::net::IpAddr;

use ipnet::IpNet;
use penstock_core::audit::Event;

/// Masks the names of people. The same name always looks the same, and some different ones do too.
pub(crate) fn mask(event: &mut Event) {
    for name in [&mut event.user, &mut event.username].into_iter().flatten() {
        *name = masked_name(name);
    }
}

/// The first character, and the domain where there is one.
pub(crate) fn masked_name(name: &str) -> String {
    let (local, domain) = name.split_once('@').map_or((name, None), |(local, domain)| (local, Some(domain)));
    let first: String = local.chars().take(1).collect();
    domain.map_or_else(|| format!("{first}***"), |domain| format!("{first}***@{domain}"))
}

/// The network that an address is in: 256 hosts of IPv4, a site of IPv6.
pub(crate) fn masked_address(address: &str) -> String {
    let Ok(address) = address.parse::<IpAddr>() else { return String::new() };
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, bits).map(|network| network.trunc().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_first_character_and_the_domain_is_left() {
        let mut event =
            Event {
                user: Some("élodie".to_owned()), username: Some("e.m@contoso.com".to_owned()), ..Event::default()
            };
        mask(&mut event);
        assert_eq!(event.user.as_deref(), Some("é***"));
        assert_eq!(event.username.as_deref(), Some("e***@contoso.com"));
        mask(&mut event);
        assert_eq!(event.username.as_deref(), Some("e***@contoso.com"), "masked twice is masked once");
        assert_eq!(masked_name(""), "***");
        assert_eq!(masked_address("10.1.2.3"), "10.1.2.0/24");
        assert_eq!(masked_address("::ffff:10.1.2.3"), "10.1.2.0/24");
        assert_eq!(masked_address("2001:db8:1:2::3"), "2001:db8:1::/48");
        assert_eq!(masked_address("somewhere"), "");
    }
}
