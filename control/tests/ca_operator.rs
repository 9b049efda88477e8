//! An operator's own authority, made with OpenSSL as an enterprise makes one: used when it is fit, refused with file and
//! reason when it is not. Says so when OpenSSL is not installed; with `CI` set its absence fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic and say what it left out"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use penstock_control::ca::{Authority, AuthoritySettings, OperatorFiles};

const DAY: i64 = 86_400;
const HOST: &str = "login.microsoftonline.com";
const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
                  subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

/// A folder of an enterprise: a root that is not ours, and what it signs.
struct Enterprise {
    directory: tempfile::TempDir,
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_secs()).expect("seconds")
}

fn openssl(directory: &Path, command: &str) -> String {
    let output = Command::new("openssl").current_dir(directory).args(command.split_whitespace()).output();
    let output = output.expect("openssl");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Enterprise {
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "openssl is not installed");
            eprintln!("left out: openssl is not installed");
            return None;
        }
        let directory = tempfile::tempdir().expect("directory");
        let enterprise = Self { directory };
        enterprise.key("root", "rsa:2048");
        fs::write(enterprise.path("root.ext"), format!("[ext]\n{CA}")).expect("file");
        enterprise.run(
            "req -x509 -new -key root.key -subj /O=Contoso/CN=Contoso_Root -days 3650 -config root.ext -extensions ext \
             -out root.pem",
        );
        Some(enterprise)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, command: &str) -> String {
        openssl(self.directory.path(), command)
    }

    fn key(&self, name: &str, kind: &str) {
        let options = match kind.split_once(':') {
            Some(("rsa", bits)) => format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"),
            _ => format!("-algorithm EC -pkeyopt ec_paramgen_curve:{kind}"),
        };
        self.run(&format!("genpkey {options} -out {name}.key"));
        fs::set_permissions(self.path(&format!("{name}.key")), fs::Permissions::from_mode(0o600)).expect("mode");
    }

    /// Certifies the key of `name` with `extensions`.
    fn sign(&self, name: &str, by: &str, extensions: &str, days: i64) {
        fs::write(self.path("sub.ext"), extensions).expect("file");
        self.run(&format!("req -new -key {name}.key -subj /O=Contoso/CN=Contoso_{name} -out {name}.csr"));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile sub.ext -out \
             {name}.pem"
        ));
    }

    fn sub(&self, name: &str, kind: &str, extensions: &str) {
        self.key(name, kind);
        self.sign(name, "root", extensions, 365);
    }

    fn files(&self, name: &str) -> OperatorFiles {
        let (certificate, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        OperatorFiles { certificate, key, chain: Vec::new() }
    }
}

fn open(state: &Path, files: OperatorFiles, now: i64) -> Result<Authority, String> {
    let settings = AuthoritySettings { operator: Some(files), ..AuthoritySettings::default() };
    Authority::open(state, &settings, now).map_err(|error| error.to_string())
}

fn refusal(files: OperatorFiles, now: i64) -> String {
    let state = tempfile::tempdir().expect("directory");
    open(state.path(), files, now).map(|_| ()).expect_err("a refusal")
}

