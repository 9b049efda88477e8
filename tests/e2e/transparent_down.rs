//! What becomes of inside hosts' connections when the data plane is down: refused, or past it, as the rules say.

use std::process::{Child, Stdio};

use penstock_tests::appliance::Appliance;
use penstock_tests::network::{Network, Place, penstock_nft};
use penstock_tests::process::{alive, signal};
use penstock_tests::saas::Saas;
use penstock_tests::wait;
use rustix::process::Signal;

use crate::transparent::{ENTRA, TENANTS, curl, outside, setup, sign_in};

/// Ends the data plane without a chance to do anything, and whoever would start it again.
fn kill(network: &Network, appliance: &mut Appliance) {
    let dataplane = appliance.pid("dataplane");
    signal(appliance.process().id(), Signal::KILL);
    signal(dataplane, Signal::KILL);
    wait::until("the data plane to be gone", || (!alive(dataplane)).then_some(()));
    // The kernel closes what a ring held a little after the process has ended.
    let listens = || network.must(Place::Gate, "ss", &["-Hltn", "sport = :8443"]);
    wait::until("its listeners to be gone", || listens().is_empty().then_some(()));
}

/// Whether the sign-in host itself answers, under its own certificate.
fn goes_past(network: &Network, saas: &Saas, family: &str) -> bool {
    let output = curl(network, &saas.ca(), &[family, &format!("https://{ENTRA}/__seen")]);
    output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("contoso.com,fabrikam")
}

fn apply(network: &Network, mode: &str, fail: &str) {
    network.penstock_nft(&["apply", "--mode", mode, "--fail", fail, "--interface", "in0"]);
}

#[test]
fn closed_means_refused() {
    let Some((network, saas)) = outside() else { return };
    for mode in ["redirect", "tproxy"] {
        let mut appliance = setup(&network, mode, &[]).authority(saas.ca()).start();
        apply(&network, mode, "closed");
        assert_eq!(sign_in(&network, &appliance.root(), "-4"), Ok(vec![TENANTS.to_owned()]), "{}", appliance.log());
        kill(&network, &mut appliance);
        for family in ["-4", "-6"] {
            let output = curl(&network, &saas.ca(), &[family, &format!("https://{ENTRA}/bytes/10")]);
            assert_eq!(output.status.code(), Some(COULD_NOT_CONNECT), "{mode}: {output:?}");
        }
    }
}

#[test]
fn open_by_tproxy_goes_past_it_with_the_next_connection() {
    let Some((network, saas)) = outside() else { return };
    let mut appliance = setup(&network, "tproxy", &[]).authority(saas.ca()).start();
    apply(&network, "tproxy", "open");
    for family in ["-4", "-6"] {
        assert_eq!(sign_in(&network, &appliance.root(), family), Ok(vec![TENANTS.to_owned()]), "{}", appliance.log());
    }
    kill(&network, &mut appliance);
    // Forget what the appliance had sent there.
    let forget = format!("https://{ENTRA}/__seen");
    curl(&network, &saas.ca(), &["-4", "-X", "DELETE", &forget]);
    for family in ["-4", "-6"] {
        assert!(goes_past(&network, &saas, family), "{family}");
    }
}

#[test]
fn open_by_redirect_lasts_as_long_as_the_heartbeat() {
    let Some((network, saas)) = outside() else { return };
    let mut appliance = setup(&network, "redirect", &[]).authority(saas.ca()).start();
    apply(&network, "redirect", "open");
    // Without a heartbeat the rules end by themselves, with the data plane alive.
    wait::until("the rules to end", || curl(&network, &saas.ca(), &[PAST]).status.success().then_some(()));
    let _heartbeat = Heartbeat::start(&network);
    wait::until("the heartbeat to renew the rules", || {
        (sign_in(&network, &appliance.root(), "-6") == Ok(vec![TENANTS.to_owned()])).then_some(())
    });
    kill(&network, &mut appliance);
    wait::until("connections to go past it", || curl(&network, &saas.ca(), &[PAST]).status.success().then_some(()));
}

struct Heartbeat(Child);

impl Heartbeat {
    fn start(network: &Network) -> Self {
        let mut command = network.command(Place::Gate, penstock_nft());
        Self(command.arg("heartbeat").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PAST: &str = "https://login.microsoftonline.com/bytes/10";
/// `CURLE_COULDNT_CONNECT`.
const COULD_NOT_CONNECT: i32 = 7;

penstock_tests::on_epoll! {
    closed_means_refused,
    open_by_tproxy_goes_past_it_with_the_next_connection,
}
