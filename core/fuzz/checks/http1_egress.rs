//! What must hold for any bytes that an inside host sends on an inspected flow: what goes upstream is strict HTTP/1.1 with each
//! header exactly once, and how the bytes were cut into reads makes no difference.

#[path = "../../tests/http1/strict.rs"]
mod strict;

use std::sync::{Arc, LazyLock};

use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::{EditFault, Event, Exchange, Gather};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::sni::Sni;

const SET: &[(&str, &str)] = &[("Restrict-Access-To-Tenants", "contoso.com"), ("Restrict-Access-Context", "bbbb-cccc")];

static EDIT: LazyLock<Arc<HeaderEdit>> = LazyLock::new(|| {
    let header = |&(name, value): &(&str, &str)| SetHeader { name: name.into(), value: value.into() };
    let headers = SET.iter().map(header).collect();
    Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], headers))
});

/// The first byte says how the rest is cut.
pub(crate) fn check(data: &[u8]) {
    let Some((&size, input)) = data.split_first() else { return };
    let whole = run(input, input.len().max(1));
    let split = run(input, usize::from(size).max(1));
    assert_eq!(whole.1, split.1);
    assert!(split.0.starts_with(&whole.0));
    for (upstream, fault, requests) in [whole, split] {
        let (seen, tail) = strict::requests(&upstream);
        assert_eq!(seen.len(), requests);
        assert_ne!(tail, strict::Tail::Head);
        assert!(tail != strict::Tail::Body || fault.is_some() || !upstream.is_empty());
        for request in &seen {
            strict::check_invariant(request, SET);
        }
    }
}

/// What goes upstream of `input` in reads of `size` bytes, the fault, and how many requests were told. Each request is
/// answered as soon as it may be, so that none blocks the next.
fn run(input: &[u8], size: usize) -> (Vec<u8>, Option<EditFault>, usize) {
    let mut exchange = Exchange::new(Arc::clone(&EDIT), "login.example".parse::<Sni>().unwrap());
    let (mut upstream, mut requests, mut waiting, mut unanswered) = (vec![], 0, vec![], 0);
    for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        loop {
            let mut gather = Gather::new();
            let taken = exchange.handle_egress(&waiting, &mut gather);
            upstream.extend(gather.pieces().concat());
            drop(gather);
            while let Some(event) = exchange.poll_event() {
                let is_request = usize::from(matches!(event, Event::Request(_)));
                requests += is_request;
                unanswered += is_request;
            }
            match taken {
                Err(fault) => return (upstream, Some(fault), requests),
                Ok(count) => drop(waiting.drain(..count)),
            }
            if exchange.egress_blocked() && unanswered > 0 {
                let answered = exchange.handle_ingress(b"HTTP/1.1 304 Not Modified\r\n\r\n", &mut Gather::new());
                assert!(answered.is_ok());
                unanswered -= 1;
            } else if taken == Ok(0) {
                break;
            }
        }
    }
    (upstream, None, requests)
}
