//! Hosts that lack one thing each.

use super::Answers;
use super::facts::{Facts, Running, Table};
use super::judge::judge;
use crate::boot::report::{Check, State};
use crate::config::Config;

const SHORTEST: &str = "shards = 1\nstate_directory = \"/var/lib/penstock-dataplane\"\nlisten.proxy = \"127.0.0.1:8080\"\nlink.socket = \"/run/l\"\n";
const TPROXY: &str = "[[listener]]\nkind = \"tproxy\"\naddress = \"0.0.0.0:8443\"\n";
const ABOUT: &str = "mode=tproxy fail=closed listener_port=8443 ports=443 steer_mark=0x50 routing_table=80 quic_port=";
const DAY: i64 = 86_400;

fn config(more: &str) -> Config {
    Config::parse("dataplane.toml", &format!("{SHORTEST}{more}")).unwrap()
}

fn good_host() -> Facts {
    let routes =
        "0:\tfrom all lookup local\n100:\tfrom all fwmark 0x50 lookup 80\nlocal default dev lo table 80 scope host\n";
    Facts {
        running: Some(Running {
            pid: 7,
            capabilities: 1 << 12 | 1 << 10,
            descriptors: Some(1 << 20),
            is_outdated: false,
        }),
        own_capabilities: 0,
        first_free_port: 1024,
        table: Table::Applied(ABOUT.to_owned()),
        routes: [routes.to_owned(), String::new()],
        inside: vec!["lan0".to_owned()],
        reverse_path: vec![("all".to_owned(), 2), ("lan0".to_owned(), 1)],
        tracked: Some((10, 262_144)),
        free_bytes: Ok(10 << 30),
        link: Ok(()),
        now: 20_000 * DAY,
        answers: Answers { addresses: Some(Ok(4)), roots: Ok(140), issuer: Ok(Some((19_990 * DAY, 20_020 * DAY))) },
    }
}

fn check(config: &Config, facts: &Facts, name: &str) -> Check {
    judge(config, facts).into_iter().find(|check| check.name == name).unwrap()
}

/// State and what mends it.
fn told(config: &Config, facts: &Facts, name: &str) -> (State, String) {
    let check = check(config, facts, name);
    (check.state, check.fix.unwrap_or_default())
}

#[test]
fn a_host_that_gives_what_is_asked_is_all_good() {
    for check in judge(&config(TPROXY), &good_host()) {
        assert!(check.state == State::Good && check.fix.is_none(), "{check}");
    }
    // The explicit proxy on a high port asks for next to nothing.
    let bare = Facts { table: Table::Absent, own_capabilities: 0, routes: Default::default(), ..good_host() };
    assert!(judge(&config(""), &bare).iter().all(|check| check.state == State::Good));
}

#[test]
fn capabilities_are_asked_for_what_the_configuration_does() {
    let lacking = || Facts { running: None, own_capabilities: 0, ..good_host() };
    let (state, fix) = told(&config(TPROXY), &lacking(), "capabilities");
    assert_eq!(state, State::Failed);
    assert!(fix.contains("AmbientCapabilities=CAP_NET_ADMIN\\n"), "{fix}");
    let low = config("[[listener]]\nkind = \"redirect\"\naddress = \"0.0.0.0:443\"\n[upstream]\nmark = 81\n");
    assert!(told(&low, &lacking(), "capabilities").1.contains("=CAP_NET_ADMIN CAP_NET_BIND_SERVICE\\n"));
    let free = Facts { first_free_port: 0, own_capabilities: 1 << 12, running: None, ..good_host() };
    assert_eq!(told(&low, &free, "capabilities").0, State::Good);
}

#[test]
fn rules_that_are_not_there_or_lead_elsewhere_are_named_with_their_command() {
    let of = |table: Table| Facts { table, ..good_host() };
    let wanted = "penstock-nft apply --mode tproxy --listener-port 8443 --interface lan0";
    assert_eq!(told(&config(TPROXY), &of(Table::Absent), "rules"), (State::Failed, wanted.to_owned()));
    let other = Table::Applied(ABOUT.replace("8443", "9443"));
    assert_eq!(told(&config(TPROXY), &of(other), "rules"), (State::Failed, wanted.to_owned()));
    let quic = format!("{TPROXY}[quic]\nlisten = [\"0.0.0.0:8444\"]\n");
    let command = format!("{wanted} --quic-port 8444");
    assert_eq!(told(&config(&quic), &good_host(), "rules"), (State::Failed, command));
    let two = Facts { table: Table::Absent, inside: vec!["a".to_owned(), "b".to_owned()], ..good_host() };
    assert!(told(&config(TPROXY), &two, "rules").1.ends_with("--interface NAME"));
    assert_eq!(told(&config(""), &good_host(), "rules"), (State::Failed, "penstock-nft remove".to_owned()));
    let unknown = of(Table::Unknown("Operation not permitted".to_owned()));
    assert_eq!(told(&config(TPROXY), &unknown, "rules"), (State::Warning, "sudo penstock doctor".to_owned()));
}

