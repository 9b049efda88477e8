//! The authority through its life, with real clients: a root that follows another under load, an authority of the
//! operator's own, tickets and trust as time goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::tunnel::STAFF;
use penstock_tests::upstream::Upstream;
use penstock_tests::{client, place, wait};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::HandshakeKind;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";

fn rotate(appliance: &Appliance, arguments: &[&str]) -> serde_json::Value {
    let output = appliance.penstock(&[&["ca", "rotate", "--json"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether a client that trusts this file alone reaches the host.
fn believes(appliance: &Appliance, root: &Path) -> bool {
    appliance
        .client_with(STAFF, ENTRA, client::config(&[root]))
        .is_ok_and(|mut client| client.get(ENTRA, "/").status == 200)
}

fn openssl_believes(appliance: &Appliance, root: &Path) -> bool {
    let Some(openssl) = place::program("openssl") else { return true };
    let mut command = Command::new(openssl);
    command.args(["s_client", "-proxy", &appliance.proxy().to_string(), "-connect", &format!("{ENTRA}:443")]);
    command.args(["-servername", ENTRA, "-verify_hostname", ENTRA, "-verify_return_error", "-x509_strict"]);
    command.args(["-no-CApath", "-no-CAstore", "-CAfile"]).arg(root).stdin(Stdio::null());
    String::from_utf8_lossy(&command.output().unwrap().stdout).contains("Verify return code: 0 (ok)")
}

/// h103: the root is replaced while clients connect without a pause. None fails: whoever has the old root is told the old
/// one's word for the new one, until the operator takes that away. A flow from before goes on to the end.
#[test]
fn h103_a_root_that_follows_another_under_load_fails_no_handshake() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let directory = TempDir::new().unwrap();
    let [old, new] = ["old.pem", "new.pem"].map(|name| directory.path().join(name));
    fs::copy(appliance.root(), &old).unwrap();
    let mut flow = appliance.client(ENTRA);
    assert_eq!(flow.get(ENTRA, "/before").status, 200);
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(believes(&appliance, &old), "{}", appliance.log());
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let go_on = |more: usize| {
            let from = count.load(Ordering::Relaxed);
            wait::until("handshakes", || (count.load(Ordering::Relaxed) >= from + more).then_some(()));
        };
        go_on(3);
        let announced = rotate(&appliance, &[]);
        assert_eq!(
            (&announced["rotation"]["phase"], &announced["rotation"]["cross_signed"]),
            (&"announced".into(), &true.into())
        );
        let both = place::read(appliance.root());
        assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(appliance.admin().open_get("/ca/root.pem").1, both);
        let next = both.rfind("-----BEGIN").unwrap();
        fs::write(&new, &both[next..]).unwrap();
        assert!(!believes(&appliance, &new), "it signs nothing yet");
        go_on(3);
        rotate(&appliance, &["--now"]);
        wait::until("the new root's leaves", || believes(&appliance, &new).then_some(()));
        assert_eq!(appliance.client_with(STAFF, ENTRA, client::config(&[&old])).unwrap().chain().len(), 3);
        assert!(openssl_believes(&appliance, &old) && openssl_believes(&appliance, &new));
        go_on(3);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(flow.get(ENTRA, "/after").status, 200, "a flow from before");
    let page = appliance.admin().open_get("/metrics").1;
    for kind in ["root", "old_root", "issuer"] {
        assert!(page.contains(&format!("penstock_certificate_expiry_seconds{{kind=\"{kind}\"}} ")), "{page}");
    }
    rotate(&appliance, &["--finish"]);
    wait::until("the old root's end", || (!believes(&appliance, &old)).then_some(()));
    assert!(believes(&appliance, &new) && !openssl_believes(&appliance, &old) && openssl_believes(&appliance, &new));
    assert_eq!(place::read(appliance.root()), place::read(&new));
    let again = appliance.penstock(&["ca", "rotate", "--finish"]);
    assert_eq!(again.status.code(), Some(1), "nothing left to finish");
    let appliance = appliance.restart();
    assert!(believes(&appliance, &new));
}

/// An enterprise with a root that clients trust already, and a sub-CA for the appliance.
fn enterprise(directory: &Path) -> [PathBuf; 3] {
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        params
    };
    let (root_key, sub_key) =
        (KeyPair::generate().unwrap(), KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
    let root = params("Contoso Root").self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params("Contoso Root"), root_key);
    let sub = params("Contoso Proxy CA").signed_by(&sub_key, &issuer).unwrap();
    let files = ["root.pem", "sub.pem", "sub.key"].map(|name| directory.join(name));
    for (file, text) in files.iter().zip([root.pem(), sub.pem(), sub_key.serialize_pem()]) {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    files
}

/// Clients that trust the enterprise's root, and know nothing of Penstock, believe what is minted below its sub-CA.
#[test]
fn an_enterprises_own_authority_stands_above_the_issuer() {
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [root, sub, key] = enterprise(directory.path());
    let arguments = |key: &Path| {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        vec!["--ca-certificate".to_owned(), path(&sub), "--ca-key".to_owned(), path(key)]
    };
    let setup = || Setup::default().upstream(&upstream);
    let appliance = setup().arguments(arguments(&key)).start();
    assert!(believes(&appliance, &root) && openssl_believes(&appliance, &root));
    let mut client = appliance.client_with(STAFF, ENTRA, client::config(&[&root])).unwrap();
    assert_eq!((client.get(ENTRA, "/").status, client.chain().len()), (200, 3));
    assert_eq!(appliance.admin().json("/api/v1/ca")["origin"], "operator");
    assert_eq!(appliance.penstock(&["ca", "rotate"]).status.code(), Some(1));
    assert_eq!(place::read(appliance.root()), place::read(&sub));
    drop(appliance);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let Err(why) = setup().arguments(arguments(&key)).try_start_in(Arc::new(TempDir::new().unwrap())) else {
        panic!("it started with an open key")
    };
    assert!(why.contains("sub.key") && why.contains("open to others"), "{why}");
}

/// The system's NSS and Chromium's own verifier, on the same chain.
#[test]
fn nss_believes_what_is_below_an_enterprises_authority() {
    let (Some(certutil), Some(openssl)) = (place::program("certutil"), place::program("openssl")) else { return };
    let upstream = Upstream::plan().start();
    let directory = TempDir::new().unwrap();
    let [root, sub, key] = enterprise(directory.path());
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments = vec!["--ca-certificate".to_owned(), path(&sub), "--ca-key".to_owned(), path(&key)];
    let appliance = Setup::default().upstream(&upstream).arguments(arguments).start();
    let chain = appliance.client_with(STAFF, ENTRA, client::config(&[&root])).unwrap().chain();
    let database = format!("sql:{}", directory.path().display());
    let nss = |arguments: &[&str]| {
        let output = Command::new(&certutil).args(["-d", &database]).args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(nss(&["-N", "--empty-password"]).0);
    for (index, certificate) in chain.iter().enumerate() {
        let (der, pem) = (directory.path().join(format!("{index}.der")), directory.path().join(format!("{index}.pem")));
        fs::write(&der, certificate).unwrap();
        let converted =
            Command::new(&openssl).args(["x509", "-inform", "DER", "-in"]).arg(&der).arg("-out").arg(&pem).status();
        assert!(converted.unwrap().success());
        assert!(nss(&["-A", "-t", ",,", "-n", &format!("chain-{index}"), "-i", &path(&pem)]).0);
    }
    // V: as a server's.
    assert!(!nss(&["-V", "-u", "V", "-e", "-n", "chain-0"]).0, "nobody vouches for it yet");
    assert!(nss(&["-A", "-t", "C,,", "-n", "enterprise", "-i", &path(&root)]).0);
    let (good, said) = nss(&["-V", "-u", "V", "-e", "-n", "chain-0"]);
    assert!(good, "{said}");
}

/// h017 and case F: whichever shard a client meets, its ticket is good there; after another policy it is not, and the full
/// handshake works. Both legs count what they resume.
#[test]
fn h017_sessions_are_resumed_on_any_shard_until_the_policy_changes() {
    let upstream = Upstream::plan().start();
    let appliance = Setup::default().upstream(&upstream).shards(4).start();
    let config = client::config(&[&appliance.root()]);
    let resumed = || {
        let mut client = appliance.client_with(STAFF, ENTRA, Arc::clone(&config)).unwrap();
        assert_eq!(client.get(ENTRA, "/").status, 200);
        client.connection().handshake_kind() == Some(HandshakeKind::Resumed)
    };
    assert!(!resumed());
    for _ in 0..24 {
        assert!(resumed());
    }
    let metrics = appliance.admin().open_get("/metrics").1;
    for leg in ["upstream", "downstream"] {
        let counted = metrics.lines().find(|line| {
            line.starts_with("penstock_handshakes_total{") && line.contains(leg) && line.contains("resumed=\"true\"")
        });
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{leg}: {metrics}");
    }
    let policy = format!("{}\n# the same again\n", place::read(place::example_policy()));
    assert_eq!(appliance.admin().send("PUT", "/api/v1/policy", "application/toml", &policy).0, 200);
    assert!(!resumed());
    assert!(resumed());
}

/// h106: an authority that is added to a file of upstream roots is believed without a restart, and no longer when it is
/// taken out.
#[test]
fn h106_upstream_roots_follow_their_file() {
    let (first, second) = (Upstream::plan().start(), Upstream::plan().start());
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("roots.pem");
    fs::copy(first.ca(), &file).unwrap();
    let appliance = Setup::default().host("*", second.address()).authority(file.clone()).start();
    assert!(appliance.try_client(ENTRA).is_err(), "not believed yet");
    let both = place::read(first.ca()) + &place::read(second.ca());
    fs::write(&file, both).unwrap();
    let works = || appliance.try_client(ENTRA).is_ok_and(|mut client| client.get(ENTRA, "/").status == 200);
    wait::until("the added root", || works().then_some(()));
    fs::copy(first.ca(), &file).unwrap();
    wait::until("the removed root's end", || (!works()).then_some(()));
}
