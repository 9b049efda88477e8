//! `penstock doctor`: what would keep the appliance from working on this machine, and how to mend it.
//!
//! Kernel, ring and limits are looked at by the data plane itself (`penstock-dataplane --probe`), so that what is told
//! is what it would meet. The rest is looked at here.

mod look;
mod report;

pub(crate) use report::{Arguments, run};
