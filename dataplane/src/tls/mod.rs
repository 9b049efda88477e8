//! TLS on both legs of an inspected flow, without a socket.
//!
//! Owns the engines, the check of the upstream's certificate and the minted leaves. Does not own sockets, deadlines or
//! the order of the two handshakes: `flow/inspect` drives an [`Engine`] per leg through `Read` and `Write` adapters.
//! Everything here runs inline on the shard that owns the flow and never blocks.
//!
//! ```text
//! TlsShard::upstream(sni, offer, engines) ──▶ Engine ── verified() ──▶ VerifiedUpstream     only a checked chain makes one
//!                                                          │
//! TlsShard::cached_leaf(sni, &verified, now) ◀─────────────┘ ──▶ Leaf, or none
//! TlsShard::order(sni, now) ──▶ LeafOrder      what to ask the signer for, which holds the issuer's key
//! TlsShard::take(&verified, &issuer, &minted, now) ──▶ Leaf
//! TlsShard::downstream(&leaf, choice, engines) ──▶ Engine
//! TlsShard::origins() ──▶ OriginMemory         what origins chose and proved last time: a guess at what they will do
//! trial()                                      whether any of this can be trusted
//! ```

mod alpn;
mod authority;
mod boring;
mod chain;
mod client_certificate;
mod engine;
mod fault;
mod issuer;
mod leaf;
mod memory;
mod plaintext;
mod proven;
mod refusal;
mod roots;
mod rustls;
mod shard;
mod ticket;
mod trial;
mod trust;
mod unbuffered;
mod verify;
mod walks;

pub(crate) use alpn::{Alpn, Offer};
pub(crate) use engine::{Engine, PlainRead};
pub(crate) use issuer::Issuer;
#[cfg(test)]
pub(crate) use issuer::IssuerError;
pub(crate) use leaf::Leaf;
pub(crate) use memory::{Answer, Origin};
pub(crate) use roots::UpstreamRoots;
pub(crate) use shard::{LeafOrder, TlsShard, TlsShared};
pub(crate) use ticket::{TicketKey, TicketKeyring};
pub(crate) use trial::trial;
pub(crate) use trust::RootsWatch;
pub(crate) use verify::VerifiedUpstream;

#[cfg(test)]
pub(crate) mod tests;
