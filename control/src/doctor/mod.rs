//! What would keep the appliance from working on this machine, and how to mend it.
//!
//! Kernel, ring and limits are looked at by the data plane itself (`penstock-dataplane --probe`), so that what is told
//! is what it would meet. The rest is looked at here. Called by the web UI and by `penstock doctor`.

mod look;
mod report;

pub use report::{Check, Report, State, examine};
