//! UDP/443 of inside hosts: QUIC to inspected hosts is refused, so that clients take TCP; all else is handed to the kernel.
//!
//! ```text
//! inside host ── long header (all Initials) ──▶ TPROXY ─▶ `listener` ─▶ `flows` ─▶ core::quic, `judge`
//!      │         or a flow that has not passed                                 │pass          │refuse
//!      │                                              sent on as the client,   ▼              ▼
//!      │                                              marked             set of passed    CONNECTION_CLOSE
//!      └────────── short header, flow in the set ───────────────────────────▶ forwarded by the kernel
//! ```
//! Each Initial comes here, those of passed flows too: no connection begins unread. What follows in a passed flow never does.
//! The kernel's set is filled by the packets that are sent on (`deploy/nftables/quic.nft`); nothing here talks to the firewall.
//!
//! | file | owns |
//! |---|---|
//! | `listener` | taking datagrams, and sending them on or answering |
//! | `flows` | the bounded table of flows, what waits in them, and their end |
//! | `judge` | decision, metrics and audit of a flow |
//! | `turn` | which process reads while one takes over from another |
//! | `cipher` | primitives of Initial packets |

mod cipher;
mod flows;
mod judge;
mod listener;
mod turn;

pub(crate) use flows::UdpFlows;
pub(crate) use listener::{bind, end, reap, serve};
pub(crate) use turn::Turn;
