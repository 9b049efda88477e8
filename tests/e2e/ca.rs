//! The authority: minted chains are believed by real clients that trust the root, and by nobody outside its constraints.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::chromium::trust;
use penstock_tests::network::{Network, Place};
use penstock_tests::place;
use penstock_tests::saas::Saas;
use penstock_tests::upstream::Upstream;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn openssl_believes_the_chain() {
    let Some(openssl) = place::program("openssl") else { return };
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut command = Command::new(openssl);
    command.args(["s_client", "-proxy", &appliance.proxy().to_string(), "-connect", &format!("{ENTRA}:443")]);
    command.args(["-servername", ENTRA, "-verify_hostname", ENTRA, "-verify_return_error", "-x509_strict", "-CAfile"]);
    let output = command.arg(appliance.root()).stdin(Stdio::null()).output().unwrap();
    assert!(said(&output).contains("Verify return code: 0 (ok)"), "{}", said(&output));
}

#[test]
fn gnutls_believes_the_chain() {
    let Some(certtool) = place::program("certtool") else { return };
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let directory = TempDir::new().unwrap();
    let chain = directory.path().join("chain.pem");
    fs::write(&chain, pem_chain(&appliance)).unwrap();
    let mut command = Command::new(certtool);
    command.args([
        "--verify",
        "--verify-hostname",
        ENTRA,
        "--verify-purpose",
        "1.3.6.1.5.5.7.3.1",
        "--load-ca-certificate",
    ]);
    let output = command.arg(appliance.root()).arg("--infile").arg(&chain).output().unwrap();
    assert!(output.status.success() && said(&output).contains("The certificate is trusted"), "{}", said(&output));
}

/// Chromium with the root in a database of its own: no flag that turns checking off.
#[test]
fn chromium_believes_the_chain() {
    let (Some(chromium), Some(_)) = (place::program("chromium"), place::program("certutil")) else { return };
    let saas = Saas::start();
    let appliance = Setup::default().saas(&saas).start();
    let home = TempDir::new().unwrap();
    let url = format!("https://{ENTRA}/contoso.com/v2.0/.well-known/openid-configuration");
    let page = browse(Command::new(&chromium), home.path(), Some(&appliance), &url, &["--dump-dom"]);
    assert!(!page.contains("jwks_uri"), "an unknown root must not be believed: {page}");
    trust(home.path(), &appliance.root());
    let page = browse(Command::new(&chromium), home.path(), Some(&appliance), &url, &["--dump-dom"]);
    assert!(page.contains("jwks_uri"), "{page}\n{}", appliance.log());
}

/// What a Chromium that trusts the appliance makes of `url`; `None` when it is not installed.
pub(crate) fn browse_trusting(appliance: &Appliance, url: &str) -> Option<String> {
    browse_trusting_with(appliance, url, &["--dump-dom"])
}

/// The same, with what the browser is to do there.
pub(crate) fn browse_trusting_with(appliance: &Appliance, url: &str, arguments: &[&str]) -> Option<String> {
    let (chromium, home) = (place::program("chromium")?, TempDir::new().unwrap());
    trust(home.path(), &appliance.root())?;
    Some(browse(Command::new(chromium), home.path(), Some(appliance), url, arguments))
}

/// The same for one inside a network that knows of no proxy.
pub(crate) fn browse_inside(network: &Network, root: &Path, url: &str) -> Option<String> {
    let (chromium, home) = (place::program("chromium")?, TempDir::new().unwrap());
    trust(home.path(), root)?;
    Some(browse(network.command(Place::Inside, chromium), home.path(), None, url, &["--dump-dom"]))
}

fn browse(mut command: Command, home: &Path, proxy: Option<&Appliance>, url: &str, arguments: &[&str]) -> String {
    command.env("HOME", home).args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
    ]);
    command.arg(format!("--user-data-dir={}", home.join("profile").display()));
    match proxy {
        Some(appliance) => command.arg(format!("--proxy-server=http://{}", appliance.proxy())),
        None => command.arg("--no-proxy-server"),
    };
    command.arg("--virtual-time-budget=10000").args(arguments).arg(url);
    said(&command.stdin(Stdio::null()).output().unwrap())
}

/// h102: what the issuer signs outside the inspected hosts is refused by real clients, also with the stolen key.
#[test]
fn h102_a_stolen_issuer_cannot_impersonate_the_rest() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let directory = TempDir::new().unwrap();
    let chain = appliance.client(ENTRA).chain();
    let issuer_certificate = &chain[1];
    let issuer = Issuer::from_ca_cert_der(issuer_certificate, stolen_key(&appliance)).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let forge = |name: &str| {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.signed_by(&leaf_key, &issuer).unwrap()
    };
    for (name, believed) in [(ENTRA, true), ("www.bank.example", false), ("microsoftonline.com", false), ("com", false)]
    {
        let pem = format!("{}{}", forge(name).pem(), pem(issuer_certificate));
        let file = directory.path().join("forged.pem");
        fs::write(&file, pem).unwrap();
        for (program, verdict) in verdicts(&appliance.root(), &file, name) {
            assert_eq!(verdict, believed, "{program} on a forged leaf for {name}");
        }
    }
}

/// What OpenSSL, GnuTLS and rustls say of a chain.
fn verdicts(root: &Path, chain: &Path, name: &str) -> Vec<(&'static str, bool)> {
    let mut verdicts = Vec::new();
    if let Some(openssl) = place::program("openssl") {
        let output = Command::new(openssl)
            .args(["verify", "-x509_strict", "-verify_hostname", name, "-CAfile"])
            .arg(root)
            .arg("-untrusted")
            .args([chain, chain])
            .output()
            .unwrap();
        verdicts.push(("openssl", output.status.success()));
    }
    if let Some(certtool) = place::program("certtool") {
        let mut command = Command::new(certtool);
        command.args(["--verify", "--verify-hostname", name, "--load-ca-certificate"]).arg(root);
        verdicts.push(("gnutls", command.arg("--infile").arg(chain).output().unwrap().status.success()));
    }
    verdicts.push(("rustls", rustls_believes(root, chain, name)));
    verdicts
}

fn rustls_believes(root: &Path, chain: &Path, name: &str) -> bool {
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(std::sync::Arc::new(roots), provider).build().unwrap();
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).is_ok()
}

/// The issuer's key, from where control keeps it: no other file has it.
fn stolen_key(appliance: &Appliance) -> KeyPair {
    let key = PrivatePkcs8KeyDer::from_pem_file(appliance.state().join("ca/issuer.pem")).unwrap();
    KeyPair::try_from(&key).unwrap()
}

fn pem_chain(appliance: &Appliance) -> String {
    appliance.client(ENTRA).chain().iter().map(pem).collect()
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let mut command = Command::new("openssl");
    command.args(["x509", "-inform", "DER"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), certificate).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// h103: a key that others can read, a key of another certificate: the start is refused with a word on how to mend it.
#[test]
fn h103_a_damaged_authority_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let upstream = Upstream::plan().start();
    for damage in ["open", "other"] {
        let directory = std::sync::Arc::new(TempDir::new().unwrap());
        let setup = || Setup::default().upstream(&upstream);
        drop(setup().start_in(std::sync::Arc::clone(&directory)));
        let key = directory.path().join("state/ca/root.key");
        match damage {
            "open" => fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap(),
            _ => fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap(),
        }
        let Err(why) = setup().try_start_in(std::sync::Arc::clone(&directory)) else { panic!("{damage}: it started") };
        assert!(why.contains("root.key"), "{damage}: {why}");
    }
}
