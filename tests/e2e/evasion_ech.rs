//! Encrypted ClientHello against a real client of it: ECH is rejected under the public name so that the client believes it,
//! and its next hello tells the true name.

use std::io;
use std::sync::Arc;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::certificate::Shown;
use penstock_tests::client::{self, Client};
use penstock_tests::place;
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;
use rustls::client::{EchConfig, EchGreaseConfig, EchMode, EchStatus};
use rustls::crypto::aws_lc_rs::{self, hpke};
use rustls::crypto::hpke::Hpke as _;
use rustls::pki_types::{EchConfigListBytes, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, PeerIncompatible};

const CLAUDE: &str = "claude.ai";
const PUBLIC: &str = "cloudflare-ech.com";

/// An ECHConfigList (RFC 9849 section 4) with a key that nobody has.
fn config_list(public_name: &str) -> Vec<u8> {
    let (key, _) = hpke::DH_KEM_X25519_HKDF_SHA256_AES_128.generate_key_pair().unwrap();
    let vector = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let mut contents = vec![7, 0, 0x20];
    contents.extend(vector(&key.0));
    contents.extend(vector(&[0, 1, 0, 1]));
    contents.extend([64, u8::try_from(public_name.len()).unwrap()]);
    contents.extend(public_name.as_bytes());
    contents.extend(vector(&[]));
    vector(&[&[0xfe, 0x0d][..], &vector(&contents)].concat())
}

fn real(public_name: &str) -> EchMode {
    let list = EchConfigListBytes::from(config_list(public_name));
    EchConfig::new(list, hpke::ALL_SUPPORTED_SUITES).unwrap().into()
}

fn grease() -> EchMode {
    let suite = hpke::DH_KEM_X25519_HKDF_SHA256_AES_128;
    EchMode::Grease(EchGreaseConfig::new(suite, suite.generate_key_pair().unwrap().0))
}

/// A client with ECH that trusts the appliance alone.
fn config(appliance: &Appliance, ech: EchMode) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_ech(ech)
        .unwrap()
        .with_root_certificates(client::roots(&[&appliance.root()]))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Shakes hands for `name` in a tunnel to `authority`: what the client says of ECH, and the error that ended it.
fn hidden(appliance: &Appliance, authority: &str, name: &str, ech: EchMode) -> (EchStatus, Option<Error>) {
    let mut stream = appliance.tunnel(authority);
    let server = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(config(appliance, ech), server).unwrap();
    let mut outcome: io::Result<()> = Ok(());
    while connection.is_handshaking() && outcome.is_ok() {
        outcome = connection.complete_io(&mut stream).map(|_| ());
    }
    let inner = |error: io::Error| error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).cloned();
    let error = outcome.err().map(|error| inner(error).unwrap());
    let _ = tunnel::drain(&mut stream);
    (connection.ech_status(), error)
}

/// The client verified the public name and was given no new keys: it may go on without ECH.
fn is_secure_rejection(outcome: &(EchStatus, Option<Error>)) -> bool {
    matches!(
        outcome,
        (
            EchStatus::Rejected,
            Some(Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(None)))
        )
    )
}

fn policy(more: &str) -> String {
    format!("{}\n{more}", place::read(place::example_policy()))
}

#[test]
fn h013_real_ech_is_rejected_and_the_retry_is_inspected() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    // A browser puts the true name into its CONNECT; a client that hides it there too gets no further.
    for authority in [CLAUDE, PUBLIC, "www.example.org"] {
        let outcome = hidden(&appliance, authority, CLAUDE, real(PUBLIC));
        assert!(is_secure_rejection(&outcome), "{authority}: {outcome:?}\n{}", appliance.log());
    }
    assert!(upstream.requests().is_empty());
    let mut client = appliance.client(CLAUDE);
    assert_eq!(client.get(CLAUDE, "/").status, 200);
    assert_eq!(upstream.await_requests(1)[0].values("anthropic-allowed-org-ids").count(), 1);

    let admin = appliance.admin();
    wait::until("the rejections to be counted", || {
        let metrics = admin.metrics();
        (metrics.sum("penstock_flows_total", &["reason=\"ech_rejected\""]) == 3.0).then_some(())
    });
    let faults = admin.metrics().sum("penstock_faults_total", &["leg=\"downstream\"", "phase=\"handshake\""]);
    assert_eq!(faults, 0.0, "a rejection that the client understood is no fault");
    assert!(admin.events("").iter().all(|event| event["sni"] != PUBLIC), "nor an event of its own");
}

