//! Penstock's core: bytes and decisions.
//!
//! No socket, clock, randomness, thread, log, async or `unsafe` lives here: what the outside world knows (the time, a
//! serial number, a signature) comes in as an argument or a trait. The crate is `no_std` + `alloc`, which is the proof.
//! Both daemons, the operator's command and the tests stand on it.
//!
//! | module | owns |
//! |---|---|
//! | [`bytes`] | the only bounds-checked cursor, and the outcome of every parser |
//! | [`limits`] | every bound of the product |
//! | [`sni`] | the normalised, validated host name |
//! | [`flow`] | ids, legs, phases, faults and their labels |
//! | [`relay`] | half-close and idle state of two directions |
//! | [`tls`] | records, the ClientHello, alerts |
//! | [`quic`] | Initial packets and the ClientHello in them |
//! | [`proxy`] | the explicit proxy's request head |
//! | [`source`] | whom a source address stands for |
//! | [`users`] | the file of users and their groups |
//! | [`http`] | what both versions of HTTP share: events, faults, pieces |
//! | [`http1`] | heads, body framing and header editing on HTTP/1.1 |
//! | [`http2`] | frames, header compression and header editing on HTTP/2 |
//! | [`catalogue`] | the connectors: what each SaaS needs |
//! | [`policy`] | document, compiler, snapshot, decision |
//! | [`mint`] | certificate templates and their DER |
//! | [`signer`] | what the data plane asks of the process that holds the issuer's key, and what that signs |
//! | [`audit`] | the audit event |
//! | [`metrics`] | the metric catalogue |
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a test may panic"))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod audit;
pub mod bytes;
pub mod catalogue;
pub mod flow;
pub mod http;
pub mod http1;
pub mod http2;
pub mod limits;
pub mod metrics;
pub mod mint;
pub mod moment;
pub mod policy;
pub mod proxy;
pub mod quic;
pub mod relay;
pub mod signer;
pub mod sni;
pub mod source;
pub mod tls;
pub mod users;
