//! `deploy/nftables/penstock-nft` by itself: what it prints, and what it refuses.

use std::process::{Command, Output};

use penstock_tests::network::penstock_nft;
use penstock_tests::place;

fn script(arguments: &[&str]) -> Output {
    Command::new(penstock_nft()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn it_explains_itself_and_says_what_is_wrong() {
    let help = script(&["--help"]);
    assert!(help.status.success() && said(&help).contains("Examples:"), "{}", said(&help));
    for (arguments, word) in [
        (&["applied"][..], "no command"),
        (&["apply"], "--interface"),
        (&["apply", "--interface", "in0;reboot"], "no name of an interface"),
        (&["apply", "--interface", "in0", "--mode", "dnat"], "redirect or tproxy"),
        (&["apply", "--interface", "in0", "--fail", "half"], "open or closed"),
        (&["apply", "--interface", "in0", "--listener-port", "70000"], "no port"),
        (&["apply", "--interface", "in0", "--exempt-source", "some where"], "no network"),
        (&["apply", "--mode", "tproxy", "--local"], "--local"),
        (&["apply", "--interface", "in0", "--own-mark", "0x50"], "must differ"),
        (&["apply", "--interface", "in0", "--passed-mark", "0x51"], "must differ"),
        (&["apply", "--interface", "in0", "--quic-port", "0"], "no port"),
        (&["apply", "--interface"], "lacks its value"),
    ] {
        let output = script(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(word), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_dry_run_prints_the_rules_and_needs_no_rights() {
    let print = |arguments: &[&str]| {
        let output = script(&[&["apply", "--dry-run", "--interface", "in0"], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    let open = print(&["--fail", "open", "--port", "443", "--port", "8443"]);
    assert!(open.contains("add element inet penstock ports { 443 timeout 3s, 8443 timeout 3s }"), "{open}");
    let closed = print(&["--exempt-source", "10.1.0.0/16", "--exempt-source", "fd00:1::/32", "--private", "steer"]);
    assert!(closed.contains("add element inet penstock ports { 443 }"), "{closed}");
    assert!(
        closed.contains("exempt_sources_v4 { 10.1.0.0/16 }") && closed.contains("exempt_sources_v6 { fd00:1::/32 }")
    );
    assert!(!closed.contains("add element inet penstock exempt_destinations"), "{closed}");
    let tproxy = print(&["--mode", "tproxy", "--fail", "open"]);
    assert!(
        tproxy.contains("flush chain inet penstock down") && tproxy.contains("ip -6 rule add fwmark 0x50 lookup 80")
    );
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let Some(shellcheck) = place::program("shellcheck") else { return };
    let output = Command::new(shellcheck).arg(penstock_nft()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
