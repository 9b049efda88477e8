//! One inspected HTTP/2 connection pair: plaintext of either leg in, pieces for the other leg out.
//!
//! Owns the state of both directions and nothing else: no socket, no buffer, no clock. Driven by the data plane.
//!
//! How to drive it: present what has come and was not taken yet, write the pieces, then what [`Exchange::poll_transmit`] has
//! for either leg, and poll the events; call again while bytes are taken. A fault comes alone, in a call that takes nothing,
//! so all pieces of earlier calls are to be written; what is to be transmitted after a fault says goodbye.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::flow::Direction;
use crate::http::{EditFault, Event, Gather};
use crate::policy::HeaderEdit;
use crate::sni::Sni;

/// An inspected HTTP/2 connection pair.
///
/// Every request that goes upstream carries each header of its [`HeaderEdit`] exactly once, with exactly the configured value,
/// and no other spelling of any restriction header. In report-only, requests and answers pass unchanged; what is no plain
/// HTTP/2 is refused all the same.
#[derive(Debug)]
pub struct Exchange {
    _edit: Arc<HeaderEdit>,
    _host: Sni,
    _port: u16,
}

impl Exchange {
    /// Begins a connection to `host`, the name of its ClientHello, on port 443.
    pub const fn new(edit: Arc<HeaderEdit>, host: Sni) -> Self {
        Self::with_port(edit, host, HTTPS_PORT)
    }

    /// Begins a connection to `host` on `port`, which `:authority` may then name.
    pub const fn with_port(edit: Arc<HeaderEdit>, host: Sni, port: u16) -> Self {
        Self { _edit: edit, _host: host, _port: port }
    }

    /// Takes what it can of `input`, plaintext from downstream that was not taken yet, and appends to `out` what is to be
    /// written upstream. How many bytes it took.
    ///
    /// A frame is taken when it is whole, a header block too; the payload of DATA as it comes.
    pub const fn handle_egress<'a>(&'a mut self, _input: &'a [u8], _out: &mut Gather<'a>) -> Result<usize, EditFault> {
        Err(EditFault::VersionUnknown)
    }

    /// Takes what it can of `input`, plaintext from upstream that was not taken yet, and appends to `out` what is to be
    /// written downstream. How many bytes it took.
    pub const fn handle_ingress<'a>(&'a mut self, _input: &'a [u8], _out: &mut Gather<'a>) -> Result<usize, EditFault> {
        Err(EditFault::ResponseUnasked)
    }

    /// Downstream sends no more.
    pub const fn handle_egress_end(&mut self) -> Result<(), EditFault> {
        Ok(())
    }

    /// Upstream sends no more.
    pub const fn handle_ingress_end(&mut self) -> Result<(), EditFault> {
        Ok(())
    }

    /// The connection ends for a reason that is not of this object's: requests without a judged answer get their
    /// [`Event::Response`] now, with what is known.
    pub const fn handle_abort(&mut self) {}

    /// The flow is to end soon: downstream is told to open no more streams (GOAWAY), and those that it opens all the same are
    /// refused. The connection is to be closed once it is idle.
    pub const fn handle_drain(&mut self) {}

    /// What the audit is to be told next. To be polled after each call: events are kept until then.
    pub const fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Bytes of the exchange's own for the leg that `direction` leads to: `Egress` for upstream, `Ingress` for downstream.
    /// To be polled for both after each call, once its pieces are written, and after a fault.
    pub const fn poll_transmit(&mut self, _direction: Direction) -> Option<Vec<u8>> {
        None
    }

    /// Whether no request is taken until an answer has ended: never, streams are refused one by one.
    pub const fn egress_blocked(&self) -> bool {
        false
    }

    /// Whether both directions are another protocol's: never, a WebSocket is a stream among others.
    pub const fn is_upgraded(&self) -> bool {
        false
    }

    /// Whether no stream is open.
    pub const fn is_idle(&self) -> bool {
        true
    }

    /// Whether nothing more may come on this connection once it is idle.
    pub const fn must_close(&self) -> bool {
        true
    }

    /// Whether the preface or a header block has begun but not ended.
    pub const fn request_in_head(&self) -> bool {
        true
    }

    /// Whether the caller may write an answer of its own making: never, [`Self::poll_transmit`] has them.
    pub const fn may_answer(&self) -> bool {
        false
    }
}

const HTTPS_PORT: u16 = 443;
