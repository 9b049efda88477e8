//! What must hold for any policy and any name, checked against a reading of the rules that is as plain as can be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};

use penstock_core::policy::{FlowFacts, Reason, Snapshot, Verdict, compile};
use penstock_core::sni::Sni;
use proptest::collection::vec;
use proptest::prelude::*;

/// Names of few labels from a small alphabet, so that rules and names meet.
fn name() -> impl Strategy<Value = String> {
    vec(prop_oneof![Just("a"), Just("b"), Just("ab"), Just("login")], 0..4)
        .prop_map(|labels| labels.into_iter().chain(["example", "com"]).collect::<Vec<_>>().join("."))
}

fn rule() -> impl Strategy<Value = String> {
    let inner = vec(prop_oneof![Just("a"), Just("a*"), Just("*b"), Just("a*b"), Just("*")], 1..4)
        .prop_map(|labels| format!("{}.example.com", labels.join(".")));
    prop_oneof![2 => name(), 2 => name().prop_map(|name| format!("*.{name}")), 1 => inner]
}

/// Rules that may be inspected: names and suffixes.
fn inspected_rule() -> impl Strategy<Value = String> {
    prop_oneof![name(), name().prop_map(|name| format!("*.{name}"))]
}

/// Whether a rule covers a name, label by label from the right.
fn covers(rule: &str, name: &str) -> bool {
    let (rule, deeper) = rule.strip_prefix("*.").map_or((rule, false), |rest| (rest, true));
    let (rule, name): (Vec<_>, Vec<_>) = (rule.rsplit('.').collect(), name.rsplit('.').collect());
    let fits = rule.len() <= name.len() && rule.iter().zip(&name).all(|(rule, label)| label_fits(rule, label));
    fits && (name.len() > rule.len()) == deeper
}

fn label_fits(rule: &str, label: &str) -> bool {
    match rule.split_once('*') {
        None => rule == label,
        Some((before, after)) => label
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|taken| label_fits(after, &rest[taken..]))),
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ")
}

/// Two restrictions with hosts of the tests' own, in one profile for everybody.
fn policy(first: &[String], second: &[String], excluded: &[String], denied: &[String], seed: u64) -> Snapshot {
    let document = format!(
        r#"
        [[restriction]]
        name = "first"
        connector = "zoho"
        allow_unverified = true
        header_name = "X-First"
        zoho_ids = ["1"]
        extra_hosts = [{}]
        [[restriction]]
        name = "second"
        connector = "dx"
        allow_unverified = true
        tenant = "2"
        extra_hosts = [{}]
        [[profile]]
        name = "staff"
        mode = "enforce"
        restrictions = ["first", "second"]
        [[assignment]]
        profile = "staff"
        sources = ["0.0.0.0/0"]
        [exclude]
        never_inspect = [{}]
        [deny]
        hosts = [{}]
        "#,
        quoted(first),
        quoted(second),
        quoted(excluded),
        quoted(denied)
    );
    compile("p", &document, None, seed).unwrap_or_else(|found| panic!("{found:#?}\n{document}"))
}

fn decide(snapshot: &Snapshot, name: &str) -> (Verdict, Reason, Vec<String>) {
    let sni = Sni::parse(name.as_bytes()).unwrap();
    let source = IpAddr::from([192, 0, 2, 1]);
    let facts = FlowFacts { sni: Some(&sni), ..FlowFacts::of(source) };
    let decision = snapshot.decide(&facts);
    let set = decision.edit.set().iter().map(|header| header.name.to_string()).collect();
    (decision.verdict, decision.reason, set)
}

