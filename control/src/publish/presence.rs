//! Every data plane of the fleet, whichever control holds it: tells the other daemons of those that are attached here, and
//! asks them for theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fleet::{Fleet, NodeView};
use crate::audit::moment;
use crate::store::{PresenceRecord, PresenceStore, StoreError};

/// See the module.
pub(crate) struct Presence {
    fleet: Arc<Fleet>,
    /// None where no other daemon shares anything with this one.
    store: Option<Arc<dyn PresenceStore>>,
    /// Of this daemon among all.
    name: String,
}

/// Data planes, by name.
pub(crate) struct Everywhere {
    pub(crate) nodes: Vec<NodeView>,
    /// False while those of other daemons cannot be looked up.
    pub(crate) is_complete: bool,
}

/// What other daemons are told of a data plane that is attached here.
#[derive(Deserialize, Serialize)]
pub(super) struct Said {
    #[serde(flatten)]
    pub(super) view: NodeView,
    /// When it was last known to have what it should have, Unix milliseconds; none where that is now.
    pub(super) confirmed_ms: Option<u64>,
}

impl Presence {
    pub(crate) fn new(fleet: Arc<Fleet>, store: Option<Arc<dyn PresenceStore>>, name: String) -> Self {
        Self { fleet, store, name }
    }

    /// Whether there is anybody to tell.
    pub(crate) const fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// Tells the others what is attached here; to be repeated every few seconds.
    pub(crate) async fn announce(&self) -> Result<(), StoreError> {
        let Some(store) = &self.store else { return Ok(()) };
        let written = |(name, said): (String, Said)| Some((name, serde_json::to_string(&said).ok()?));
        store.announce(self.fleet.said().into_iter().filter_map(written).collect()).await
    }

    /// Tells the others that nothing is attached here any more.
    pub(crate) async fn withdraw(&self) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.withdraw().await,
            None => Ok(()),
        }
    }

    /// Every data plane that is attached anywhere, and those that were attached here.
    pub(crate) async fn view(&self) -> Everywhere {
        let Some(store) = &self.store else { return Everywhere { nodes: self.fleet.view(), is_complete: true } };
        let control = || Some(self.name.clone());
        let own = self.fleet.view().into_iter().map(|view| NodeView { control: control(), ..view });
        let mut nodes: BTreeMap<String, NodeView> = own.map(|view| (view.node.clone(), view)).collect();
        let present = store.present().await;
        if let Err(error) = &present {
            tracing::error!(%error, "the data planes of other control daemons cannot be looked up");
        }
        let is_complete = present.is_ok();
        let now_ms = moment::now_ms();
        for view in present.unwrap_or_default().into_iter().filter_map(|record| self.read(record, now_ms)) {
            // Where it is attached twice, the later one speaks for it.
            let is_known = |known: &NodeView| known.attached && known.since >= view.since;
            if !nodes.get(&view.node).is_some_and(is_known) {
                nodes.insert(view.node.clone(), view);
            }
        }
        Everywhere { nodes: nodes.into_values().collect(), is_complete }
    }

    /// What another daemon says of a node.
    fn read(&self, record: PresenceRecord, now_ms: u64) -> Option<NodeView> {
        let PresenceRecord { control, node, said } = record;
        if control == self.name {
            return None;
        }
        let Said { view, confirmed_ms } = serde_json::from_str(&said).ok()?;
        let policy_age_seconds = match confirmed_ms {
            None => Some(0),
            Some(0) => None,
            Some(confirmed_ms) => Some(now_ms.saturating_sub(confirmed_ms) / 1_000),
        };
        Some(NodeView { node, control: Some(control), policy_age_seconds, ..view })
    }
}
