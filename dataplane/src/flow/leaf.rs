//! A flow's leaf: from the cache, or signed for it by the signer, which may take long or not answer at all.
//!
//! Cached leaves need no signer. Without a leaf in time the flow is refused: there is no other way to serve a host that must
//! be inspected. Flows that pass never come here.

use std::rc::Rc;
use std::sync::Arc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::sni::Sni;
use penstock_core::tls::alert::Alert;

use super::control::Stop;
use super::inspect::refuse;
use super::record::Flow;
use crate::audit::unix_now_ms;
use crate::shard::{Ahead, Order};
use crate::tls::{Leaf, VerifiedUpstream};

/// Orders a leaf for `name` while its upstream has yet to prove itself, unless there is one already: so the signer works
/// while the origin does. Whatever goes wrong shows when the leaf is needed. The order stands for as long as it is held.
pub(super) fn order_ahead(flow: &Flow, name: &Sni) -> Option<Rc<Order>> {
    let is_known = flow.shard.tls.borrow().knows(name);
    if is_known { None } else { order(flow, name, Ahead::Yes).ok() }
}

/// The leaf for `name`, which `upstream` proves. The client has heard nothing yet, and hears of a failure by an alert.
pub(super) async fn leaf_for(flow: &Flow, name: &Sni, upstream: &VerifiedUpstream) -> Result<Arc<Leaf>, Fault> {
    let leaf = find_or_order(flow, name, upstream).await;
    if leaf.is_err() {
        refuse(flow, Alert::InternalError).await;
    }
    leaf
}

async fn find_or_order(flow: &Flow, name: &Sni, upstream: &VerifiedUpstream) -> Result<Arc<Leaf>, Fault> {
    if let Some(leaf) = cached(flow, name, upstream)? {
        return Ok(leaf);
    }
    let mint = |kind| Fault::downstream(Phase::Mint, kind);
    let order = order(flow, name, Ahead::No).map_err(mint)?;
    let minted = loop {
        if let Some(outcome) = order.outcome() {
            break outcome.map_err(mint)?;
        }
        flow.control.notified(&order.done).await.map_err(Stop::kind).map_err(mint)?;
    };
    // Another flow that waited for the same order may have been first.
    if let Some(leaf) = cached(flow, name, upstream)? {
        return Ok(leaf);
    }
    flow.shard.cells.leaf_minted.add((), 1);
    Ok(flow.shard.tls.borrow_mut().take(upstream, &order.issuer, &minted, unix_now()))
}

fn cached(flow: &Flow, name: &Sni, upstream: &VerifiedUpstream) -> Result<Option<Arc<Leaf>>, Fault> {
    let leaf = flow.shard.tls.borrow_mut().cached_leaf(name, upstream, unix_now())?;
    if leaf.is_some() {
        flow.shard.cells.leaf_cache_hits.add((), 1);
    }
    Ok(leaf)
}

/// The order that stands, or a new one, which counts against what the flow's source may ask for.
fn order(flow: &Flow, name: &Sni, ahead: Ahead) -> Result<Rc<Order>, FaultKind> {
    let (tls, now) = (flow.shard.tls.borrow(), unix_now());
    if let Some(standing) = flow.shard.orders.find(name).filter(|order| tls.signs_with(&order.issuer)) {
        return Ok(standing);
    }
    let order = tls.order(name, now)?;
    flow.shard.mints.borrow_mut().spend(flow.source(), now, ahead)?;
    Ok(flow.shard.orders.begin(order))
}

fn unix_now() -> i64 {
    i64::try_from(unix_now_ms() / 1000).unwrap_or(i64::MAX)
}
