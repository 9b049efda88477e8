//! The proxy auto-configuration script: who gets which, and what it says when it is run.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic, and says what it left out"
)]

use std::net::IpAddr;
use std::process::Command;

use penstock_core::policy::{Snapshot, compile};
use penstock_core::proxy::Authority;

const POLICY: &str = r#"
[[restriction]]
name = "google"
connector = "google-workspace"
allowed_domains = ["contoso.com"]
[[restriction]]
name = "claude"
connector = "anthropic-claude"
organization_ids = ["11111111-2222-3333-4444-555555555555"]
[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["claude", "google"]
[[assignment]]
profile = "staff"
sources = ["0.0.0.0/0"]
[deny]
hosts = ["onedrive.live.com", "tunnel-*.example.com", "*.relay.example"]
"#;

fn snapshot(pac: &str) -> Snapshot {
    let text = format!("{POLICY}{pac}");
    compile("p", &text, None, 0).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn script(pac: &str, source: &str) -> String {
    let proxy = Authority::with_default_port(b"proxy.contoso.com:8080", 80).unwrap();
    snapshot(pac).pac(source.parse::<IpAddr>().unwrap(), &proxy)
}

/// What the script answers for each host, or `None` where no JavaScript is on this machine.
fn run(script: &str, hosts: &[&str]) -> Option<Vec<String>> {
    let calls: Vec<String> = hosts.iter().map(|host| format!("FindProxyForURL('https://x/', {host:?})")).collect();
    let program = format!("{script}\nconsole.log([{}].join('\\n'));", calls.join(","));
    let interpreters = [("node", &["-e"][..]), ("qjs", &["-e"])];
    let output =
        interpreters.iter().find_map(|(name, flags)| Command::new(name).args(*flags).arg(&program).output().ok());
    let Some(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "CI must not leave out the script's test: install nodejs");
        println!("left out: the script itself: no JavaScript interpreter");
        return None;
    };
    assert!(output.status.success(), "{}\n{program}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect())
}

fn check(script: &str, expected: &[(&str, &str)]) {
    let hosts: Vec<&str> = expected.iter().map(|(host, _)| *host).collect();
    let Some(found) = run(script, &hosts) else { return };
    for ((host, expected), found) in expected.iter().zip(found) {
        assert_eq!(found, *expected, "{host}\n{script}");
    }
}

const PROXY: &str = "PROXY proxy.contoso.com:8080";

#[test]
fn everything_of_the_outside_goes_to_the_proxy_by_default() {
    check(
        &script("", "10.0.0.1"),
        &[
            ("claude.ai", PROXY),
            ("CLAUDE.AI.", PROXY),
            ("mail.google.com", PROXY),
            ("www.example.org", PROXY),
            ("20.190.151.7", PROXY),
            ("9.10.0.1", PROXY),
            ("172.32.0.1", PROXY),
            ("100.128.0.1", PROXY),
            ("2603:1006:2000::1", PROXY),
            ("10.example.org", PROXY),
            ("printer", "DIRECT"),
            ("localhost", "DIRECT"),
            ("nas.local", "DIRECT"),
            ("10.1.2.3", "DIRECT"),
            ("127.0.0.1", "DIRECT"),
            ("172.16.0.1", "DIRECT"),
            ("192.168.1.1", "DIRECT"),
            ("169.254.169.254", "DIRECT"),
            ("100.64.0.1", "DIRECT"),
            ("::1", "DIRECT"),
            ("[::1]", "DIRECT"),
            ("fd00::1", "DIRECT"),
            ("fe80::1", "DIRECT"),
        ],
    );
}

#[test]
fn with_direct_as_default_inspected_and_denied_hosts_still_go_to_the_proxy() {
    let pac = "[pac]\ndefault = \"direct\"\nbypass = [\"*.google.com\", \"claude.ai\"]\n";
    check(
        &script(pac, "10.0.0.1"),
        &[
            ("claude.ai", PROXY),
            ("a.b.google.com", PROXY),
            ("onedrive.live.com", PROXY),
            ("tunnel-eu.example.com", PROXY),
            ("tunnel-.example.com", PROXY),
            ("x.y.relay.example", PROXY),
            ("relay.example", "DIRECT"),
            ("tunnel-a.b.example.com", "DIRECT"),
            ("tunnel-eu.exampleXcom", "DIRECT"),
            ("notclaude.ai", "DIRECT"),
            ("claude.ai.evil.example", "DIRECT"),
            ("__proto__", "DIRECT"),
            ("hasownproperty.tostring", "DIRECT"),
            ("www.example.org", "DIRECT"),
        ],
    );
}

#[test]
fn bypassed_hosts_are_dialled_by_the_browser() {
    let pac = "[pac]\nbypass = [\"intranet.contoso.com\", \"*.corp.contoso.com\", \"build-*.contoso.com\"]\n";
    check(
        &script(pac, "10.0.0.1"),
        &[
            ("intranet.contoso.com", "DIRECT"),
            ("wiki.corp.contoso.com", "DIRECT"),
            ("corp.contoso.com", PROXY),
            ("build-7.contoso.com", "DIRECT"),
            ("www.contoso.com", PROXY),
        ],
    );
}

#[test]
fn a_script_depends_on_its_source() {
    let pac = "[pac]\nsources = [\"10.20.0.0/16\"]\n[[pac.group]]\nsources = [\"10.30.0.0/16\", \"10.20.1.0/24\"]\n\
               default = \"direct\"\nbypass = [\"*.video.example\"]\n";
    let (staged, group, others) = (script(pac, "10.20.0.1"), script(pac, "10.30.0.1"), script(pac, "10.40.0.1"));
    check(&staged, &[("www.example.org", PROXY), ("a.video.example", PROXY), ("claude.ai", PROXY)]);
    check(&group, &[("www.example.org", "DIRECT"), ("a.video.example", "DIRECT"), ("claude.ai", PROXY)]);
    check(&others, &[("www.example.org", "DIRECT"), ("claude.ai", "DIRECT")]);
    assert_eq!(script(pac, "10.20.1.9"), group);
    assert_eq!(script(pac, "::ffff:10.30.0.1"), group);
}

/// No letter that could leave a string, an expression or a line of the script gets into it.
#[test]
fn names_cannot_write_script() {
    for name in
        ["a\\\"; alert(1); \\\"", "a\\nb.example", "</script>.example", "a'b.example", "a\\\\.example", "(.example"]
    {
        for pac in [format!("[pac]\nbypass = [\"{name}\"]"), format!("[pac]\nbypass = [\"{name}*.example.com\"]")] {
            let text = format!("{POLICY}{pac}");
            assert!(compile("p", &text, None, 0).is_err(), "{name}");
        }
    }
    for proxy in ["a\"b:80", "a';b", "a b", "user@a", "a/b", "[::1", "a\\b", "a\nb", ""] {
        assert!(Authority::with_default_port(proxy.as_bytes(), 80).is_none(), "{proxy:?}");
    }
    let text = script("[pac]\nbypass = [\"_a-b.xn--bcher-kva.example\", \"x*y.example.com\"]\n", "10.0.0.1");
    for line in text.lines().filter(|line| line.starts_with("var ")) {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || " .-_:=;{}[]\",/^$\\*+()".contains(letter);
        assert!(line.chars().all(plain), "{line}");
    }
}

#[test]
fn wrong_keys_are_told_with_their_place() {
    let told = |pac: &str| {
        let errors = compile("p", pac, None, 0).unwrap_err();
        errors.into_iter().map(|error| error.to_string()).collect::<String>()
    };
    assert!(told("[pac]\ndefualt = \"proxy\"\n").starts_with("p:2:1: error: [pac] has no key \"defualt\""));
    assert!(told("[pac]\ndefault = \"PROXY\"\n").starts_with("p:2:11: error: \"default\" is \"proxy\" or \"direct\""));
    assert!(
        told("[[pac.group]]\ndefault = \"proxy\"\n").contains("p:1:1: error: [[pac.group]] has no \"sources\""),
        "{}",
        told("[[pac.group]]\n")
    );
    assert!(told("[pac]\nsources = [\"10.0.0.1/8\"]\n").contains("has bits beyond its prefix"));
    assert!(told("[pac]\ngroup = 5\n").contains("must be written as [[pac.group]]"));
    assert!(told("[pac]\nbypass = [\"*.com\"]\n").contains("public suffix"));
}