proptest! {
    /// Denied, then excluded, then all restrictions that cover the name, then nothing: in this order, for all rules.
    #[test]
    fn the_decision_is_what_the_rules_say(
        first in vec(inspected_rule(), 1..5),
        second in vec(inspected_rule(), 1..5),
        excluded in vec(rule(), 0..5),
        denied in vec(rule(), 0..3),
        names in vec(name(), 1..8),
        seed: u64,
    ) {
        let snapshot = policy(&first, &second, &excluded, &denied, seed);
        for name in names {
            let any = |rules: &[String]| rules.iter().any(|rule| covers(rule, &name));
            let mut set = Vec::new();
            for (header, rules) in [("X-First", &first), ("X-DX-Tenant", &second)] {
                if any(rules) {
                    set.push(header.to_owned());
                }
            }
            let expected = match (any(&denied), any(&excluded), set.is_empty()) {
                (true, ..) => (Verdict::Deny, Reason::DeniedHost, Vec::new()),
                (_, true, _) => (Verdict::Pass, Reason::Excluded, Vec::new()),
                (.., true) => (Verdict::Pass, Reason::NotListed, Vec::new()),
                (.., false) => (Verdict::Inspect, Reason::InspectedHost, set),
            };
            prop_assert_eq!(decide(&snapshot, &name), expected, "{}", name);
        }
    }

    /// Case and a trailing dot change nothing, in the rule or in the name.
    #[test]
    fn spelling_changes_nothing(rules in vec(rule(), 1..5), name in name(), upper in vec(any::<bool>(), 64), dot: bool) {
        let spelled = |word: &str| {
            let letters = word.chars().zip(upper.iter().cycle());
            letters.map(|(letter, &upper)| if upper { letter.to_ascii_uppercase() } else { letter }).collect::<String>()
        };
        let dotted = |word: String| if dot { format!("{word}.") } else { word };
        let host = ["unused.example.com".to_owned()];
        let plain = policy(&host, &host[..].iter().map(|h| format!("x.{h}")).collect::<Vec<_>>(), &rules, &[], 1);
        let other: Vec<_> = rules.iter().map(|rule| dotted(spelled(rule))).collect();
        let respelled = policy(&host, &["x.unused.example.com".to_owned()], &other, &[], 2);
        prop_assert_eq!(decide(&plain, &name), decide(&respelled, &dotted(spelled(&name))));
    }

    /// The first assignment that covers source and user wins, and a cohort that is left out falls to the next one.
    #[test]
    fn the_first_assignment_that_matches_wins(
        rules in vec((0_u8..4, 0_u8..=32, proptest::option::of(0_u8..3), prop_oneof![Just(0_u8), Just(100)]), 0..8),
        source in 0_u8..8,
        user in proptest::option::of(0_u8..3),
    ) {
        let mut document = String::new();
        for (index, (octet, bits, user, percent)) in rules.iter().enumerate() {
            let network = ipnet::Ipv4Net::new(Ipv4Addr::new(10, *octet, 0, 0), *bits).unwrap().trunc();
            let users = user.map(|user| format!("users = [\"user{user}\"]\n")).unwrap_or_default();
            document += &format!(
                "[[profile]]\nname = \"p{index}\"\nmode = \"enforce\"\nrestrictions = []\n\
                 [[assignment]]\nprofile = \"p{index}\"\nsources = [\"{network}\"]\n{users}rollout_percent = {percent}\n"
            );
        }
        let snapshot = compile("p", &document, None, 0).unwrap();
        let address = Ipv4Addr::new(10, source, 0, 0);
        let user_name = user.map(|user| format!("USER{user}"));
        let expected = rules.iter().position(|(octet, bits, needed, percent)| {
            let network = ipnet::Ipv4Net::new(Ipv4Addr::new(10, *octet, 0, 0), *bits).unwrap();
            network.contains(&address) && needed.is_none_or(|needed| user == Some(needed)) && *percent == 100
        });
        let facts = FlowFacts { user: user_name.as_deref(), ..FlowFacts::of(address.into()) };
        let profile = snapshot.decide(&facts).profile().map(str::to_owned);
        prop_assert_eq!(profile, expected.map(|index| format!("p{index}")));
    }

    /// Whatever the bytes, compiling ends without a panic and errors have places inside the document.
    #[test]
    fn any_text_is_compiled_or_refused(text in "([a-z_]{1,9} ?= ?(\"[a-z.*]{0,9}\"|\\[[0-9\", a-z]{0,9}\\]|-?[0-9]{1,3})\n|\\[{1,2}[a-z]{1,11}\\]{1,2}\n|.){0,30}") {
        if let Err(found) = compile("p", &text, None, 0) {
            let lines = text.lines().count() + 1;
            prop_assert!(!found.is_empty() && found.iter().all(|found| found.line <= lines && found.column > 0));
        }
    }
}

/// A rollout takes the share of users that it says, the same ones in every run and under every seed, and keeps those
/// that it had when it grows.
#[test]
fn a_rollout_is_sticky_and_proportional() {
    let rollout = |percent: u8, seed: u64| {
        let document = format!(
            "[[profile]]\nname = \"staff\"\nmode = \"enforce\"\nrestrictions = []\n\
             [[assignment]]\nprofile = \"staff\"\nsources = [\"10.0.0.0/8\"]\nrollout_percent = {percent}\n"
        );
        compile("p", &document, None, seed).unwrap()
    };
    let in_it = |snapshot: &Snapshot, source: [u8; 4], user: Option<&str>| {
        let source = IpAddr::from(source);
        let facts = FlowFacts { user, ..FlowFacts::of(source) };
        snapshot.decide(&facts).profile().is_some()
    };
    let users: Vec<_> = (0..10_000).map(|number| format!("user{number}@contoso.com")).collect();
    let mut before = vec![false; users.len()];
    for percent in [0, 1, 10, 50, 90, 99, 100] {
        let (one, other) = (rollout(percent, 1), rollout(percent, 2));
        let now: Vec<_> = users.iter().map(|user| in_it(&one, [10, 0, 0, 1], Some(user))).collect();
        let again: Vec<_> = users.iter().map(|user| in_it(&other, [10, 9, 9, 9], Some(user))).collect();
        assert_eq!(now, again, "a user's cohort depends on neither seed nor source");
        assert!(before.iter().zip(&now).all(|(before, now)| !before || *now), "{percent} % lost users");
        let share = now.iter().filter(|now| **now).count();
        let expected = usize::from(percent) * 100;
        assert!(share.abs_diff(expected) <= 150, "{percent} %: {share} of 10,000");
        before = now;
    }
    let half = rollout(50, 1);
    let sources = (0..=255).flat_map(|third| (0..=255).map(move |last| [10, 0, third, last]));
    let share = sources.filter(|source| in_it(&half, *source, None)).count();
    assert!(share.abs_diff(32_768) < 700, "{share} of 65,536 neighbouring sources");
}
