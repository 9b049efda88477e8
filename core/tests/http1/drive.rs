//! Drives an exchange as the data plane does, and keeps what comes out.
#![allow(clippy::panic, dead_code, reason = "a test may panic, and each test file uses its part")]

use std::sync::Arc;

use penstock_core::catalogue::ConnectorId;
use penstock_core::http1::{EditFault, Event, Exchange, Gather, Request, Response};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::sni::Sni;

/// The host of every test's connection.
pub(crate) const HOST: &str = "login.example";

/// What the edits of these tests set.
pub(crate) const SET: &[(&str, &str)] = &[
    ("Restrict-Access-To-Tenants", "contoso.com,fabrikam.onmicrosoft.com"),
    ("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
];

/// `SET` as lines.
pub(crate) const BLOCK: &str = "Restrict-Access-To-Tenants: contoso.com,fabrikam.onmicrosoft.com\r\n\
    Restrict-Access-Context: bbbbcccc-1111-dddd-2222-eeee3333ffff\r\n";

pub(crate) fn edit(mode: Mode) -> Arc<HeaderEdit> {
    let header = |&(name, value): &(&str, &str)| SetHeader { name: name.into(), value: value.into() };
    let connectors = [ConnectorId::MicrosoftEntra, ConnectorId::AnthropicClaude];
    Arc::new(HeaderEdit::new(mode, &connectors, SET.iter().map(header).collect()).with_websocket(true))
}

/// One connection under test.
pub(crate) struct Drive {
    pub(crate) exchange: Exchange,
    /// What went upstream, and downstream.
    pub(crate) upstream: Vec<u8>,
    pub(crate) downstream: Vec<u8>,
    pub(crate) fault: Option<EditFault>,
    pub(crate) requests: Vec<Request>,
    pub(crate) responses: Vec<Response>,
    egress_rest: Vec<u8>,
    ingress_rest: Vec<u8>,
}

impl Drive {
    pub(crate) fn new() -> Self {
        Self::with(&edit(Mode::Enforce))
    }

    pub(crate) fn report_only() -> Self {
        Self::with(&edit(Mode::ReportOnly))
    }

    pub(crate) fn with(edit: &Arc<HeaderEdit>) -> Self {
        Self {
            exchange: Exchange::new(Arc::clone(edit), HOST.parse::<Sni>().unwrap()),
            upstream: vec![],
            downstream: vec![],
            fault: None,
            requests: vec![],
            responses: vec![],
            egress_rest: vec![],
            ingress_rest: vec![],
        }
    }

    /// Bytes come from downstream.
    pub(crate) fn egress(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.egress_rest.extend_from_slice(bytes.as_ref());
        self.run();
        self
    }

    /// Bytes come from upstream.
    pub(crate) fn ingress(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.ingress_rest.extend_from_slice(bytes.as_ref());
        self.run();
        self
    }

    /// Both directions are offered their bytes while either takes some.
    fn run(&mut self) {
        while self.fault.is_none() && (self.offer_egress() || self.offer_ingress()) {}
    }

    fn offer_egress(&mut self) -> bool {
        let mut gather = Gather::new();
        let taken = self.exchange.handle_egress(&self.egress_rest, &mut gather);
        assert_eq!(gather.bytes(), gather.pieces().concat().len());
        assert!(gather.pieces().iter().all(|piece| !piece.is_empty()));
        if taken.is_err() {
            assert!(gather.is_empty(), "a fault comes alone");
        }
        self.upstream.extend(gather.pieces().concat());
        drop(gather);
        self.settle(taken, |drive| &mut drive.egress_rest)
    }

    fn offer_ingress(&mut self) -> bool {
        let mut gather = Gather::new();
        let taken = self.exchange.handle_ingress(&self.ingress_rest, &mut gather);
        if taken.is_err() {
            assert!(gather.is_empty(), "a fault comes alone");
        }
        self.downstream.extend(gather.pieces().concat());
        drop(gather);
        self.settle(taken, |drive| &mut drive.ingress_rest)
    }

    fn settle(&mut self, taken: Result<usize, EditFault>, rest: fn(&mut Self) -> &mut Vec<u8>) -> bool {
        self.poll();
        match taken {
            Ok(count) => {
                rest(self).drain(..count);
                count > 0
            }
            Err(fault) => {
                self.fault = Some(fault);
                false
            }
        }
    }

    pub(crate) fn poll(&mut self) {
        while let Some(event) = self.exchange.poll_event() {
            match event {
                Event::Refused(fault) => panic!("HTTP/1.1 refuses whole connections: {fault}"),
                Event::Request(request) => self.requests.push(request),
                Event::Response(response) => self.responses.push(response),
            }
        }
    }

    /// What was not taken yet.
    pub(crate) fn egress_waiting(&self) -> &[u8] {
        &self.egress_rest
    }

    pub(crate) fn ingress_waiting(&self) -> &[u8] {
        &self.ingress_rest
    }

    pub(crate) fn upstream_text(&self) -> &str {
        std::str::from_utf8(&self.upstream).unwrap()
    }

    pub(crate) fn downstream_text(&self) -> &str {
        std::str::from_utf8(&self.downstream).unwrap()
    }

    /// The statuses of the answers that were judged, in order.
    pub(crate) fn statuses(&self) -> Vec<Option<u16>> {
        self.responses.iter().map(|response| response.status).collect()
    }
}

/// A GET with `fields` (lines with their ends) behind `Host`.
pub(crate) fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")
}

