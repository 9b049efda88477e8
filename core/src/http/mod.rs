//! What HTTP/1.1 and HTTP/2 have in common on inspected flows.
//!
//! Owns the words in which an exchange of either version speaks to its caller, and the grammar that both share. Does not own
//! any framing: that is [`crate::http1`]'s and [`crate::http2`]'s.
//!
//! | file | owns |
//! |---|---|
//! | `event`, `fault` | what the caller is told |
//! | `gather` | the pieces that go out |
//! | `pace` | how far the content of requests has come |
//! | `authority` | whether a request is for the connection's host |
//! | `token` | classes of bytes, and names compared |

pub(crate) mod authority;
pub(crate) mod event;
pub(crate) mod fault;
pub(crate) mod gather;
pub(crate) mod pace;
pub(crate) mod token;

pub use event::{Event, Request, Response, Stall};
pub use fault::EditFault;
pub use gather::Gather;
