//! The two TLS engines on both legs, as the policy chooses, against OpenSSL on the outside.

use penstock_core::metrics::FAULTS_TOTAL;
use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::openssl::{self, OpensslServer};
use penstock_tests::place;
use penstock_tests::upstream::Upstream;
use penstock_tests::wait;

const ENTRA: &str = "login.microsoftonline.com";
const TENANTS: &str =
    "Restrict-Access-To-Tenants: contoso.com,fabrikam.onmicrosoft.com,aaaabbbb-0000-cccc-1111-dddd2222eeee";
const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
const BORING_UPSTREAM: &str = "upstream = \"boring\"";
const BORING_DOWNSTREAM: &str = "downstream = \"boring\"";
const LEGACY: &str = "upstream = \"boring\"\nlegacy = true";

/// The example policy, with an engine for Entra as `keys` say.
fn policy(keys: &str) -> String {
    format!("{}\n[[engine]]\nhosts = [\"{ENTRA}\"]\n{keys}\n", place::read(place::example_policy()))
}

fn setup(keys: &str) -> Setup {
    Setup::default().policy(&policy(keys)).shards(1)
}

/// With `server` behind Entra alone.
fn before_openssl(keys: &str, server: &OpensslServer) -> Appliance {
    setup(keys).host(ENTRA, server.address()).authority(server.ca()).start()
}

/// Whether Entra was inspected by these engines, and by no others.
fn assert_engines(appliance: &Appliance, upstream: &str, downstream: &str) {
    let admin = appliance.admin();
    wait::until("the handshakes to be counted", || {
        let metrics = admin.metrics();
        let count = |labels: &[&str]| metrics.sum("penstock_handshakes_total", labels);
        let (up, down) = (format!("engine=\"{upstream}\""), format!("engine=\"{downstream}\""));
        let by_these = (count(&["leg=\"upstream\"", &up]), count(&["leg=\"downstream\"", &down]));
        let all = (count(&["leg=\"upstream\""]), count(&["leg=\"downstream\""]));
        (by_these.0 >= 1.0 && by_these == all).then_some(())
    });
}

/// Waits until an origin's handshake was given up, which must be for this reason.
fn await_fault(appliance: &Appliance, kind: &str, what: &str) {
    let admin = appliance.admin();
    wait::until("a fault to be counted", || {
        let metrics = admin.metrics();
        let count = |labels: &[&str]| metrics.sum(FAULTS_TOTAL.name, labels);
        let all = count(&["leg=\"upstream\""]);
        let these = count(&["leg=\"upstream\"", &format!("kind=\"{kind}\"")]);
        assert!(all == these, "{what}: not for {kind}: {:?}", metrics.series(FAULTS_TOTAL.name));
        (these >= 1.0).then_some(())
    });
}

#[test]
fn headers_are_set_by_either_engine_on_either_leg() {
    let upstream = Upstream::plan().start();
    let both = format!("{BORING_UPSTREAM}\n{BORING_DOWNSTREAM}");
    for (keys, up, down) in [
        ("", "rustls", "rustls"),
        (BORING_UPSTREAM, "boring", "rustls"),
        (BORING_DOWNSTREAM, "rustls", "boring"),
        (both.as_str(), "boring", "boring"),
    ] {
        let appliance = setup(keys).upstream(&upstream).start();
        let mut client = appliance.client(ENTRA);
        assert_eq!(client.alpn().as_deref(), Some(&b"http/1.1"[..]));
        let body = "x".repeat(300_000);
        let head = format!("POST / HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: {}\r\n", body.len());
        client.send(format!("{head}restrict-access-to-tenants: evil.example\r\n\r\n{body}"));
        assert_eq!(client.answer().status, 200, "{keys}");
        let request = upstream.requests().pop().unwrap();
        assert_eq!(request.body, body.as_bytes());
        assert!(TENANTS.ends_with(request.values("restrict-access-to-tenants").next().unwrap()));
        assert_eq!(request.values("restrict-access-to-tenants").count(), 1);
        assert_engines(&appliance, up, down);
        assert!(upstream.seen().iter().all(|seen| seen.violation.is_none()));
    }
}

