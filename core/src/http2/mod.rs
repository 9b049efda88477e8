//! HTTP/2 on inspected flows: frames pass, header blocks are checked and edited.
//!
//! Owns what a connection of either side is on the wire, and refuses what two readers may read differently. Does not own
//! which headers are set or removed (`policy::HeaderEdit`), nor what a refusal by a vendor looks like (`catalogue`).
//!
//! | file | owns |
//! |---|---|
//! | `exchange` | the object that the data plane drives |
//! | [`hpack`] | field compression (RFC 7541): reading blocks, and writing new ones |

mod exchange;
pub mod hpack;

pub use exchange::Exchange;

pub use crate::http::{EditFault, Event, Gather, Request, Response};
