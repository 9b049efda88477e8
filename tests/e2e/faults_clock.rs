//! The system's clock jumps: no timer notices, leaves are good for clients whose clock is right, nothing is minted outside the
//! issuer's time, and all is well again once the clock is.

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::tunnel::{STAFF, echoes};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::{client, process, wait};
use rustix::process::Signal;

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";
/// Inspected hosts: each has a leaf of its own.
const HOSTS: [&str; 6] =
    ["login.live.com", "claude.ai", "chatgpt.com", "login.microsoft.com", "accounts.google.com", "login.windows.net"];

fn start(upstream: &Upstream) -> Option<Appliance> {
    Some(Setup::default().host(PASSED, upstream::echo()).upstream(upstream).shards(1).clock()?.start())
}

fn faults(appliance: &Appliance, phase: &str, kind: &str) -> f64 {
    let labels = [format!("phase=\"{phase}\""), format!("kind=\"{kind}\"")];
    appliance.admin().metrics().sum("penstock_faults_total", &[&labels[0], &labels[1]])
}

#[test]
fn a_clock_that_jumps_closes_nothing_and_mints_only_what_clients_accept() {
    let upstream = Upstream::plan().start();
    let Some(appliance) = start(&upstream) else { return };
    let (mut open, mut passed) = (appliance.client(ENTRA), appliance.echoing(PASSED));
    for (offset, host) in ["+1h", "-1h", "+23h", "-23h"].into_iter().zip(HOSTS) {
        appliance.set_clock(offset);
        // The client's clock is right, and its verification as strict as ever.
        assert_eq!(appliance.client(host).get(host, "/").status, 200, "{offset}");
        assert!(
            open.get(ENTRA, "/").status == 200 && echoes(&mut passed) && echoes(&mut appliance.echoing(PASSED)),
            "{offset}"
        );
    }
    let far = [("+400d", HOSTS[4], "mint", "not_ready"), ("-26y", HOSTS[5], "verify", "certificate_time")];
    for (offset, host, phase, kind) in far {
        appliance.set_clock(offset);
        assert!(appliance.try_client(host).is_err(), "nothing is minted at {offset}");
        wait::until("the refusal to be counted", || (faults(&appliance, phase, kind) == 1.0).then_some(()));
        assert!(
            open.get(ENTRA, "/").status == 200 && echoes(&mut passed) && echoes(&mut appliance.echoing(PASSED)),
            "{offset}"
        );
    }
    appliance.set_clock("+0");
    for host in HOSTS {
        assert_eq!(appliance.client(host).get(host, "/").status, 200, "{host}");
    }
    assert!(open.get(ENTRA, "/").status == 200 && echoes(&mut passed));
    assert_eq!(faults(&appliance, "relay", "deadline") + faults(&appliance, "edit", "deadline"), 0.0);
    let pid = appliance.pid("dataplane");
    assert!(process::alive(pid) && appliance.running("dataplane") == Some(pid), "{}", appliance.log());
}

/// The issuer that it has ends after a month, which control would have renewed: then it refuses and does not let pass.
#[test]
fn a_month_without_control_and_a_restart_ends_inspection_and_not_policy() {
    let upstream = Upstream::plan().start();
    let Some(appliance) = start(&upstream) else { return };
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    process::signal(appliance.pid("control"), Signal::STOP);
    for (days, is_inspected) in [(29, true), (31, false), (28, true)] {
        let before = appliance.running("dataplane").unwrap();
        appliance.set_clock(&format!("+{days}d"));
        process::signal(before, Signal::KILL);
        wait::until("another data plane", || appliance.running("dataplane").filter(|pid| *pid != before));
        assert!(echoes(&mut appliance.echoing(PASSED)), "after {days} days");
        let config = client::config_ahead(&[&appliance.root()], days * 86_400);
        let client = appliance.client_with(STAFF, ENTRA, config);
        assert_eq!(client.is_ok(), is_inspected, "after {days} days");
        client.into_iter().for_each(|mut client| assert_eq!(client.get(ENTRA, "/").status, 200));
    }
    upstream.verify();
    process::signal(appliance.pid("control"), Signal::CONT);
}
