//! The I/O seam: the only place that names tokio-uring and io-uring, and the only place where `unsafe` may stand.
//!
//! | file | owns |
//! |---|---|
//! | `operation` | one kernel operation: submitted, counted, completed; never dropped in flight |
//! | `poll` | readiness of a descriptor, and cancelling by descriptor |
//! | `accept`, `connect` | the two operations that the kernel completes by itself |
//! | `socket` | a TCP socket: inline non-blocking calls, and waiting by `poll` |
//! | `datagram` | UDP sockets that stand in for other hosts |
//! | `pipe` | a pipe and `splice(2)`, inline |
//! | `descriptor` | an open socket and its waits, on either engine |
//! | `engine`, `epoll` | which engine a thread has, and the one for hosts that refuse io_uring |
//! | `address` | socket addresses as the kernel writes them |
//! | `inherited` | sockets that the process was started with |
//! | `runtime` | the runtime of one shard, its settings, and the probe |
//! | `turns` | how a shard's thread shares its CPU |
//! | `chaos` | in test builds: what a network may do to all of these, from a seed |
//!
//! Data moves by inline non-blocking system calls on the shard's own thread, so the kernel never holds a buffer of
//! ours: an idle flow owns none, and cancelling is always safe. The ring batches what waits: readiness, accepts and
//! connects of all flows go into the kernel, and come back, in one system call per turn of the loop.
//! `splice(2)` is never given to the ring: `IORING_OP_SPLICE` always runs on a kernel worker thread.

#![expect(unsafe_code, reason = "the seam to the kernel; each block has its argument")]

mod accept;
mod address;
#[cfg(test)]
pub(crate) mod chaos;
mod connect;
mod datagram;
mod descriptor;
mod engine;
mod epoll;
mod inherited;
mod operation;
mod pipe;
mod poll;
mod runtime;
mod socket;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use accept::accept;
pub(crate) use datagram::{DatagramListener, DatagramSender, Received};
pub(crate) use engine::IoEngine;
pub(crate) use inherited::{Heirloom, Inherited, Manager};
pub(crate) use operation::in_flight;
pub(crate) use pipe::Pipe;
pub(crate) use runtime::{probe, spawn, start};
pub(crate) use socket::{Listener, Socket, is_own};
pub(crate) use turns::take_short_turns;
