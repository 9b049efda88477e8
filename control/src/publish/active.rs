//! The policy in force, whole: what every node should have.

use std::sync::Arc;

use penstock_core::policy::Snapshot;
use penstock_link as link;

use crate::ca::IssuerBundle;
use crate::store::Revision;

/// One published revision with its compiled form and the issuer that goes with it.
#[derive(Clone)]
pub(crate) struct Active {
    pub(crate) revision: Arc<Revision>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) issuer: Arc<IssuerBundle>,
    /// The patterns that the issuer may mint for, sorted.
    pub(crate) hosts: Vec<String>,
}

impl Active {
    pub(crate) fn epoch(&self) -> u64 {
        self.revision.epoch
    }

    /// The issuer's name on the link.
    pub(crate) fn issuer_serial(&self) -> &str {
        &self.issuer.serial
    }

    /// What is sent to a node: the issuer's key sealed for the holder of `sealing_key`, or as it is to a node of an older
    /// version, which has none. `None` when that is no key.
    pub(crate) fn state(&self, sealing_key: &[u8]) -> Option<link::State> {
        let IssuerBundle { serial, chain, key, not_before, not_after, .. } = self.issuer.as_ref();
        let (key, sealed_key) = if sealing_key.is_empty() {
            (key.to_vec(), Vec::new())
        } else {
            (Vec::new(), link::seal(sealing_key, chain.first()?, key)?)
        };
        let issuer = link::Issuer {
            serial: serial.clone(),
            chain: chain.clone(),
            key,
            not_before: *not_before,
            not_after: *not_after,
            sealed_key,
        };
        Some(link::State { epoch: self.epoch(), policy: self.revision.text.clone(), issuer: Some(issuer) })
    }
}
