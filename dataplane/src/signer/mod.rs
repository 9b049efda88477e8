//! The signer: a process of its own that holds the issuer's key, so that the data plane, which stands in everyone's path,
//! does not.
//!
//! ```text
//! control ── key, sealed for the signer ──▶ data plane ── carries it ──▶ signer: opens it, signs leaves
//!                                            client ◀── socket pair ──▶  process, holder, identity
//! ```
//!
//! It is this program again, started by each data plane as its child, whoever started the data plane; it ends with it. One
//! thread; reads one socket and one file; nothing that the network sends reaches it but host names. What may be asked of it
//! is `penstock_core::signer`: it writes what it signs.
//!
//! Protects from: whatever reads the data plane's memory (an over-read, a core file, swap), its log, or a copy of the
//! last-known-good state alone. Does not protect from: root, and whoever runs code as the data plane's user, who may read
//! the signer's file as it does and ask for leaves as long as he is there.
//!
//! | file | owns |
//! |---|---|
//! | `client` | the data plane's end: asking, with a deadline, and starting the signer again |
//! | `child` | one signer process and its socket |
//! | `process` | the signer's end: one request after the other |
//! | `holder` | the keys, and what is signed |
//! | `identity` | the key pair that issuers' keys are sealed for, in a file |

mod child;
mod client;
mod holder;
mod identity;
mod process;
#[cfg(test)]
mod tests;

pub(crate) use child::Place;
#[cfg(test)]
pub(crate) use client::Ask;
pub(crate) use client::{AdoptError, SealedIssuer, SignerHandle, start};
pub(crate) use holder::Holder;
pub(crate) use process::run;
