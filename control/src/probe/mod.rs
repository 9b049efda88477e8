//! Whether hosts that pass lead to inspected ones: what is asked inside a passed connection is not seen, so it is asked
//! here, once, on the operator's order.
//!
//! Two ways are looked for. An origin that answers under one server name for another host lets a client put the inspected
//! host's name into its request alone ("domain fronting"). A certificate that covers both lets a browser send requests for
//! the inspected host over a connection that it has to the other (RFC 9113 section 9.1.1).

mod exchange;
mod prober;

pub use prober::{Findings, Fronting, Pair, Prober};
