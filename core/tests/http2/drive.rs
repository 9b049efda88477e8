//! Drives an exchange as the data plane does, and keeps what comes out.
#![allow(clippy::panic, dead_code, reason = "a test may panic, and each test file uses its part")]

use std::sync::Arc;

use penstock_core::catalogue::ConnectorId;
use penstock_core::flow::Direction;
use penstock_core::http2::{EditFault, Event, Exchange, Gather, Request, Response};
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use penstock_core::sni::Sni;

use super::receiver::Receiver;
use super::wire::{self, Pair, Shape, Writer};

/// The host of every test's connection.
pub(crate) const HOST: &str = "login.example";

/// What the edits of these tests set.
pub(crate) const SET: &[(&str, &str)] = &[
    ("Restrict-Access-To-Tenants", "contoso.com,fabrikam.onmicrosoft.com"),
    ("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
];

/// `SET` as fields.
pub(crate) fn set() -> Vec<Pair> {
    SET.iter().map(|(name, value)| wire::pair(&name.to_lowercase(), value)).collect()
}

pub(crate) fn header_edit(mode: Mode) -> HeaderEdit {
    let header = |&(name, value): &(&str, &str)| SetHeader { name: name.into(), value: value.into() };
    let connectors = [ConnectorId::MicrosoftEntra, ConnectorId::AnthropicClaude];
    HeaderEdit::new(mode, &connectors, SET.iter().map(header).collect())
}

/// One connection under test, with a peer's reader and writer on either side.
pub(crate) struct Drive {
    pub(crate) exchange: Exchange,
    pub(crate) upstream: Vec<u8>,
    pub(crate) downstream: Vec<u8>,
    pub(crate) origin: Receiver,
    pub(crate) client: Receiver,
    /// What the client sends, and what the origin sends.
    pub(crate) egress_writer: Writer,
    pub(crate) ingress_writer: Writer,
    pub(crate) fault: Option<EditFault>,
    pub(crate) requests: Vec<Request>,
    pub(crate) responses: Vec<Response>,
    pub(crate) refusals: Vec<EditFault>,
    egress_rest: Vec<u8>,
    ingress_rest: Vec<u8>,
}

impl Drive {
    /// A connection of which nothing has come.
    pub(crate) fn fresh(edit: HeaderEdit) -> Self {
        Self {
            exchange: Exchange::new(Arc::new(edit), HOST.parse::<Sni>().unwrap()),
            upstream: vec![],
            downstream: vec![],
            origin: Receiver::origin(),
            client: Receiver::client(),
            egress_writer: Writer::new(),
            ingress_writer: Writer::new(),
            fault: None,
            requests: vec![],
            responses: vec![],
            refusals: vec![],
            egress_rest: vec![],
            ingress_rest: vec![],
        }
    }

    /// A connection with the first SETTINGS of both sides exchanged.
    pub(crate) fn with(edit: HeaderEdit, client: &[(u16, u32)], origin: &[(u16, u32)]) -> Self {
        let mut drive = Self::fresh(edit);
        drive.egress([wire::PREFACE, &wire::settings(client)].concat());
        let table = |entries: &[(u16, u32)]| {
            entries.iter().rev().find(|(id, _)| *id == 1).map(|(_, bytes)| (*bytes as usize).min(65_536))
        };
        drive.client.bounds.push_back(table(client));
        drive.origin.bounds.push_back(table(origin));
        drive.ingress([wire::settings(origin), wire::ack()].concat()).egress(wire::ack());
        assert_eq!(drive.fault, None);
        drive.origin.items.clear();
        drive.client.items.clear();
        drive
    }

    pub(crate) fn new() -> Self {
        Self::with(header_edit(Mode::Enforce), &[], &[])
    }

    pub(crate) fn report_only() -> Self {
        Self::with(header_edit(Mode::ReportOnly), &[], &[])
    }

    /// Bytes come from downstream.
    pub(crate) fn egress(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.egress_rest.extend_from_slice(bytes.as_ref());
        while self.fault.is_none() && self.offer(Direction::Egress) > 0 {}
        self
    }

    /// Bytes come from upstream.
    pub(crate) fn ingress(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.ingress_rest.extend_from_slice(bytes.as_ref());
        while self.fault.is_none() && self.offer(Direction::Ingress) > 0 {}
        self
    }

    fn offer(&mut self, direction: Direction) -> usize {
        let mut gather = Gather::new();
        let taken = match direction {
            Direction::Egress => self.exchange.handle_egress(&self.egress_rest, &mut gather),
            Direction::Ingress => self.exchange.handle_ingress(&self.ingress_rest, &mut gather),
        };
        if taken.is_err() {
            assert!(gather.is_empty(), "a fault comes alone");
        }
        let out = gather.pieces().concat();
        drop(gather);
        let taken = taken.unwrap_or_else(|fault| {
            self.fault = Some(fault);
            0
        });
        match direction {
            Direction::Egress => drop(self.egress_rest.drain(..taken)),
            Direction::Ingress => drop(self.ingress_rest.drain(..taken)),
        }
        self.came_out(direction, &out);
        self.transmit();
        self.poll();
        taken
    }

    pub(crate) fn transmit(&mut self) {
        for direction in [Direction::Egress, Direction::Ingress] {
            if let Some(own) = self.exchange.poll_transmit(direction) {
                let receiver = if direction == Direction::Egress { &self.origin } else { &self.client };
                assert!(!own.is_empty() && receiver.is_between_frames());
                self.came_out(direction, &own);
            }
        }
    }

    fn came_out(&mut self, direction: Direction, bytes: &[u8]) {
        match direction {
            Direction::Egress => {
                self.upstream.extend_from_slice(bytes);
                self.origin.feed(bytes);
            }
            Direction::Ingress => {
                self.downstream.extend_from_slice(bytes);
                self.client.feed(bytes);
            }
        }
    }

    pub(crate) fn poll(&mut self) {
        while let Some(event) = self.exchange.poll_event() {
            match event {
                Event::Refused(fault) => self.refusals.push(fault),
                Event::Request(request) => self.requests.push(request),
                Event::Response(response) => self.responses.push(response),
            }
        }
    }

    /// A request's head with plain fields, all in one shape.
    pub(crate) fn head(&mut self, stream: u32, fields: &[(&str, &str)], shape: Shape, ends: bool) -> &mut Self {
        let block = self.egress_writer.plain(fields, shape);
        self.egress(wire::frame(wire::HEADERS, wire::END_HEADERS | u8::from(ends), stream, block))
    }

    /// A GET with `fields` behind its pseudo-header fields.
    pub(crate) fn get(&mut self, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        self.head(stream, &[GET, fields].concat(), Shape::Plain, true)
    }

    /// An answer's head.
    pub(crate) fn answer(&mut self, stream: u32, fields: &[(&str, &str)], ends: bool) -> &mut Self {
        let block = self.ingress_writer.plain(fields, Shape::Indexed);
        self.ingress(wire::frame(wire::HEADERS, wire::END_HEADERS | u8::from(ends), stream, block))
    }

    /// What was not taken yet.
    pub(crate) fn egress_waiting(&self) -> &[u8] {
        &self.egress_rest
    }

    /// Nothing of `stream` but its reset or a refusal went upstream.
    pub(crate) fn went_upstream(&self, stream: u32) -> bool {
        self.origin.heads().iter().any(|head| head.0 == stream)
    }
}

pub(crate) const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", "/")];
pub(crate) const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "https"), (":authority", HOST), (":path", "/")];

/// What becomes of a request: the set headers behind the pseudo-header fields, and `kept`.
pub(crate) fn edited(lead: &[(&str, &str)], kept: &[(&str, &str)]) -> Vec<Pair> {
    [wire::pairs(lead), set(), wire::pairs(kept)].concat()
}
