//! Drives the listener's reader and one exchange for each request, as the data plane does.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::{Arc, LazyLock};

use penstock_core::bytes::Parsed;
use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::{Event, Exchange, Gather};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::proxy::{ProxyReject, ProxyRequest, RequestReader};

/// What the edits of these tests set.
pub(crate) const SET: &[(&str, &str)] =
    &[("Restrict-Access-To-Tenants", "contoso.com"), ("Restrict-Access-Context", "bbbb-cccc")];

/// `SET` as lines.
pub(crate) const BLOCK: &str = "Restrict-Access-To-Tenants: contoso.com\r\nRestrict-Access-Context: bbbb-cccc\r\n";

static EDITS: LazyLock<Vec<(Mode, Arc<HeaderEdit>)>> = LazyLock::new(|| {
    let header = |&(name, value): &(&str, &str)| SetHeader { name: name.into(), value: value.into() };
    let build = |&mode: &Mode| {
        let headers = if mode == Mode::Off { vec![] } else { SET.iter().map(header).collect() };
        (mode, Arc::new(HeaderEdit::new(mode, &[ConnectorId::MicrosoftEntra], headers)))
    };
    Mode::ALL.iter().map(build).collect()
});

pub(crate) fn edit(mode: Mode) -> Arc<HeaderEdit> {
    Arc::clone(&EDITS.iter().find(|(known, _)| *known == mode).unwrap().1)
}

/// What became of the bytes.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// All that went to any origin.
    pub(crate) upstream: Vec<u8>,
    pub(crate) fault: Option<ProxyReject>,
    pub(crate) requests: usize,
    /// A request has begun and not ended.
    pub(crate) is_waiting: bool,
}

/// Offers `input` in pieces that end at `cuts`; each request is answered when it is whole.
pub(crate) fn run(input: &[u8], cuts: &[usize], mode: Mode) -> Outcome {
    let mut outcome = Outcome { upstream: vec![], fault: None, requests: 0, is_waiting: false };
    let (mut waiting, mut start) = (vec![], 0);
    let (mut reader, mut exchange) = (RequestReader::new(), None::<Exchange>);
    for end in cuts.iter().copied().chain([input.len()]) {
        waiting.extend_from_slice(&input[start..end]);
        start = end;
        loop {
            let Some(current) = &mut exchange else {
                match reader.parse(&waiting) {
                    Parsed::Complete { value: ProxyRequest::Plain(head), consumed } => {
                        waiting.drain(..consumed);
                        reader = RequestReader::new();
                        exchange = Some(Exchange::plain(edit(mode), head.authority));
                        continue;
                    }
                    // Tunnels and the listener's own requests end what is tested here.
                    Parsed::Complete { .. } => return outcome,
                    Parsed::Incomplete { .. } => break,
                    Parsed::Reject(reject) => {
                        outcome.fault = Some(reject);
                        return outcome;
                    }
                }
            };
            let mut gather = Gather::new();
            let taken = current.handle_egress(&waiting, &mut gather);
            outcome.upstream.extend(gather.pieces().concat());
            drop(gather);
            while let Some(event) = current.poll_event() {
                outcome.requests += usize::from(matches!(event, Event::Request(_)));
            }
            match taken {
                Err(fault) => {
                    outcome.fault = Some(ProxyReject::Plain(fault));
                    return outcome;
                }
                Ok(0) if current.egress_blocked() => {
                    let answered = current.handle_ingress(b"HTTP/1.1 304 Not Modified\r\n\r\n", &mut Gather::new());
                    assert!(answered.is_ok());
                    if !current.is_served() {
                        // The connection is over; what is left is nobody's request.
                        outcome.is_waiting = !waiting.is_empty();
                        return outcome;
                    }
                    exchange = None;
                }
                Ok(0) => break,
                Ok(count) => drop(waiting.drain(..count)),
            }
        }
    }
    outcome.is_waiting = !waiting.is_empty() || exchange.is_some_and(|exchange| !exchange.is_idle());
    outcome
}
