//! HTTP/2 on inspected flows: frames pass, header blocks are checked and edited.
//!
//! Owns what a connection of either side is on the wire, and refuses what two readers may read differently. Does not own
//! which headers are set or removed (`policy::HeaderEdit`), nor what a refusal by a vendor looks like (`catalogue`).
//!
//! | file | owns |
//! |---|---|
//! | `exchange` | the object that the data plane drives |
//! | `egress`, `ingress` | what becomes of each unit of either side |
//! | `connection` | the state that both share: settings, guards |
//! | `room` | windows: what each side grants for DATA |
//! | `streams` | which streams are open, and how others ended |
//! | `request`, `answer` | judging the fields of a request, of an answer |
//! | `codec`, `fields` | compression of one direction, and the fields of a block |
//! | `unit`, `frame` | cutting bytes into units; headers of frames |
//! | `settings` | what of each side's SETTINGS goes on |
//! | `pieces`, `transmit` | what goes out in a call; frames of the editor's own |
//! | `turn_away` | a connection whose client is sent elsewhere |
//! | `violation` | what ends a connection |
//! | [`hpack`] | field compression (RFC 7541): reading blocks, and writing new ones |

mod answer;
mod codec;
mod connection;
mod egress;
mod exchange;
mod fields;
mod frame;
pub mod hpack;
mod ingress;
mod pieces;
mod request;
mod room;
mod settings;
mod streams;
mod transmit;
mod turn_away;
mod unit;
mod violation;

pub use exchange::Exchange;
pub use turn_away::TurnAway;

pub use crate::http::{EditFault, Event, Gather, Request, Response, Stall};