/// Sub-CAs with every kind of key sign an issuer that OpenSSL believes up to the enterprise's root.
#[test]
fn openssl_believes_what_any_kind_of_authority_signs() {
    let Some(enterprise) = Enterprise::new() else { return };
    let limited = CA.replace("CA:TRUE", "CA:TRUE,pathlen:1");
    for (name, kind, extensions) in
        [("rsa", "rsa:3072", CA), ("p256", "P-256", &limited), ("p384", "P-384", CA), ("root", "", "")]
    {
        if name != "root" {
            enterprise.sub(name, kind, extensions);
        }
        let state = tempfile::tempdir().expect("directory");
        let authority = open(state.path(), enterprise.files(name), now()).expect("fit");
        let bundle = authority.issue([HOST, "*.google.com"].into_iter(), now()).expect("issuer");
        assert_eq!(bundle.chain.len(), 2);
        fs::write(enterprise.path("issuer.der"), &bundle.chain[0]).expect("file");
        enterprise.run("x509 -inform DER -in issuer.der -out issuer.pem");
        let untrusted = if name == "root" { String::new() } else { format!("-untrusted {name}.pem") };
        let said = enterprise.run(&format!("verify -x509_strict -CAfile root.pem {untrusted} issuer.pem"));
        assert!(said.contains("issuer.pem: OK"), "{name}: {said}");
        assert_eq!(fs::read_to_string(state.path().join("ca-operator/root.pem")).expect("root"), authority.root_pem());
        assert!(!state.path().join("ca").exists(), "no root of ours is made");
        let again = open(state.path(), enterprise.files(name), now()).expect("fit");
        assert_eq!(again.issue([HOST, "*.google.com"].into_iter(), now()).expect("issuer").serial, bundle.serial);
        assert!(authority.rotate(penstock_control::ca::RotationStep::Announce, now()).is_err());
    }
}

/// The certificates above the authority go along, in one file or in several; what clients trust is the topmost.
#[test]
fn intermediates_go_along_and_the_topmost_is_shown() {
    let Some(enterprise) = Enterprise::new() else { return };
    enterprise.sub("policy", "P-384", CA);
    enterprise.key("proxy", "P-256");
    enterprise.sign("proxy", "policy", CA, 365);
    let mut files = enterprise.files("proxy");
    files.chain = vec![enterprise.path("policy.pem"), enterprise.path("root.pem")];
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), files.clone(), now()).expect("fit");
    assert_eq!(authority.issue([HOST].into_iter(), now()).expect("issuer").chain.len(), 4);
    let text = |name: &str| fs::read_to_string(enterprise.path(name)).expect("file");
    assert_eq!(authority.root_pem(), text("root.pem"));
    fs::write(enterprise.path("full.pem"), text("proxy.pem") + &text("policy.pem")).expect("file");
    let full = OperatorFiles { certificate: enterprise.path("full.pem"), chain: Vec::new(), ..files.clone() };
    let authority = open(state.path(), full, now()).expect("fit");
    assert_eq!(authority.issue([HOST].into_iter(), now()).expect("issuer").chain.len(), 3);
    files.chain.reverse();
    let said = refusal(files, now());
    assert!(said.contains("root.pem") && said.contains("not issued by"), "{said}");
}

/// h103: everything that would let clients refuse what is signed is refused at the start, by file and reason.
#[test]
fn h103_an_operators_authority_that_must_not_be_used_is_refused() {
    let Some(enterprise) = Enterprise::new() else { return };
    enterprise.sub("good", "P-256", CA);
    enterprise.sub("other", "P-256", CA);
    let named = |files: OperatorFiles, at: i64, file: &str, reason: &str| {
        let said = refusal(files, at);
        assert!(said.contains(&format!("/{file}: ")) && said.contains(reason), "{file}: {reason}: {said}");
    };
    let good = || enterprise.files("good");
    for (name, extensions, reason) in [
        ("depth", CA.replace("CA:TRUE", "CA:TRUE,pathlen:0"), "path length is 0"),
        ("leaf", CA.replace("CA:TRUE", "CA:FALSE").replace("keyCertSign,cRLSign", "digitalSignature"), "keyCertSign"),
        ("plain", "subjectKeyIdentifier=hash\n".to_owned(), "no CA certificate"),
        ("mail", format!("{CA}extendedKeyUsage=emailProtection\n"), "serverAuth"),
        (
            "people",
            format!("{CA}nameConstraints=critical,permitted;dirName:people\n[people]\nO=Contoso\n"),
            "O=Penstock",
        ),
    ] {
        enterprise.sub(name, "P-256", &extensions);
        named(enterprise.files(name), now(), &format!("{name}.pem"), reason);
    }
    named(good(), now() + 400 * DAY, "good.pem", "expired at");
    named(good(), now() - 2 * DAY, "good.pem", "not valid before");
    named(
        OperatorFiles { key: enterprise.path("other.key"), ..good() },
        now(),
        "other.key",
        "not the key of the certificate",
    );
    named(OperatorFiles { key: enterprise.path("none.key"), ..good() }, now(), "none.key", "no such file");
    named(OperatorFiles { certificate: enterprise.path("none.pem"), ..good() }, now(), "none.pem", "no such file");
    named(OperatorFiles { certificate: enterprise.path("good.key"), ..good() }, now(), "good.key", "must be PEM");
    enterprise.run("pkey -in good.key -aes256 -passout pass:x -out locked.key");
    fs::set_permissions(enterprise.path("locked.key"), fs::Permissions::from_mode(0o600)).expect("mode");
    named(OperatorFiles { key: enterprise.path("locked.key"), ..good() }, now(), "locked.key", "encrypted");
    fs::write(enterprise.path("weak.key"), enterprise.run("genrsa 1024")).expect("file");
    fs::set_permissions(enterprise.path("weak.key"), fs::Permissions::from_mode(0o600)).expect("mode");
    named(OperatorFiles { key: enterprise.path("weak.key"), ..good() }, now(), "weak.key", "2048");
    for loose in [0o644, 0o640] {
        fs::set_permissions(enterprise.path("good.key"), fs::Permissions::from_mode(loose)).expect("mode");
        named(good(), now(), "good.key", "open to others");
    }
}

