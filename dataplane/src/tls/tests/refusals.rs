//! Upstreams that must be refused, and what the fault says. None of them leaves a proof, so none gets a leaf.

use penstock_core::flow::{FaultKind, Leg};
use rcgen::{
    BasicConstraints, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair, NameConstraints, SanType,
};
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::CertificateDer;

use super::bed::{Bed, EACH, HOST, Shard, upstream};
use super::origin::{ClientAuth, Identity, TestCa, expired, not_yet_valid, self_signed, server_config};
use crate::tls::fault::kind_of;

/// Meets an origin, asserts that there is no proof, and answers with the fault.
fn refusal(shard: &Shard, name: &str, identity: &Identity) -> FaultKind {
    let origin = server_config(identity, rustls::ALL_VERSIONS, ClientAuth::None);
    let mut pair = upstream(shard, name, &origin, usize::MAX);
    let fault = pair.run().expect_err("a refusal");
    assert!(pair.ours.verified().is_none());
    assert!(pair.at_peer.is_empty(), "no request is sent to it");
    // The peer learns by an alert.
    assert!(matches!(pair.peer_error, Some(rustls::Error::AlertReceived(_))), "{:?}", pair.peer_error);
    fault
}

#[test]
fn h096_untrusted_upstreams_get_no_leaf() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let names = [HOST];
        let stranger = TestCa::new("stranger");
        let middle = bed.ca.intermediate("middle");
        for (what, identity, fault) in [
            ("expired", bed.ca.server(&names, expired), FaultKind::CertificateTime),
            ("not yet valid", bed.ca.server(&names, not_yet_valid), FaultKind::CertificateTime),
            ("wrong name", bed.ca.server(&["other.saas.example"], |_| {}), FaultKind::CertificateName),
            ("self-signed", self_signed(HOST), FaultKind::CertificateUnknown),
            ("unknown root", stranger.server(&names, |_| {}), FaultKind::CertificateUnknown),
            ("missing intermediate", middle.server(&names, |_| {}), FaultKind::CertificateUnknown),
        ] {
            assert_eq!(refusal(&shard, HOST, &identity), fault, "{what}");
        }
        let mut whole = middle.server(&names, |_| {});
        whole.chain.push(middle.certificate.clone());
        let origin = server_config(&whole, rustls::ALL_VERSIONS, ClientAuth::None);
        assert_eq!(upstream(&shard, HOST, &origin, usize::MAX).run(), Ok(()));
    }
}

#[test]
fn h097_names_are_never_read_wider_than_browsers_do() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let common_name = |name: &'static str| {
            bed.ca.server(&[], move |params| params.distinguished_name.push(DnType::CommonName, name))
        };
        for (name, identity) in [
            (HOST, common_name(HOST)),
            (HOST, bed.ca.server(&["*.example"], |_| {})),
            (HOST, bed.ca.server(&["log*.saas.example"], |_| {})),
            (HOST, bed.ca.server(&["login.*.example"], |_| {})),
            (HOST, bed.ca.server(&["*"], |_| {})),
            (HOST, bed.ca.server(&["*.login.saas.example"], |_| {})),
            ("a.login.saas.example", bed.ca.server(&["*.saas.example"], |_| {})),
            ("saas.example", bed.ca.server(&["*.saas.example"], |_| {})),
            ("brand.co.uk", bed.ca.server(&["*.co.uk"], |_| {})),
            ("brand.com", bed.ca.server(&["*.com"], |_| {})),
        ] {
            let fault = refusal(&shard, name, &identity);
            assert!(matches!(fault, FaultKind::CertificateName | FaultKind::Certificate), "{name}: {fault}");
        }
        for (name, presented) in [
            (HOST, "*.saas.example"),
            (HOST, "LOGIN.SaaS.example"),
            ("brand.co.uk", "brand.co.uk"),
            ("bucket.s3.amazonaws.com", "*.s3.amazonaws.com"),
            ("a_b.saas.example", "a_b.saas.example"),
        ] {
            let identity = bed.ca.server(&[presented], |_| {});
            let origin = server_config(&identity, rustls::ALL_VERSIONS, ClientAuth::None);
            assert_eq!(upstream(&shard, name, &origin, usize::MAX).run(), Ok(()), "{presented}");
        }
    }
}

/// What limbo has as chains, once more through a handshake.
#[test]
fn h098_unsound_certificates_are_refused() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let purposes = |purposes: Vec<ExtendedKeyUsagePurpose>| {
            bed.ca.server(&[HOST], move |params| params.extended_key_usages = purposes)
        };
        let constrained = bed.ca.intermediate_with("constrained", |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName("elsewhere.example".into())],
                excluded_subtrees: vec![],
            });
        });
        let mut outside = constrained.server(&[HOST], |_| {});
        outside.chain.push(constrained.certificate.clone());
        for (what, identity) in [
            ("no purpose", purposes(vec![])),
            ("another purpose", purposes(vec![ExtendedKeyUsagePurpose::ClientAuth])),
            ("any purpose", purposes(vec![ExtendedKeyUsagePurpose::Any])),
            ("an authority", bed.ca.server(&[HOST], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            ("outside the name constraints", outside),
            (
                "an unknown critical extension",
                bed.ca.server(&[HOST], |params| {
                    let mut extension =
                        rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0]);
                    extension.set_criticality(true);
                    params.custom_extensions.push(extension);
                }),
            ),
            (
                "an address as a name",
                bed.ca.server(&[], |params| {
                    params.subject_alt_names = vec![SanType::DnsName("192.0.2.1".try_into().expect("text"))];
                }),
            ),
        ] {
            let fault = refusal(&shard, HOST, &identity);
            assert!(matches!(fault, FaultKind::Certificate | FaultKind::CertificateName), "{what}: {fault}");
        }
    }
}

