//! What the simulated endpoints, the load tool and the benches share: a throw-away certificate authority, the pinning of
//! a process to a CPU, and the hot functions of core as operations to count.
//!
//! Nothing here is part of the appliance; the daemons do not depend on this crate.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod hot;
pub mod processor;
