//! HTTP/1.1 on inspected flows: heads, body framing and header editing.
//!
//! Owns what a request and an answer are on the wire, and refuses what two readers may read differently. Does not own
//! which headers are set or removed (`policy::HeaderEdit`), nor what a refusal by a vendor looks like (`catalogue`).
//!
//! | file | owns |
//! |---|---|
//! | `exchange` | the object that the data plane drives |
//! | `egress`, `ingress` | the place in the stream of requests, of answers |
//! | `ledger` | which requests wait for their answer |
//! | `request_line`, `request_head`, `request_edit` | reading a request, and what becomes of it |
//! | `response_head` | reading an answer |
//! | `connection` | the options of `Connection` |
//! | `body` | lengths and chunks |
//! | `line` | the strict grammar of a line |
//!
//! What it shares with HTTP/2 is in [`crate::http`].

mod body;
mod connection;
mod egress;
mod exchange;
mod ingress;
mod ledger;
mod line;
mod request_edit;
mod request_head;
mod request_line;
mod response_head;

/// The grammar, for the reader of the explicit proxy's heads and for HTTP/2.
pub(crate) mod syntax {
    pub(crate) use super::line::{Field, field, line_feed};
    pub(crate) use super::request_head::{Credentials, RequestHead};
    pub(crate) use super::request_line::{
        RequestLine, Version, absolute_authority, check_method_begun, check_path, method,
    };
    pub(crate) use super::response_head::ResponseHead;
    pub(crate) use crate::http::authority::{Origin, Scheme, port};
    pub(crate) use crate::http::event::product;
    pub(crate) use crate::http::token::{elements, is_name, trim};
}

pub use exchange::Exchange;

pub use crate::http::{EditFault, Event, Gather, Request, Response};
