//! One pinned thread with its own ring, listeners, flow table, pools and counters.

pub(crate) mod mailbox;
