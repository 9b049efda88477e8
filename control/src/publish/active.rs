//! The policy in force, whole: what every node should have.

use std::sync::Arc;

use penstock_core::policy::Snapshot;
use penstock_link as link;

use crate::ca::IssuerBundle;
use crate::store::Revision;

/// One published revision with its compiled form and the issuer that goes with it.
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

    /// What is sent to a node.
    pub(crate) fn state(&self) -> link::State {
        link::State {
            epoch: self.epoch(),
            policy: self.revision.text.clone(),
            issuer: Some(link::Issuer {
                serial: self.issuer.serial.clone(),
                chain: self.issuer.chain.clone(),
                key: self.issuer.key.to_vec(),
                not_before: self.issuer.not_before,
                not_after: self.issuer.not_after,
            }),
        }
    }
}