/// Name constraints above our issuer bind it: a host that they exclude is named when the policy asks for it.
#[test]
fn name_constraints_of_the_enterprise_are_met_or_named() {
    let Some(enterprise) = Enterprise::new() else { return };
    let with = |constraints: &str| format!("{CA}nameConstraints=critical,{constraints}\n");
    enterprise.sub("some", "P-256", &with("permitted;DNS:microsoftonline.com,permitted;DNS:.google.com"));
    enterprise.sub("most", "P-256", &with("excluded;DNS:bank.example,excluded;DNS:mail.google.com"));
    let state = tempfile::tempdir().expect("directory");
    let issue = |name: &str, host: &'static str| {
        let authority = open(state.path(), enterprise.files(name), now()).expect("fit");
        authority.issue([host].into_iter(), now()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (name, host) in [
        ("some", HOST),
        ("some", "*.google.com"),
        ("some", "accounts.google.com"),
        ("most", HOST),
        ("most", "accounts.google.com"),
    ] {
        assert_eq!(issue(name, host), Ok(()), "{name}: {host}");
    }
    for (name, host) in
        [("some", "claude.ai"), ("some", "*.com"), ("most", "www.bank.example"), ("most", "*.google.com")]
    {
        let said = issue(name, host).expect_err("a refusal");
        let host = host.trim_start_matches("*.");
        assert!(said.contains(&format!("{name}.pem: ")) && said.contains(&format!("exclude {host}")), "{said}");
    }
}

/// h103: files that are replaced while control runs: a fit authority is taken, an unfit one leaves the old pair in use.
#[test]
fn h103_an_authority_that_is_replaced_is_taken_when_it_is_fit() {
    let Some(enterprise) = Enterprise::new() else { return };
    enterprise.sub("proxy", "P-256", CA);
    let state = tempfile::tempdir().expect("directory");
    let authority = open(state.path(), enterprise.files("proxy"), now()).expect("fit");
    let (before, bundle) = (authority.root(), authority.issue([HOST].into_iter(), now()).expect("issuer"));
    authority.tend(now()).expect("nothing changed");
    assert!(authority.stands_behind(&bundle));
    // The key is written first: for a moment it is that of another certificate.
    enterprise.key("proxy", "rsa:2048");
    assert!(authority.tend(now()).is_err());
    assert_eq!(authority.root(), before);
    assert!(authority.stands_behind(&authority.issue([HOST].into_iter(), now()).expect("issuer")));
    enterprise.sign("proxy", "root", CA, 365);
    authority.tend(now()).expect("taken");
    assert!(authority.root() != before && !authority.stands_behind(&bundle));
    assert_ne!(authority.issue([HOST].into_iter(), now()).expect("issuer").serial, bundle.serial);
}