#[test]
fn h013_the_policy_names_more_public_names() {
    let upstream = Upstream::plan().start();
    let listed = policy("[ech]\npublic_names = [\"outer.provider.example\"]\n");
    let appliance = Setup::default().policy(&listed).upstream(&upstream).start();
    let outcome = hidden(&appliance, CLAUDE, CLAUDE, real("outer.provider.example"));
    assert!(is_secure_rejection(&outcome), "{outcome:?}");
    // Another one is not known, and its tunnel leads to an inspected host.
    let (status, error) = hidden(&appliance, CLAUDE, CLAUDE, real("other.provider.example"));
    assert!(status != EchStatus::Accepted && matches!(error, Some(Error::AlertReceived(_))), "{error:?}");
    let events = appliance.admin().await_events("status=denied", 1);
    assert_eq!((&events[0]["code"], &events[0]["sni"]), (&"ech_denied".into(), &"other.provider.example".into()));
    assert!(upstream.requests().is_empty());
}

#[test]
fn h013_nothing_is_relayed_to_a_client_that_goes_on() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    // GREASE under the public name: the handshake is whole, and then nothing follows.
    let stream = appliance.tunnel(PUBLIC);
    let mut client = Client::connect(stream, PUBLIC, config(&appliance, grease())).unwrap();
    let _ = client.try_send(format!("GET / HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    assert_eq!(client.rest(), b"");
    let _ = client.try_send(format!("GET /2 HTTP/1.1\r\nHost: {CLAUDE}\r\n\r\n"));
    assert!(upstream.seen().iter().all(|seen| seen.bytes.is_empty()));
}

#[test]
fn h013_no_leaf_for_a_public_name_that_the_origin_does_not_prove() {
    let upstream = Upstream::plan().showing(Shown::WrongName).start();
    let appliance = Appliance::before(&upstream);
    let (_, error) = hidden(&appliance, CLAUDE, CLAUDE, real(PUBLIC));
    assert!(matches!(error, Some(Error::AlertReceived(_))), "{error:?}");
    assert_eq!(appliance.admin().metrics().sum("penstock_leaf_minted_total", &[]), 0.0);
    let events = appliance.admin().await_events("status=fault", 1);
    assert_eq!(events[0]["fault"], "upstream/verify/certificate_name");
}

#[test]
fn h013_modes_of_ech() {
    let upstream = Upstream::plan().start();
    let denying = policy("[ech]\nmode = \"deny\"\n");
    let appliance = Setup::default().policy(&denying).upstream(&upstream).start();
    let (_, error) = hidden(&appliance, "www.example.org", CLAUDE, real(PUBLIC));
    assert!(matches!(error, Some(Error::AlertReceived(_))), "{error:?}");
    assert_eq!(appliance.admin().await_events("status=denied", 1)[0]["code"], "ech_denied");

    appliance.admin().apply(&policy("[ech]\nmode = \"pass\"\n"));
    let mut stream = appliance.tunnel("www.example.org");
    let server = ServerName::try_from(CLAUDE).unwrap();
    let mut connection = ClientConnection::new(config(&appliance, real(PUBLIC)), server).unwrap();
    while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
    let sni = wait::until("the origin to see a hello", || upstream.seen().pop());
    drop(sni);
    assert_eq!(appliance.admin().metrics().sum("penstock_leaf_minted_total", &[]), 0.0);
}

#[test]
fn h012_grease_towards_an_inspected_host_signs_in() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let mut client = appliance.client_with(STAFF, CLAUDE, config(&appliance, grease())).unwrap();
    assert_eq!(client.connection().ech_status(), EchStatus::Grease);
    assert_eq!(client.get(CLAUDE, "/").status, 200);
    assert_eq!(upstream.await_requests(1).len(), 1);
}

#[test]
fn the_verdict_on_ech_can_be_asked_for() {
    let upstream = Upstream::plan().start();
    let appliance = Appliance::before(&upstream);
    let ask = |arguments: &[&str]| {
        let output = appliance.penstock(&[&["explain", "--json"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (answer["verdict"].as_str().unwrap().to_owned(), answer["reason"].as_str().unwrap().to_owned())
    };
    let pair = |verdict: &str, reason: &str| (verdict.to_owned(), reason.to_owned());
    assert_eq!(ask(&["--sni", PUBLIC, "--ech", "--authority", CLAUDE]), pair("deny", "ech_rejected"));
    assert_eq!(ask(&["--sni", "o.example", "--ech", "--authority", CLAUDE]), pair("deny", "ech_denied"));
    assert_eq!(ask(&["--sni", PUBLIC]), pair("pass", "not_listed"));
    assert_eq!(ask(&["--sni", "o.example", "--destination-host", CLAUDE]), pair("pass", "connector_address"));
    assert_eq!(ask(&["--destination-host", CLAUDE]), pair("deny", "connector_address"));
}
