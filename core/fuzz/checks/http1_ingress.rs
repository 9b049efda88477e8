//! What must hold for any bytes that an origin sends on an inspected flow: nothing is added, only whole `Alt-Svc` lines and one
//! empty line before an answer are left out, and how the bytes were cut into reads makes no difference.

use std::sync::{Arc, LazyLock};

use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::{EditFault, Event, Exchange, Gather};
use penstock_core::policy::{HeaderEdit, Mode};
use penstock_core::sni::Sni;

static EDIT: LazyLock<Arc<HeaderEdit>> =
    LazyLock::new(|| Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::Slack], vec![])));

const REQUESTS: &[u8] = b"GET / HTTP/1.1\r\nHost: login.example\r\n\r\nHEAD / HTTP/1.1\r\nHost: login.example\r\n\r\n\
    POST / HTTP/1.1\r\nHost: login.example\r\nContent-Length: 1\r\n\r\nx\
    GET / HTTP/1.1\r\nHost: login.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// The first byte says how the rest is cut.
pub(crate) fn check(data: &[u8]) {
    let Some((&size, input)) = data.split_first() else { return };
    let whole = run(input, input.len().max(1));
    let split = run(input, usize::from(size).max(1));
    assert_eq!(whole, split);
    assert!(is_subsequence(&whole.0, input));
}

/// What goes downstream of `input` in reads of `size` bytes, the fault, and what the audit is told.
fn run(input: &[u8], size: usize) -> (Vec<u8>, Option<EditFault>, Vec<Event>) {
    let mut exchange = Exchange::new(Arc::clone(&EDIT), "login.example".parse::<Sni>().unwrap());
    assert_eq!(exchange.handle_egress(REQUESTS, &mut Gather::new()), Ok(REQUESTS.len()));
    let (mut downstream, mut waiting, mut fault) = (vec![], vec![], None);
    'reads: for piece in input.chunks(size) {
        waiting.extend_from_slice(piece);
        loop {
            let mut gather = Gather::new();
            let taken = exchange.handle_ingress(&waiting, &mut gather);
            downstream.extend(gather.pieces().concat());
            drop(gather);
            match taken {
                Ok(0) => break,
                Ok(count) => drop(waiting.drain(..count)),
                Err(refused) => {
                    fault = Some(refused);
                    break 'reads;
                }
            }
        }
    }
    let _ = exchange.handle_ingress_end();
    exchange.handle_abort();
    let events = std::iter::from_fn(|| exchange.poll_event()).collect();
    (downstream, fault, events)
}

fn is_subsequence(kept: &[u8], all: &[u8]) -> bool {
    let mut rest = all.iter();
    kept.iter().all(|byte| rest.any(|other| other == byte))
}