/// TLS 1.0 with static RSA and CBC: refused by every choice of engines but the one that says so.
#[test]
fn a_legacy_origin_is_reached_only_where_the_policy_says_so() {
    let arguments = ["-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"];
    for keys in ["", BORING_UPSTREAM, BORING_DOWNSTREAM] {
        let Some(server) = OpensslServer::start(ENTRA, &arguments) else { return };
        let appliance = before_openssl(keys, &server);
        assert!(appliance.try_client(ENTRA).is_err(), "{keys}");
        await_fault(&appliance, "tls", keys);
        assert!(!server.said().contains("GET "), "{keys}");
    }
    let Some(mut server) = OpensslServer::start(ENTRA, &arguments) else { return };
    let appliance = before_openssl(LEGACY, &server);
    let mut client = appliance.client(ENTRA);
    client.send(format!("GET /legacy HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
    let said = server.await_text("\r\n\r\n");
    assert!(said.contains("GET /legacy HTTP/1.1") && said.contains(TENANTS), "{said}");
    assert!(said.contains("TLSv1\n") || said.contains("AES128-SHA"), "{said}");
    server.send(FINE);
    assert_eq!(client.answer().text(), "fine");
    assert_engines(&appliance, "boring", "rustls");
}

/// The leave for old versions is none for wrong certificates.
#[test]
fn a_legacy_origin_is_verified_like_any_other() {
    let arguments = ["-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"];
    for (name, trusted, fault) in [("other.example", true, "certificate_name"), (ENTRA, false, "certificate_unknown")] {
        let Some(server) = OpensslServer::start(name, &arguments) else { return };
        let stranger = Upstream::plan().start();
        let authority = if trusted { server.ca() } else { stranger.ca() };
        let appliance = setup(LEGACY).host(ENTRA, server.address()).authority(authority).start();
        assert!(appliance.try_client(ENTRA).is_err(), "{name}");
        await_fault(&appliance, fault, name);
    }
}

/// Each version that both speak, a group that needs a second hello, and the application protocol.
#[test]
fn openssl_as_origin_is_reached_by_either_engine() {
    for keys in ["", BORING_UPSTREAM] {
        for arguments in [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_3", "-groups", "P-384"]] {
            let arguments = [arguments, &["-alpn", "http/1.1"]].concat();
            let Some(mut server) = OpensslServer::start(ENTRA, &arguments) else { return };
            let appliance = before_openssl(keys, &server);
            let mut client = appliance.client(ENTRA);
            client.send(format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n"));
            let said = server.await_text("\r\n\r\n");
            assert!(said.contains(TENANTS), "{keys} {arguments:?}: {said}");
            assert!(said.contains("ALPN protocols selected: http/1.1"), "{keys} {arguments:?}: {said}");
            server.send(FINE);
            assert_eq!(client.answer().text(), "fine", "{keys} {arguments:?}");
        }
    }
}

/// Asked for in any version, with any list of algorithms, also one that no key of ours would fit.
#[test]
fn openssl_that_asks_for_a_client_certificate_is_refused_by_either_engine() {
    for (keys, versions) in
        [("", &["-tls1_2", "-tls1_3"][..]), (BORING_UPSTREAM, &["-tls1_2", "-tls1_3"]), (LEGACY, &["-tls1"])]
    {
        for version in versions {
            for algorithms in ["RSA-PSS+SHA256:RSA+SHA256", "ECDSA+SHA256:RSA+SHA256:RSA-PSS+SHA256"] {
                let arguments = [*version, "-verify", "1", "-client_sigalgs", algorithms, "-cipher", "ALL:@SECLEVEL=0"];
                let Some(server) = OpensslServer::start(ENTRA, &arguments) else { return };
                let appliance = before_openssl(keys, &server);
                assert!(appliance.try_client(ENTRA).is_err(), "{keys} {arguments:?}");
                await_fault(&appliance, "client_certificate", &format!("{keys} {arguments:?}"));
                assert!(!server.said().contains("BEGIN CERTIFICATE") && !server.said().contains("GET "));
            }
        }
    }
}

/// What OpenSSL's client prints of a request through `appliance`.
fn openssl_client(appliance: &Appliance, arguments: &[&str], input: &str, until: &str) -> Option<String> {
    let (proxy, root) = (appliance.proxy().to_string(), appliance.root());
    let target = format!("{ENTRA}:443");
    let fixed = ["-proxy", &proxy, "-connect", &target, "-servername", ENTRA, "-verify_return_error", "-CAfile"];
    let arguments = [&fixed[..], &[root.to_str().unwrap()], arguments].concat();
    let output = openssl::client(&arguments, input, until)?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn openssl_as_client_is_served_and_resumed_by_either_engine() {
    let upstream = Upstream::plan().start();
    let directory = tempfile::TempDir::new().unwrap();
    for (number, keys) in ["", BORING_DOWNSTREAM].into_iter().enumerate() {
        let appliance = setup(keys).upstream(&upstream).start();
        let get = format!("GET / HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n");
        for version in [&["-tls1_2"][..], &["-tls1_3"], &["-tls1_3", "-groups", "P-521:P-256"]] {
            let session = directory.path().join(format!("{number}{}", version.join("")));
            let session = session.to_str().unwrap();
            let arguments = [version, &["-alpn", "http/1.1", "-sess_out", session]].concat();
            let Some(said) = openssl_client(&appliance, &arguments, &get, "fine") else { return };
            assert!(said.contains("Verify return code: 0 (ok)"), "{keys} {version:?}: {said}");
            assert!(said.contains("ALPN protocol: http/1.1") && said.contains("200 OK"), "{keys} {version:?}: {said}");
            assert!(said.contains("New, "), "{keys} {version:?}: {said}");
            let arguments = [version, &["-alpn", "http/1.1", "-sess_in", session]].concat();
            let Some(said) = openssl_client(&appliance, &arguments, &get, "fine") else { return };
            assert!(said.contains("Reused, ") && said.contains("200 OK"), "{keys} {version:?}: {said}");
        }
        assert_engines(&appliance, "rustls", if keys.is_empty() { "rustls" } else { "boring" });
    }
}

#[test]
fn renegotiation_is_refused_by_either_engine() {
    let upstream = Upstream::plan().start();
    for keys in ["", BORING_DOWNSTREAM] {
        let appliance = setup(keys).upstream(&upstream).start();
        // `R` is the client's word for it; it goes on until the connection ends.
        let Some(said) = openssl_client(&appliance, &["-tls1_2"], "R\n", "never printed") else { return };
        assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{keys}: {said}");
    }
    assert!(upstream.requests().is_empty());
}
