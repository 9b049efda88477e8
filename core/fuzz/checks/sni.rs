//! What must hold for any bytes offered as a host name.

use std::net::IpAddr;

use penstock_core::sni::Sni;

pub(crate) fn check(data: &[u8]) {
    let Ok(name) = Sni::parse(data) else { return };
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= 253);
    assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)));
    assert!(text.split('.').all(|label| (1..=63).contains(&label.len())));
    assert!(text.parse::<IpAddr>().is_err());
    assert_eq!(Sni::parse(text.as_bytes()).as_ref(), Ok(&name));
    assert_eq!(Sni::parse(&data.to_ascii_uppercase()).as_ref(), Ok(&name));
}
