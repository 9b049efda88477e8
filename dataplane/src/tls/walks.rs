//! How many steps the search for a path can take, told from names alone before any is taken.
//!
//! webpki tries each order in which certificates could follow each other by their names, and gives up after 200,000 steps: a
//! tenth of a second in which the shard does nothing else, at the price of one handshake. Real chains need a few.

use penstock_core::limits::UPSTREAM_CHAIN_STEPS_MAX;
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::refusal::ChainRefusal;

/// Refuses a chain in which there are too many ways up from the leaf.
pub(super) fn check(leaf: &EndEntityCert<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), ChainRefusal> {
    if intermediates.len() <= FEW {
        return Ok(());
    }
    // What cannot be read is no step, for webpki neither; nor is a certificate that comes again.
    let fresh = intermediates
        .iter()
        .enumerate()
        .filter(|(at, certificate)| !intermediates.get(..*at).unwrap_or_default().contains(certificate));
    let certificates: Vec<EndEntityCert<'_>> =
        fresh.filter_map(|(_, certificate)| EndEntityCert::try_from(certificate).ok()).collect();
    // How many ways of the same length end at each certificate.
    let mut ways: Vec<u64> =
        certificates.iter().map(|certificate| u64::from(certificate.subject() == leaf.issuer())).collect();
    let mut steps: u64 = ways.iter().sum();
    for _ in 1..DEPTH_MAX {
        let onward = certificates.iter().enumerate().map(|(to, above)| {
            let below = certificates.iter().zip(&ways).enumerate().filter(|(from, _)| *from != to);
            below.filter(|(_, (below, _))| below.issuer() == above.subject()).map(|(_, (_, ways))| *ways).sum()
        });
        ways = onward.collect();
        steps = steps.saturating_add(ways.iter().sum());
    }
    if steps > UPSTREAM_CHAIN_STEPS_MAX { Err(ChainRefusal::TooMany) } else { Ok(()) }
}

/// So many certificates have no more than 64 ways.
const FEW: usize = 4;
/// Authorities of one path, for webpki.
const DEPTH_MAX: usize = 6;
