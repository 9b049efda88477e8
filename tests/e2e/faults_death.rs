//! A data plane that is killed: those beside it notice nothing, nobody is refused, and the audit says that it has a gap.

use std::io::Read as _;
use std::time::Instant;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::process;
use penstock_tests::tunnel::echoes;
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::wait;
use rustix::process::Signal;

use super::upgrade::{await_successor, serving, upgrade};

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";

/// Events that tell of a gap; the inspected request to `path` is in the audit by then.
fn gaps(appliance: &Appliance, path: &str) -> usize {
    assert_eq!(appliance.client(ENTRA).get(ENTRA, path).status, 200);
    let events = wait::until("the request in the audit", || {
        Some(appliance.admin().events("limit=1000")).filter(|events| events.iter().any(|event| event["path"] == path))
    });
    events.iter().filter(|event| event["fault"] == "process/audit/gap").count()
}

#[test]
fn a_killed_data_plane_costs_no_flow_of_another_and_marks_the_gap() {
    let upstream = Upstream::plan().start();
    let setup = Setup::default().upstream(&upstream).host(PASSED, upstream::echo());
    let mut appliance = setup.dataplane("[deadlines]\ndrain_ms = 600000\n").start();
    let mut of_the_old = appliance.echoing(PASSED);
    upgrade(&mut appliance);
    assert_eq!(gaps(&appliance, "/upgraded"), 0, "an upgrade leaves none");
    let mut of_the_killed = appliance.echoing(PASSED);
    assert!(echoes(&mut of_the_old) && echoes(&mut of_the_killed));

    let before = serving(&appliance);
    process::signal(before, Signal::KILL);
    let killed = Instant::now();
    wait::until("its end", || (!process::alive(before)).then_some(()));
    // While nobody takes connections, and after.
    assert!(echoes(&mut of_the_old));
    let mut new = appliance.echoing(PASSED);
    println!("served again {:?} after the kill", killed.elapsed());
    assert!(echoes(&mut of_the_old) && echoes(&mut new));
    assert!(matches!(of_the_killed.read(&mut [0; 4]), Ok(0) | Err(_)));
    await_successor(&appliance, before);
    assert_eq!(gaps(&appliance, "/killed"), 1, "said once");

    upgrade(&mut appliance);
    assert!(echoes(&mut of_the_old) && echoes(&mut new));
    assert_eq!(gaps(&appliance, "/again"), 1, "said once, by whoever comes first");
}
