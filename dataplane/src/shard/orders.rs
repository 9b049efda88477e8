//! Leaves that one shard has asked the signer for: one request per name, however many flows wait for it.
//!
//! An order lives for as long as a flow holds it. It is served by a task of its own, so a flow that ends while it waits
//! leaves the others' order alone; the signer's deadline bounds the task.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use penstock_core::flow::FaultKind;
use penstock_core::signer::Minted;
use penstock_core::sni::Sni;
use tokio::sync::Notify;

use crate::ring;
use crate::signer::SignerHandle;
use crate::tls::{Issuer, LeafOrder};

/// The orders that flows hold.
pub(crate) struct Orders {
    signer: SignerHandle,
    open: RefCell<HashMap<Sni, Weak<Order>>>,
}

/// A leaf that was asked for.
pub(crate) struct Order {
    pub(crate) issuer: Arc<Issuer>,
    outcome: RefCell<Option<Result<Arc<Minted>, FaultKind>>>,
    /// Told once there is an outcome.
    pub(crate) done: Notify,
}

impl Order {
    /// What came of it; `None` before.
    pub(crate) fn outcome(&self) -> Option<Result<Arc<Minted>, FaultKind>> {
        self.outcome.borrow().clone()
    }
}

impl Orders {
    pub(super) fn new(signer: SignerHandle) -> Self {
        Self { signer, open: RefCell::default() }
    }

    /// The order for `name` that some flow holds, unless it has failed.
    pub(crate) fn find(&self, name: &Sni) -> Option<Rc<Order>> {
        let order = self.open.borrow().get(name)?.upgrade()?;
        let has_failed = matches!(*order.outcome.borrow(), Some(Err(_)));
        (!has_failed).then_some(order)
    }

    /// Asks the signer.
    pub(crate) fn begin(&self, order: LeafOrder) -> Rc<Order> {
        let LeafOrder { issuer, request } = order;
        let name = request.name.clone();
        let order = Rc::new(Order { issuer, outcome: RefCell::default(), done: Notify::new() });
        let mut open = self.open.borrow_mut();
        if open.len() == open.capacity() {
            open.retain(|_, order| order.strong_count() > 0);
        }
        open.insert(name, Rc::downgrade(&order));
        let (served, signer) = (Rc::clone(&order), self.signer.clone());
        ring::spawn(async move {
            let minted = signer.mint(request).await;
            *served.outcome.borrow_mut() = Some(minted.map(Arc::new));
            served.done.notify_waiters();
        });
        order
    }
}
