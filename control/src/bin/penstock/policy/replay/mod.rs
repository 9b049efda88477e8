//! `penstock policy test`: a capture's ClientHellos against a policy.
//!
//! ```text
//! file -> capture -> frame -> flows -> stream (TCP), core::quic (UDP) -> judge -> report
//! ```
//!
//! | file | owns |
//! |---|---|
//! | `command` | arguments, and what is printed |
//! | `capture` | pcap and pcapng files to packets, and what is wrong with a file |
//! | `frame` | a packet to the addresses and payload of a TCP segment or a UDP datagram |
//! | `flows` | the flows of a capture and their bounds |
//! | `stream` | segments in any order to the first bytes of a connection |
//! | `judge` | what the appliance would do with a flow |
//! | `report` | rows and totals |
//! | `cipher` | the primitives of QUIC's Initial packets |

mod capture;
mod cipher;
mod command;
mod flows;
mod frame;
mod judge;
mod report;
mod stream;

pub(super) use command::{Arguments, run};
