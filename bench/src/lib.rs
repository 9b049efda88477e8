//! What the simulated endpoints and the load tool share: a throw-away certificate authority and the pinning of a
//! process to a CPU.
//!
//! Nothing here is part of the appliance; the daemons do not depend on this crate.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod processor;
