//! What the tests of transparent mode share: the appliance at the gate, curl inside, and what each host is to see.

use std::path::Path;
use std::process::Output;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::network::{Network, OTHER_V4, OTHER_V6, Place, SIGN_IN_V4, SIGN_IN_V6};
use penstock_tests::saas::Saas;
use serde_json::Value;

pub(crate) const ENTRA: &str = "login.microsoftonline.com";
pub(crate) const OTHER: &str = "downloads.example.org";
pub(crate) const TENANTS: &str =
    "Restrict-Access-To-Tenants: contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee";

/// Of IPv4: the network inside, and [`OTHER`] outside.
pub(crate) const EXEMPTIONS: [&[&str]; 2] =
    [&["--exempt-source", "10.77.0.0/24"], &["--exempt-destination", "198.51.100.20"]];

/// The network with the names of its hosts, and the simulated endpoints outside.
pub(crate) fn outside() -> Option<(Network, Saas)> {
    let network = Network::start()?;
    let saas = Saas::start_outside(&network);
    network.name(ENTRA, &[SIGN_IN_V4, SIGN_IN_V6]);
    network.name(OTHER, &[OTHER_V4, OTHER_V6]);
    Some((network, saas))
}

/// An appliance at the gate with listeners of one kind for both families.
pub(crate) fn setup(network: &Network, kind: &str, more: &[&str]) -> Setup {
    let listeners = [format!("{kind}=0.0.0.0:8443"), format!("{kind}=[::]:8443")];
    let mut arguments = vec!["--mark".to_owned(), "81".to_owned()];
    listeners.into_iter().for_each(|listener| arguments.extend(["--transparent".to_owned(), listener]));
    arguments.extend(more.iter().map(|word| (*word).to_owned()));
    Setup::default().arguments(arguments).within(network)
}

/// curl inside, which knows of no proxy.
pub(crate) fn curl(network: &Network, authority: &Path, arguments: &[&str]) -> Output {
    let fixed = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"];
    let authority = ["--cacert", authority.to_str().unwrap()];
    network.run(Place::Inside, "curl", &[&fixed[..], &authority, arguments].concat())
}

/// Asks the sign-in host for what it received, with a tenant header of the client's own; answers the tenant headers.
pub(crate) fn sign_in(network: &Network, authority: &Path, family: &str) -> Result<Vec<String>, String> {
    let own = "Restrict-Access-To-Tenants: evil.example";
    let url = format!("https://{ENTRA}/__seen");
    let output = curl(network, authority, &[family, "--http1.1", "-H", own, &url]);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let last = seen["requests"].as_array().unwrap().last().unwrap();
    let lines = last["headers"].as_array().unwrap().iter().filter_map(Value::as_str);
    Ok(lines.filter(|line| line.to_ascii_lowercase().starts_with("restrict-access-to")).map(str::to_owned).collect())
}

/// Both kinds of host, in both families: restricted, and untouched.
pub(crate) fn check_hosts(network: &Network, saas: &Saas, appliance: &Appliance) {
    for family in ["-4", "-6"] {
        assert_eq!(sign_in(network, &appliance.root(), family), Ok(vec![TENANTS.to_owned()]), "{}", appliance.log());
        // The other host shows its own certificate, and its bytes are those that it sends to a neighbour.
        let url = format!("https://{OTHER}/bytes/300000");
        let passed = curl(network, &saas.ca(), &[family, &url]);
        assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stderr));
        let resolve = format!("{OTHER}:443:{OTHER_V4}");
        let authority = saas.ca();
        let direct =
            ["--silent", "--noproxy", "*", "--resolve", &resolve, "--cacert", authority.to_str().unwrap(), &url];
        assert!(passed.stdout == network.run(Place::Outside, "curl", &direct).stdout && passed.stdout.len() == 300_000);
    }
    let metrics = network.enter(Place::Gate, || appliance.admin().metrics());
    assert_eq!(metrics.sum("penstock_flows_total", &["verdict=\"inspect\""]), 2.0);
    assert_eq!(metrics.sum("penstock_flows_total", &["verdict=\"pass\""]), 2.0);
}

/// Exempted by source and by destination, connections go past listeners of that kind, and those of the other family do not.
pub(crate) fn check_exemptions(kind: &str, apply: &[&str]) {
    let Some((network, saas)) = outside() else { return };
    let appliance = setup(&network, kind, &[]).authority(saas.ca()).start();
    let url = format!("https://{OTHER}/bytes/10");
    let flows = || network.enter(Place::Gate, || appliance.admin().metrics()).sum("penstock_flows_total", &[]);
    for exemption in EXEMPTIONS {
        network.penstock_nft(&[apply, exemption].concat());
        assert!(curl(&network, &saas.ca(), &["-4", &url]).status.success());
    }
    assert_eq!(flows(), 0.0);
    assert!(curl(&network, &saas.ca(), &["-6", &url]).status.success());
    assert_eq!(flows(), 1.0);
}
