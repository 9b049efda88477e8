//! The exchange of either version of HTTP, as the relay drives it.

use std::sync::Arc;

use penstock_core::flow::Direction;
use penstock_core::http::{EditFault, Event, Gather, Stall};
use penstock_core::policy::HeaderEdit;
use penstock_core::sni::Sni;
use penstock_core::{http1, http2};

use crate::metrics::Http;
use crate::tls::Alpn;

/// What stands between the two legs of an inspected flow.
pub(crate) enum Exchange {
    One(Box<http1::Exchange>),
    Two(Box<http2::Exchange>),
}

/// The same call on whichever it is.
macro_rules! either {
    ($self:expr, $exchange:ident => $call:expr) => {
        match $self {
            Self::One($exchange) => $call,
            Self::Two($exchange) => $call,
        }
    };
}

impl Exchange {
    /// Begins a connection to `host` on `port`, in the protocol that the origin chose; HTTP/1.1 where it chose none.
    pub(crate) fn new(choice: Option<Alpn>, edit: Arc<HeaderEdit>, host: Sni, port: u16) -> Self {
        match choice {
            None | Some(Alpn::Http11) => Self::One(Box::new(http1::Exchange::with_port(edit, host, port))),
            Some(Alpn::Http2) => Self::Two(Box::new(http2::Exchange::with_port(edit, host, port))),
        }
    }

    pub(crate) const fn version(&self) -> Http {
        match self {
            Self::One(_) => Http::One,
            Self::Two(_) => Http::Two,
        }
    }

    pub(super) fn handle<'a>(
        &'a mut self,
        direction: Direction,
        input: &'a [u8],
        out: &mut Gather<'a>,
    ) -> Result<usize, EditFault> {
        match direction {
            Direction::Egress => either!(self, exchange => exchange.handle_egress(input, out)),
            Direction::Ingress => either!(self, exchange => exchange.handle_ingress(input, out)),
        }
    }

    pub(super) fn handle_end(&mut self, direction: Direction) -> Result<(), EditFault> {
        match direction {
            Direction::Egress => either!(self, exchange => exchange.handle_egress_end()),
            Direction::Ingress => either!(self, exchange => exchange.handle_ingress_end()),
        }
    }

    pub(super) fn handle_abort(&mut self) {
        either!(self, exchange => exchange.handle_abort());
    }

    /// The shard drains.
    pub(super) fn handle_drain(&mut self) {
        either!(self, exchange => exchange.handle_drain());
    }

    /// The legs are closed, while nothing is under way.
    pub(super) fn handle_close(&mut self) {
        match self {
            Self::One(_) => {}
            Self::Two(exchange) => exchange.handle_close(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        either!(self, exchange => exchange.poll_event())
    }

    /// What the exchange itself has to say to the leg that `direction` leads to.
    pub(super) fn poll_transmit(&mut self, direction: Direction) -> Option<Vec<u8>> {
        match self {
            Self::One(_) => None,
            Self::Two(exchange) => exchange.poll_transmit(direction),
        }
    }

    pub(super) fn egress_blocked(&self) -> bool {
        either!(self, exchange => exchange.egress_blocked())
    }

    pub(super) fn is_upgraded(&self) -> bool {
        either!(self, exchange => exchange.is_upgraded())
    }

    pub(super) fn is_idle(&self) -> bool {
        either!(self, exchange => exchange.is_idle())
    }

    pub(super) fn must_close(&self) -> bool {
        either!(self, exchange => exchange.must_close())
    }

    pub(super) fn request_in_head(&self) -> Option<u64> {
        either!(self, exchange => exchange.request_in_head())
    }

    pub(super) fn body_due(&self) -> Option<u64> {
        either!(self, exchange => exchange.body_due())
    }

    /// Whether one side keeps the other waiting: over HTTP/1.1 only by not reading, which the transport sees.
    pub(super) fn stall(&self) -> Option<Stall> {
        match self {
            Self::One(_) => None,
            Self::Two(exchange) => exchange.stall(),
        }
    }

    pub(super) fn may_answer(&self) -> bool {
        either!(self, exchange => exchange.may_answer())
    }
}
