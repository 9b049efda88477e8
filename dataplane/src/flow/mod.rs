//! The life of one flow, read top to bottom in [`serve`].
//!
//! | file | owns |
//! |---|---|
//! | `serve` | the order of a flow's steps, and the choice of its verdict's path |
//! | `admit` | whether the client has said who it is |
//! | `control` | what outlives a step: sockets, deadline, the order to stop |
//! | `sniff` | reading the ClientHello |
//! | `dial`, `parent` | resolving and connecting, directly or through a parent proxy |
//! | `direct` | clients that take the appliance for the origin |
//! | `pass`, `inspect`, `deny` | the three verdicts |
//! | `overlap` | both handshakes of an inspected flow at once |
//! | `plain`, `own` | requests for plain HTTP, and to the listener itself |
//! | `leaf` | the leaf of an inspected flow, and the wait for it |
//! | `ech` | the rejection of Encrypted ClientHello |
//! | `pinned` | clients that refuse the minted leaf |
//! | `requests` | what an inspected flow's requests leave in metrics and audit |
//! | `close` | the one exit: metrics and audit, exactly once |

mod admit;
mod close;
mod control;
mod deny;
mod dial;
mod direct;
mod ech;
mod inspect;
mod leaf;
mod overlap;
mod own;
mod parent;
mod pass;
mod pinned;
mod plain;
mod record;
mod requests;
mod serve;
mod sniff;

pub(crate) use close::username;
pub(crate) use control::{FlowControl, Stop};
pub(crate) use deny::{Refusal, linger};
pub(crate) use record::{Flow, Learned};
pub(crate) use requests::Requests;
pub(crate) use serve::serve;