/// Chains whose only point is their cost: refused before a signature is checked, or by the bound on the message.
#[test]
fn h099_costly_chains_are_refused() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let honest = || bed.ca.server(&[HOST], |_| {});
        let filler: Vec<CertificateDer<'static>> =
            (0..100).map(|number| bed.ca.intermediate(&format!("filler {number}")).certificate).collect();
        let mut hundred = honest();
        hundred.chain.extend(filler.clone());
        assert_eq!(refusal(&shard, HOST, &hundred), FaultKind::TooMany);
        let mut sixteen = honest();
        sixteen.chain.extend(filler[..15].to_vec());
        let origin = server_config(&sixteen, rustls::ALL_VERSIONS, ClientAuth::None);
        assert_eq!(upstream(&shard, HOST, &origin, usize::MAX).run(), Ok(()));

        let mut megabyte = honest();
        while megabyte.chain.iter().map(|certificate| certificate.len()).sum::<usize>() < 1024 * 1024 {
            megabyte.chain.extend(filler.clone());
        }
        let origin = server_config(&megabyte, rustls::ALL_VERSIONS, ClientAuth::None);
        assert_eq!(upstream(&shard, HOST, &origin, usize::MAX).run(), Err(FaultKind::TooLarge));
        // Authorities of one name: any of them may come behind any other.
        let walls: Vec<TestCa> = (0..15).map(|_| TestCa::new("maze")).collect();
        let mut maze = walls[0].server(&[HOST], |_| {});
        maze.chain.extend(walls.iter().zip(&walls[1..]).map(|(wall, next)| next.certify(wall)));
        assert_eq!(refusal(&shard, HOST, &maze), FaultKind::TooMany);
        // The same certificate as often as may be is one step.
        let mut again = honest();
        again.chain.extend(vec![bed.ca.certificate.clone(); 15]);
        let origin = server_config(&again, rustls::ALL_VERSIONS, ClientAuth::None);
        assert_eq!(upstream(&shard, HOST, &origin, usize::MAX).run(), Ok(()));
        // Authorities that certify each other: no path leads out.
        let (one, other) = (TestCa::new("one"), TestCa::new("other"));
        let mut cycle = one.server(&[HOST], |_| {});
        cycle.chain.extend([other.certify(&one), one.certify(&other)]);
        assert_eq!(refusal(&shard, HOST, &cycle), FaultKind::CertificateUnknown);
    }
}

/// The appliance cannot show a device's certificate; going on without it would sign in with less than was asked for.
#[test]
fn h044_a_request_for_a_client_certificate_is_a_fault() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let identity = bed.ca.server(&[HOST], |_| {});
        for version in [&TLS12, &TLS13] {
            for asks in [ClientAuth::Optional, ClientAuth::Required] {
                let origin = server_config(&identity, &[version], asks);
                let mut pair = upstream(&shard, HOST, &origin, usize::MAX);
                assert_eq!(pair.run(), Err(FaultKind::ClientCertificate), "{version:?}, {asks:?}");
                assert!(pair.ours.verified().is_none());
            }
            // The next connection of the shard is not blamed.
            let origin = server_config(&identity, &[version], ClientAuth::None);
            assert_eq!(upstream(&shard, HOST, &origin, usize::MAX).run(), Ok(()));
        }
    }
}

/// A server that shows a certificate whose key it does not have.
#[test]
fn a_stolen_certificate_is_worth_nothing() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let mut stolen = bed.ca.server(&[HOST], |_| {});
        stolen.key = KeyPair::generate().expect("key");
        let origin = server_config(&stolen, rustls::ALL_VERSIONS, ClientAuth::None);
        let mut pair = upstream(&shard, HOST, &origin, usize::MAX);
        assert_eq!(pair.run(), Err(FaultKind::Certificate));
        assert!(pair.ours.verified().is_none());
    }
}

#[test]
fn alerts_of_a_downstream_about_the_certificate_mean_no_trust() {
    use rustls::{AlertDescription, Error};
    for (alert, fault) in [
        (AlertDescription::UnknownCA, FaultKind::Untrusted),
        (AlertDescription::BadCertificate, FaultKind::Untrusted),
        (AlertDescription::CertificateUnknown, FaultKind::Untrusted),
        (AlertDescription::CertificateExpired, FaultKind::Untrusted),
        (AlertDescription::HandshakeFailure, FaultKind::Tls),
        (AlertDescription::InternalError, FaultKind::Tls),
    ] {
        assert_eq!(kind_of(Leg::Downstream, &Error::AlertReceived(alert)), fault);
        assert_eq!(kind_of(Leg::Upstream, &Error::AlertReceived(alert)), FaultKind::Tls);
    }
}

/// Bytes that are no TLS, or TLS of another connection, are a fault and never a panic.
#[test]
fn noise_is_a_fault() {
    let bed = Bed::new();
    for engines in EACH {
        let shard = bed.shard_by(engines);
        let origin = bed.origin(HOST);
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..200 {
            let mut pair = upstream(&shard, HOST, &origin, usize::MAX);
            let noise: Vec<u8> = (0..300)
                .map(|index| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    // Half of the rounds begin like a record, with any length.
                    match (round % 2, index) {
                        (0, 0) => 22,
                        (0, 1 | 2) => 3,
                        _ => seed.to_be_bytes()[0],
                    }
                })
                .collect();
            pair.to_ours.bytes.extend(noise);
            while pair.ours.read_tls(&mut pair.to_ours).is_ok() {
                if pair.ours.process().is_err() {
                    break;
                }
            }
            assert_eq!(pair.ours.read_tls(&mut std::io::empty()).expect("end"), 0);
            assert!(pair.ours.process().is_err() && pair.ours.verified().is_none());
        }
    }
}
