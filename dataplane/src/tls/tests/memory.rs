//! What is remembered of origins: for whom, for how long, and when no longer.

use std::net::IpAddr;
use std::sync::Arc;

use penstock_core::limits::{ORIGIN_MEMORY_ENTRIES_MAX, ORIGIN_MEMORY_SECONDS};

use super::bed::{BORING, Bed, HOST, RUSTLS, Shard, sni};
use super::origin::TestCa;
use crate::tls::chain::Voucher;
use crate::tls::{Alpn, Answer, Offer, Origin};

const SPAN_MS: u64 = ORIGIN_MEMORY_SECONDS * 1000;

fn origin() -> Origin {
    let address = Some(IpAddr::from([192, 0, 2, 1]));
    Origin { name: sni(HOST), address, port: 443, offer: Offer::BothHttp2First, engines: RUSTLS }
}

fn answer(bed: &Bed, shard: &Shard, choice: Option<Alpn>) -> Answer {
    Answer { choice, verified: bed.verified(shard, HOST, &bed.origin(HOST)) }
}

#[test]
fn an_answer_holds_for_its_span_and_each_verified_handshake_renews_it() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let (first, second) = (answer(&bed, &shard, Some(Alpn::Http2)), answer(&bed, &shard, None));
    assert_eq!(shard.origins().recall(&origin(), 0), None);
    shard.origins().remember(&origin(), first.clone(), 0);
    assert_eq!(shard.origins().recall(&origin(), SPAN_MS - 1), Some(first));
    assert_eq!(shard.origins().recall(&origin(), SPAN_MS), None);
    shard.origins().remember(&origin(), second.clone(), SPAN_MS - 1);
    assert_eq!(shard.origins().recall(&origin(), SPAN_MS), Some(second));
}

/// Whatever the origin's choice may depend on tells it from others.
#[test]
fn another_address_port_offer_engine_or_name_is_another_origin() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let known = answer(&bed, &shard, Some(Alpn::Http2));
    shard.origins().remember(&origin(), known.clone(), 0);
    for other in [
        Origin { name: sni("www.saas.example"), ..origin() },
        Origin { address: Some(IpAddr::from([192, 0, 2, 2])), ..origin() },
        Origin { address: None, ..origin() },
        Origin { port: 8443, ..origin() },
        Origin { offer: Offer::Both, ..origin() },
        Origin { offer: Offer::Http2, ..origin() },
        Origin { offer: Offer::Nothing, ..origin() },
        Origin { engines: BORING, ..origin() },
    ] {
        assert_eq!(shard.origins().recall(&other, 0), None, "{other:?}");
    }
    assert_eq!(shard.origins().recall(&origin(), 0), Some(known));
}

/// A flow beside it that learns the old answer again does not make the client that comes back guess again.
#[test]
fn an_origin_that_belied_its_answer_is_not_guessed_at_for_the_whole_span() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let known = answer(&bed, &shard, Some(Alpn::Http2));
    shard.origins().remember(&origin(), known.clone(), 0);
    shard.origins().distrust(&origin(), 10);
    assert_eq!(shard.origins().recall(&origin(), 10), None);
    shard.origins().remember(&origin(), known.clone(), 11);
    assert_eq!(shard.origins().recall(&origin(), SPAN_MS + 9), None);
    shard.origins().remember(&origin(), known.clone(), SPAN_MS + 10);
    assert_eq!(shard.origins().recall(&origin(), SPAN_MS + 10), Some(known));
}

#[test]
fn other_roots_or_another_issuer_leave_nothing_to_recall() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let known = answer(&bed, &shard, None);
    shard.origins().remember(&origin(), known.clone(), 0);
    shard.install_issuer(Arc::clone(&bed.issuer), 2);
    assert_eq!(shard.origins().recall(&origin(), 0), None);
    shard.origins().remember(&origin(), known, 0);
    bed.shared.roots().replace(TestCa::new("another authority").roots(Voucher::System));
    assert_eq!(shard.origins().recall(&origin(), 0), None);
}

#[test]
fn the_bound_holds_and_what_is_over_goes_first() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let known = answer(&bed, &shard, None);
    let numbered = |number: usize| Origin { name: sni(&format!("{number}.saas.example")), ..origin() };
    shard.origins().remember(&numbered(0), known.clone(), 0);
    for number in 1..ORIGIN_MEMORY_ENTRIES_MAX {
        shard.origins().remember(&numbered(number), known.clone(), 1);
    }
    // One that is there already takes no other place.
    shard.origins().remember(&numbered(1), known.clone(), 1);
    assert!(shard.origins().recall(&numbered(0), 1).is_some());
    // The first is over, and makes room.
    shard.origins().distrust(&origin(), SPAN_MS);
    assert!(shard.origins().recall(&numbered(1), SPAN_MS).is_some());
    // All others count: everything goes.
    shard.origins().remember(&numbered(0), known, SPAN_MS);
    assert!(shard.origins().recall(&numbered(0), SPAN_MS).is_some());
    assert!(shard.origins().recall(&numbered(1), SPAN_MS).is_none());
}
