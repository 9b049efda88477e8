//! ClientHellos of real clients, captured on loopback (`testdata/hello/capture.py`), read as those clients were told to
//! send them and however the network may cut them.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

#[path = "hello/builder.rs"]
mod builder;
#[path = "hello/cuts.rs"]
mod cuts;

use penstock_core::bytes::Parsed;

struct Sample {
    name: &'static str,
    wire: &'static [u8],
    sni: Option<&'static str>,
    alpn: &'static [&'static str],
    version_max: u16,
}

macro_rules! sample {
    ($name:literal, $sni:expr, $alpn:expr, $version_max:expr) => {
        Sample {
            name: $name,
            wire: include_bytes!(concat!("../testdata/hello/", $name, ".bin")),
            sni: $sni,
            alpn: &$alpn,
            version_max: $version_max,
        }
    };
}

const NAME: Option<&str> = Some("login.example.com");

fn samples() -> [Sample; 18] {
    [
        sample!("chromium", NAME, ["h2", "http/1.1"], 0x0304),
        sample!("curl-http2", NAME, ["h2", "http/1.1"], 0x0304),
        sample!("curl-http11", NAME, ["http/1.1"], 0x0304),
        sample!("curl-tls12", NAME, ["h2", "http/1.1"], 0x0303),
        sample!("gnutls", NAME, [], 0x0304),
        sample!("node", NAME, [], 0x0304),
        sample!("openssl-address", None, [], 0x0304),
        sample!("openssl-alpn", NAME, ["h2", "http/1.1"], 0x0304),
        sample!("openssl-early-data", NAME, [], 0x0304),
        sample!("openssl-fragmented", NAME, [], 0x0304),
        sample!("openssl-no-name", None, [], 0x0304),
        sample!("openssl-resumed", NAME, [], 0x0304),
        sample!("openssl-tls10", NAME, [], 0x0301),
        sample!("openssl-tls11", NAME, [], 0x0302),
        sample!("openssl-tls12", NAME, [], 0x0303),
        sample!("openssl-tls13", NAME, [], 0x0304),
        sample!("openssl-upper-case", NAME, [], 0x0304),
        sample!("python-ssl", NAME, ["http/1.1"], 0x0304),
    ]
}

fn wire(name: &str) -> &'static [u8] {
    samples().iter().find(|sample| sample.name == name).map(|sample| sample.wire).unwrap()
}

#[test]
fn real_clients_are_read_as_they_were_told_to_speak() {
    for sample in samples() {
        let facts = cuts::facts(sample.wire);
        assert_eq!(facts.sni.as_deref(), sample.sni, "{}", sample.name);
        assert_eq!(facts.version_max, sample.version_max, "{}", sample.name);
        assert_eq!(facts.sni_is_address, sample.name == "openssl-address", "{}", sample.name);
        assert_eq!(
            facts.has_pre_shared_key,
            ["openssl-early-data", "openssl-resumed"].contains(&sample.name),
            "{}",
            sample.name
        );
        assert_eq!(facts.has_early_data, sample.name == "openssl-early-data", "{}", sample.name);
        if sample.name != "openssl-fragmented" {
            let alpn: Vec<_> = sample.alpn.iter().map(|name| name.as_bytes()).collect();
            assert_eq!(facts.alpn, alpn, "{}", sample.name);
        }
    }
}

#[test]
fn real_clients_are_read_the_same_however_they_are_cut() {
    for sample in samples() {
        let Parsed::Complete { value, consumed } = cuts::check_segments(sample.wire) else {
            panic!("{}", sample.name);
        };
        cuts::check_records(&builder::payload(&sample.wire[..consumed]), &value);
    }
}

#[test]
fn a_hello_that_its_client_cut_into_records_is_joined() {
    let fragmented = wire("openssl-fragmented");
    assert_eq!(fragmented[3..5], [2, 0], "the first record holds 512 bytes");
    let facts = cuts::facts(fragmented);
    assert_eq!(facts.alpn.len(), 60);
    assert_eq!(facts.alpn.last().map(Vec::as_slice), Some(&b"protocol-number-59"[..]));
}

#[test]
fn early_data_behind_a_hello_is_not_part_of_it() {
    let wire = wire("openssl-early-data");
    let Parsed::Complete { consumed, .. } = cuts::read(wire) else { panic!() };
    // A ChangeCipherSpec for old middleboxes, then the data.
    assert_eq!(wire[consumed..consumed + 6], [20, 3, 3, 0, 1, 1]);
    assert_eq!(wire[consumed + 6], 23);
}

#[test]
fn a_browser_offers_a_post_quantum_share_and_mixes_in_reserved_values() {
    let facts = cuts::facts(wire("chromium"));
    let shares = &facts.key_share_groups;
    assert!(shares.ends_with(&[0x11ec, 0x001d]) && shares.len() == 3, "{shares:?}");
    assert_eq!(facts.extensions.iter().filter(|kind| *kind & 0x0f0f == 0x0a0a).count(), 2);
    assert!(wire("chromium").len() > 1_700);
}