/// A POST with `fields` and `body`.
pub(crate) fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n{body}")
}

/// A plain answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The fault of `input`, however it is cut into two; nothing of it goes upstream when it comes whole, and what goes upstream
/// when it is cut is the same request's beginning.
pub(crate) fn refused(input: impl AsRef<[u8]>) -> EditFault {
    let input = input.as_ref();
    let mut whole = Drive::new();
    whole.egress(input);
    let fault = whole.fault.unwrap_or_else(|| panic!("not refused: {:?}", String::from_utf8_lossy(input)));
    assert_eq!(whole.upstream, b"", "forwarded: {:?}", String::from_utf8_lossy(input));
    assert!(whole.requests.is_empty());
    assert!(whole.exchange.may_answer() && whole.exchange.must_close());
    for cut in cuts(input.len()) {
        let mut split = Drive::new();
        split.egress(&input[..cut]).egress(&input[cut..]);
        assert_eq!(split.fault, Some(fault), "cut at {cut}: {:?}", String::from_utf8_lossy(input));
        assert!(split.exchange.may_answer());
    }
    fault
}

/// What goes upstream of `input`, which must be right, however it is cut into two or into single bytes.
pub(crate) fn forwarded(input: impl AsRef<[u8]>) -> String {
    forwarded_by(Drive::new, input.as_ref())
}

pub(crate) fn forwarded_by(drive: fn() -> Drive, input: &[u8]) -> String {
    let mut whole = drive();
    whole.egress(input);
    assert_eq!(whole.fault, None, "{:?}", String::from_utf8_lossy(input));
    assert_eq!(whole.egress_waiting(), b"", "{:?}", String::from_utf8_lossy(input));
    for cut in cuts(input.len()) {
        let mut split = drive();
        split.egress(&input[..cut]).egress(&input[cut..]);
        assert_eq!((split.fault, split.upstream), (None, whole.upstream.clone()), "cut at {cut}");
    }
    let mut by_byte = drive();
    for byte in input {
        by_byte.egress([*byte]);
    }
    assert_eq!((by_byte.fault, &by_byte.upstream, &by_byte.requests), (None, &whole.upstream, &whole.requests));
    whole.upstream_text().to_owned()
}

/// Every place of a short input, some of a long one.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length / 512 + 1)
}
