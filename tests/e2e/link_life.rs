//! The life of what the link is secured by: a data plane renews its certificate before its end, and goes over from one
//! authority to the next, and keeps its link.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_tests::upstream::Upstream;
use penstock_tests::{place, wait};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use tempfile::TempDir;

use crate::fleet::{Control, dataplane, joined, serves};

/// Signs a certificate for a node as its control did so many days ago, and puts it in the place of the node's own.
fn age(control: &Path, node: &Path, name: &str, days: i64) {
    let authority = place::read(control.join("state/link-authority.pem"));
    let (_, secret) = authority.split_at(authority.find("-----BEGIN PRIVATE KEY").unwrap());
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(secret).unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let moment = |days: i64| date_time_ymd(1970, 1, 1) + Duration::from_millis(from_now(days));
    (parameters.not_before, parameters.not_after) = (moment(-days), moment(90 - days));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let above = authority.split_inclusive(end).next().unwrap();
    fs::write(node.join("state/link/node.pem"), certificate.pem() + above + &key.serialize_pem()).unwrap();
}

fn certificates(node: &Path) -> Vec<String> {
    let text = place::read(node.join("state/link/node.pem"));
    text.split_inclusive("-----END CERTIFICATE-----\n")
        .filter(|part| part.contains("BEGIN CERT"))
        .map(str::to_owned)
        .collect()
}

/// Since when it is attached: another moment is another link.
fn since(control: &Control, name: &str) -> String {
    let node = control.node(name).unwrap_or_default();
    assert_eq!(node["attached"], true, "{name}: {node}");
    node["since"].to_string()
}

#[test]
fn a_certificate_that_nears_its_end_is_renewed_and_the_link_stays() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [home, folder] = ["control", "node"].map(|name| directory.path().join(name));
    let control = Control::start(&home);
    fs::create_dir(&folder).unwrap();
    joined(&control, "edge-1", &folder.join("state"));
    let ends = || {
        let members = control.admin().json("/api/v1/nodes")["members"].clone();
        members[0]["certificate_expires"].as_str().unwrap().to_owned()
    };
    // With a third of its life behind it nothing happens yet; a day later it is renewed.
    for (days, is_due) in [(29, false), (31, true), (85, true)] {
        age(&home, &folder, "edge-1", days);
        let before = certificates(&folder);
        let node = dataplane(&folder, &[&control], &upstream, "").unwrap();
        control.await_node("edge-1", 1);
        let link = since(&control, "edge-1");
        serves(&node, &home);
        if is_due {
            wait::until("another certificate", || (certificates(&folder)[0] != before[0]).then_some(()));
            wait::until("the log", || node.log().contains("the node has a new certificate").then_some(()));
        } else {
            assert_eq!(certificates(&folder), before);
        }
        assert_eq!(certificates(&folder)[1..], before[1..], "by the same authority");
        assert_eq!(since(&control, "edge-1"), link, "{days} days");
        serves(&node, &home);
        drop(node);
        control.await_away("edge-1");
        fs::write(folder.join("dataplane.log"), "").unwrap();
    }
    // What was renewed is good for a start, and control knows its end.
    let node = dataplane(&folder, &[&control], &upstream, "").unwrap();
    control.await_node("edge-1", 1);
    assert!(ends() > penstock_core::audit::timestamp(from_now(88)), "{}", ends());
    drop(node);
}

/// Unix milliseconds, so many days from now.
fn from_now(days: i64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    now.checked_add_signed(days * 86_400).unwrap() * 1_000
}

/// Two controls, of which the first is told each step and the second has its file copied; one data plane at each.
#[test]
fn data_planes_go_over_to_the_next_authority_and_keep_their_links() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [home, beside] = ["one", "other"].map(|name| directory.path().join(name));
    let one = Control::start(&home);
    let other = one.start_beside(&beside, "");
    let folders = ["edge-1", "edge-2"].map(|name| directory.path().join(name));
    let nodes: Vec<_> = [(&folders[0], "edge-1", &one), (&folders[1], "edge-2", &other)]
        .map(|(folder, name, control)| {
            fs::create_dir(folder).unwrap();
            joined(control, name, &folder.join("state"));
            dataplane(folder, &[control], &upstream, "").unwrap()
        })
        .into();
    one.await_node("edge-1", 1);
    other.await_node("edge-2", 1);
    let links = || (since(&one, "edge-1"), since(&other, "edge-2"));
    let before = links();
    let step = |step: &str| {
        let output = one.penstock(&["node", "authority", step]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = "state/link-authority.pem";
        fs::copy(home.join(file), beside.join(file)).unwrap();
    };
    let first: Vec<_> = folders.iter().map(|folder| certificates(folder)).collect();
    let until = |what: &str, is_so: &dyn Fn(&[String], &[String]) -> bool| {
        for (folder, first) in folders.iter().zip(&first) {
            wait::until(what, || is_so(&certificates(folder), first).then_some(()));
        }
    };
    step("--rotate");
    until("both to be believed", &|now, first| now.len() == 3 && now[..2] == first[..2]);
    step("--now");
    until("certificates by the next one", &|now, first| now[0] != first[0] && now[1] != first[1] && now[2] == first[1]);
    step("--finish");
    until("the last one to be forgotten", &|now, first| now.len() == 2 && now[1] != first[1]);
    assert_eq!(links(), before, "no link ended");
    for node in &nodes {
        serves(node, &home);
    }
    // What they have now is what counts: at each control, over starts of both sides.
    drop(nodes);
    let certificates_of_one = certificates(&folders[0]);
    let node = dataplane(&folders[0], &[&other], &upstream, "").unwrap();
    other.await_node("edge-1", 1);
    let one = Control::run(one.kill());
    joined(&one, "edge-3", &directory.path().join("edge-3"));
    assert_eq!(certificates(&folders[0]), certificates_of_one);
    drop(node);
}
