//! From names to addresses: the operator's table, then DNS behind a small cache per shard.
//!
//! ```text
//! shard 0: Resolver (cache, one question per name at a time) ─┐
//! shard 1: Resolver                                           ─┴─▶ Lookups: hickory on the background runtime ─▶ DNS
//! ```
//!
//! ConnectorAddresses: the other way round, from addresses to the inspected hosts that have them.
//!
//! Owns how long an answer is believed and what happens while DNS fails; does not own which addresses may be dialled
//! (`penstock_core::policy::destination`) nor the order of attempts beyond alternating the families (`flow::dial`).

mod cache;
mod connector_addresses;
mod lookups;
mod resolver;
#[cfg(test)]
mod tests;

pub(crate) use connector_addresses::ConnectorAddresses;
pub(crate) use lookups::Lookups;
pub(crate) use resolver::Resolver;
