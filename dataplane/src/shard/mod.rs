//! One shard: a pinned thread with its own ring, listener, flow table, pools and counters.
//!
//! | file | owns |
//! |---|---|
//! | `run` | the thread: listen, accept, install, reap, drain |
//! | `state` | what the flows of one shard share |
//! | `flow_table` | the flows now open, and their deadlines |
//! | `quota` | how many flows may be open, in all and of one source |
//! | `orders` | leaves that the signer was asked for |
//! | `mints` | how many of them in a second |
//! | `pools` | pipes |
//! | `pressure` | how near the process is to its memory ceiling |
//! | `pinned` | clients that have refused the leaf and may pass |
//! | `pulse` | that the shard's loop still turns |
//! | `recent` | what was told lately |
//! | `wear` | panics, and when there were too many |
//! | `clock` | coarse time for deadlines |
//! | `mailbox` | messages from the link to the shard |
//! | `tests` | whole flows, simulated from seeds |

mod clock;
mod flow_table;
pub(crate) mod mailbox;
mod mints;
mod orders;
mod pinned;
mod pools;
mod pressure;
mod pulse;
mod quota;
mod recent;
mod run;
mod state;
mod wear;

pub(crate) use clock::Clock;
pub(crate) use mints::Ahead;
pub(crate) use orders::Order;
pub(crate) use pinned::{PinnedClient, PinnedClients};
pub(crate) use pressure::{Pressure, Shed, watch};
pub(crate) use pulse::Pulse;
pub(crate) use quota::{OpenFlows, Ticket};
pub(crate) use run::{Seed, run};
pub(crate) use state::{Shard, ShardSeed};
pub(crate) use wear::Worn;

#[cfg(test)]
mod tests;