#[test]
fn routes_of_the_mark_are_looked_for_in_each_family_that_is_used() {
    let none = Facts { routes: Default::default(), ..good_host() };
    let four = "ip -4 rule add fwmark 0x50 lookup 80; ip -4 route add local default dev lo table 80";
    assert_eq!(told(&config(TPROXY), &none, "routes"), (State::Failed, four.to_owned()));
    let six = config(&format!("{TPROXY}[[listener]]\nkind = \"tproxy\"\naddress = \"[::]:8443\"\n"));
    assert_eq!(told(&six, &good_host(), "routes"), (State::Failed, four.replace("-4", "-6")));
    // Table 8 is not table 80.
    let other = good_host().routes[0].replace("table 80", "table 8");
    let other = Facts { routes: [other, String::new()], ..good_host() };
    assert!(told(&config(TPROXY), &other, "routes").1.starts_with("ip -4 route add"));
}

#[test]
fn short_means_are_warnings_and_name_the_setting() {
    let tproxy = config(TPROXY);
    let strict = Facts { reverse_path: vec![("all".to_owned(), 0), ("lan0".to_owned(), 1)], ..good_host() };
    assert_eq!(told(&tproxy, &strict, "reverse path").1, "sysctl -w net.ipv4.conf.all.rp_filter=2");
    assert_eq!(told(&config(""), &strict, "reverse path").0, State::Good);
    let redirect = config("[[listener]]\nkind = \"redirect\"\naddress = \"0.0.0.0:8443\"\n");
    for tracked in [(10, 65_536), (250_000, 262_144)] {
        let (state, fix) = told(&redirect, &Facts { tracked: Some(tracked), ..good_host() }, "connection tracking");
        assert!(state == State::Warning && fix.starts_with("sysctl -w net.netfilter.nf_conntrack_max="), "{fix}");
    }
    let few = Running { pid: 7, capabilities: 0, descriptors: Some(20_000), is_outdated: true };
    let few = Facts { running: Some(few), ..good_host() };
    assert!(told(&tproxy, &few, "flows").1.contains("LimitNOFILE=131072"));
    assert_eq!(told(&tproxy, &few, "data plane").1, "systemctl reload penstock-dataplane");
    assert_eq!(told(&tproxy, &Facts { free_bytes: Ok(1 << 20), ..good_host() }, "disk").0, State::Failed);
    assert_eq!(told(&tproxy, &Facts { free_bytes: Ok(500 << 20), ..good_host() }, "disk").0, State::Warning);
    let away = Facts { link: Err(std::io::ErrorKind::ConnectionRefused.into()), ..good_host() };
    assert!(told(&tproxy, &away, "control").1.starts_with("systemctl start penstock-control"));
}

#[test]
fn what_was_kept_and_what_others_say_is_judged() {
    let tproxy = config(TPROXY);
    let of = |issuer, addresses, roots| Facts { answers: Answers { addresses, roots, issuer }, ..good_host() };
    let issuer = |start: i64, end: i64| of(Ok(Some((start * DAY, end * DAY))), None, Ok(1));
    assert_eq!(told(&tproxy, &issuer(19_960, 19_990), "issuer").0, State::Failed);
    assert_eq!(
        told(&tproxy, &issuer(20_001, 20_031), "issuer"),
        (State::Failed, "timedatectl set-ntp true".to_owned())
    );
    assert_eq!(told(&tproxy, &issuer(19_975, 20_005), "issuer").0, State::Warning);
    assert_eq!(told(&tproxy, &of(Ok(None), None, Ok(1)), "issuer").0, State::Warning);
    assert_eq!(told(&tproxy, &of(Ok(None), Some(Err("deadline".to_owned())), Ok(1)), "dns").0, State::Warning);
    assert_eq!(told(&tproxy, &of(Ok(None), None, Err("no root".to_owned())), "upstream roots").0, State::Failed);
}
