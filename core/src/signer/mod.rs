//! What the data plane and its signer say to each other: one message a packet, over a socket that nobody else has.
//!
//! The signer is the process that holds the issuer's key. It never signs bytes that it is given: a request names a host and
//! a public key, and the signer writes the leaf itself ([`LeafMint`]). So whatever the data plane has become, all that it can
//! get is a server's certificate for one host that the issuer may name, for days, from now.
//!
//! ```text
//! data plane                                   signer
//!            ◀── Hello: its sealing key
//! Adopt ──▶      an issuer's certificate, and its key, sealed    ──▶ Adopted, or Refused
//! Mint  ──▶      issuer, host, public key of the leaf            ──▶ Minted, or Refused
//! ```
//!
//! Owns the messages and what may be signed. Does not own keys, sockets, clocks or randomness.

mod answer;
mod leaf;
mod request;
#[cfg(test)]
mod tests;
mod wire;

pub use answer::{Answer, Refusal};
pub use leaf::{LeafMint, Minted, Moment};
pub use request::{IssuerId, MintRequest, Request};
