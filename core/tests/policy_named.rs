//! Sites and users by source: the narrowest network tells, assignments and explanations follow, mistakes have their place.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};

use penstock_core::policy::{FlowFacts, Snapshot, compile, explain};
use proptest::prelude::*;

const POLICY: &str = "\
[[profile]]
name = \"off\"
mode = \"off\"
restrictions = []
[[profile]]
name = \"lab\"
mode = \"off\"
restrictions = []
[[assignment]]
profile = \"lab\"
sites = [\"Berlin\"]
users = [\"kiosk\", \"Alice\"]
[[assignment]]
profile = \"off\"
sites = [\"Berlin\", \"Paris\"]
[[site]]
name = \"Berlin\"
sources = [\"10.1.0.0/16\", \"2001:db8:1::/48\", \"::ffff:10.9.0.0/112\"]
[[site]]
name = \"Paris\"
sources = [\"10.0.0.0/8\"]
[[user]]
name = \"kiosk\"
sources = [\"10.1.2.0/24\"]
[[user]]
name = \"bob\"
sources = [\"10.1.2.3\"]
";

fn snapshot() -> Snapshot {
    compile("p", POLICY, None, 0).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_narrowest_network_tells() {
    let snapshot = snapshot();
    for (source, site, user) in [
        ("10.1.2.3", Some("Berlin"), Some("bob")),
        ("::ffff:10.1.2.3", Some("Berlin"), Some("bob")),
        ("10.1.2.4", Some("Berlin"), Some("kiosk")),
        ("10.1.3.4", Some("Berlin"), None),
        ("10.9.0.1", Some("Berlin"), None),
        ("10.2.3.4", Some("Paris"), None),
        ("2001:db8:1::7", Some("Berlin"), None),
        ("2001:db8:2::7", None, None),
        ("192.0.2.1", None, None),
    ] {
        assert_eq!((snapshot.site_of(address(source)), snapshot.user_of(address(source))), (site, user), "{source}");
    }
}

#[test]
fn assignments_and_explanations_follow() {
    let snapshot = snapshot();
    let sni = "a.example".parse().unwrap();
    let explained = |source: &str, user| {
        let told = explain(&snapshot, &FlowFacts { sni: Some(&sni), user, ..FlowFacts::of(address(source)) });
        (told.profile, told.site, told.user)
    };
    let told = |profile: Option<&str>, site: Option<&str>, user: Option<&str>| {
        (profile.map(str::to_owned), site.map(str::to_owned), user.map(str::to_owned))
    };
    assert_eq!(explained("10.1.2.4", None), told(Some("lab"), Some("Berlin"), Some("kiosk")));
    assert_eq!(explained("10.1.2.3", None), told(Some("off"), Some("Berlin"), Some("bob")));
    // Whoever has proven a name has that one.
    assert_eq!(explained("10.1.2.3", Some("alice")), told(Some("lab"), Some("Berlin"), Some("alice")));
    assert_eq!(explained("10.2.2.4", Some("alice")), told(Some("off"), Some("Paris"), Some("alice")));
    assert_eq!(explained("192.0.2.1", Some("alice")), told(None, None, Some("alice")));
}

#[test]
fn mistakes_have_their_place() {
    let said = |text: &str| {
        let errors = compile("p", &format!("{POLICY}{text}"), None, 0).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("|")
    };
    let line = POLICY.lines().count() + 1;
    for (text, place, word) in [
        ("[[site]]\nsources = [\"10.3.0.0/16\"]\n", (0, 1), "[[site]] has no \"name\""),
        ("[[site]]\nname = \"Rome\"\n", (0, 1), "[[site]] has no \"sources\""),
        ("[[site]]\nname = \"Rome\"\nsources = []\n", (2, 11), "names nobody"),
        ("[[site]]\nname = \"Paris\"\nsources = [\"10.3.0.0/16\"]\n", (1, 8), "a [[site]] \"Paris\" already"),
        ("[[site]]\nname = \"a:b\"\nsources = [\"10.3.0.0/16\"]\n", (1, 8), "is no name"),
        ("[[site]]\nname = \"Rome\"\nsources = [\"10.0.0.0/8\"]\n", (2, 12), "under [[site]] \"Paris\" already"),
        ("[[user]]\nname = \"eve\"\nsources = [\"10.1.2.3/24\"]\n", (2, 12), "beyond its prefix"),
        ("[[user]]\nname = \"eve\"\nsource = [\"10.1.2.3\"]\n", (2, 1), "no key \"source\""),
        ("[[assignment]]\nprofile = \"lab\"\nsites = [\"Berlyn\"]\n", (2, 10), "did you mean \"Berlin\"?"),
        ("[[assignment]]\nprofile = \"lab\"\nsites = []\n", (2, 9), "would cover nobody"),
    ] {
        let found = said(text);
        let place = format!("p:{}:{}: error: ", line + place.0, place.1);
        assert!(found.contains(&place) && found.contains(word), "{text}: {found}");
    }
}

proptest! {
    #[test]
    fn a_lookup_is_that_of_trying_every_network(
        networks in proptest::collection::btree_map((any::<u32>(), 0_u8..=32), 0..30_usize, 1..12), sources in proptest::collection::vec(any::<u32>(), 1..20),
    ) {
        let mask = |length: u8| u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let mut known: Vec<(u32, u8, String)> = vec![];
        for ((address, length), number) in networks {
            let network = address & mask(length);
            if !known.iter().any(|(other, bits, _)| (*other, *bits) == (network, length)) {
                known.push((network, length, format!("s{number}-{network}-{length}")));
            }
        }
        let text: String = known.iter().map(|(network, length, name)| {
            format!("[[site]]\nname = \"{name}\"\nsources = [\"{}/{length}\"]\n", Ipv4Addr::from(*network))
        }).collect();
        let snapshot = compile("p", &text, None, 0).unwrap();
        let inside = known.iter().map(|(network, _, _)| *network).collect::<Vec<_>>();
        for source in sources.into_iter().chain(inside) {
            let holds = |(network, length, _): &&(u32, u8, String)| source & mask(*length) == *network;
            let expected = known.iter().filter(holds).max_by_key(|(_, length, _)| *length).map(|(_, _, name)| name.as_str());
            prop_assert_eq!(snapshot.site_of(Ipv4Addr::from(source).into()), expected);
        }
    }
}
