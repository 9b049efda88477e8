//! Requests of an upstream for the client's own certificate: the appliance has none to show.
//!
//! A user's device certificate cannot be presented by the appliance, and going on without it would sign the user in with
//! less than the origin asks for. So a request is a fault, whichever engine meets it.

use std::sync::atomic::{AtomicBool, Ordering};

use penstock_core::flow::FaultKind;

/// Remembers that a certificate was asked for, from the engine's own callback until the leg looks.
///
/// Engines ask while they process a connection, and all connections of a shard are processed on its one thread, each
/// until [`Self::refuse`] has been asked. So one flag per shard is enough.
#[derive(Debug, Default)]
pub(super) struct ClientCertificateRequests {
    requested: AtomicBool,
}

impl ClientCertificateRequests {
    /// A certificate was asked for.
    pub(super) fn note(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// The fault, when one was asked for since the last question.
    pub(super) fn refuse(&self) -> Result<(), FaultKind> {
        if self.requested.swap(false, Ordering::Relaxed) { Err(FaultKind::ClientCertificate) } else { Ok(()) }
    }
}
