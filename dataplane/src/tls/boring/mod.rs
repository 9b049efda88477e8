//! The BoringSSL engine: the second implementation behind [`Engine`](super::Engine), for the hosts and legs that the
//! policy names.
//!
//! It is here for reach: upstream it greets as browsers do, and to origins that the policy calls legacy it speaks what
//! rustls never will. The crate `boring` is named in this folder alone. What decides about trust is not BoringSSL's: each
//! upstream chain goes through our own [`Verifier`](super::verify::Verifier), inside the handshake, so that a refusal
//! reaches the origin as an alert.
//!
//! | module | owns |
//! |---|---|
//! | `connection` | one connection of either leg |
//! | `greeting` | the second hello of a client |
//! | `wire` | the stream in memory that BoringSSL reads and writes |
//! | `origins` | the configurations of upstream legs, and the check of the chain |
//! | `serving` | the configurations of downstream legs, of one leaf |
//! | `primitive` | a hash and a cipher, for the trial |
//! | `reason` | what an error of BoringSSL means in the product's faults |

mod connection;
mod greeting;
mod origins;
mod primitive;
mod reason;
mod serving;
mod wire;

pub(super) use origins::Origins;
pub(super) use primitive::{seal, sha256};
pub(super) use serving::{LeafKey, Serving};
