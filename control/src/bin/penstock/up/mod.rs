//! `penstock up`: control and data plane on this machine, in the foreground, as two processes joined by a Unix socket.
//!
//! Standard output carries one line of JSON, when the appliance serves; logs go to standard error.

mod arguments;
mod child;
mod files;
mod ready;
mod supervise;
mod transparent;

pub(crate) use arguments::{Arguments, host_entry, run};
