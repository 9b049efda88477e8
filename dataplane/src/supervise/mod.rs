//! The supervisor, `penstock-dataplane --supervise`: keeps the listening sockets while data planes come and go.
//!
//! ```text
//! systemd ── SIGHUP, SIGTERM ──▶ supervisor ── LISTEN_FDS, SIGTERM ──▶ data plane (serves)
//!         ◀─ READY, WATCHDOG ──             ◀─ READY, WATCHDOG, FDSTORE ──         (older ones drain)
//! ```
//!
//! One thread, no secrets, no ring, nothing that the network can reach. Data planes are its children; each gets copies of
//! all sockets and gives back those that it opened, so connections that wait are never refused:
//!
//! - a data plane that ends by itself is started again at once, more slowly when it happens again, and never again after
//!   [`CRASHES_MAX`] short lives in a row;
//! - SIGHUP starts the binary and the configuration that are on disk now. Once the new data plane serves, the old one
//!   drains; if it does not within [`UPGRADE_PATIENCE`], it is killed and the old one goes on;
//! - a data plane that says that it is worn out, after many panics, is replaced in the same way;
//! - a data plane that stops giving signs of life is killed, and started again;
//! - when the supervisor dies the data planes see their standard input end, drain and end.
//!
//! `events` waits, `child` is one data plane, `notices` is what they say, `family` decides.

mod child;
mod events;
mod family;
mod notices;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::notify::Notifier;
use crate::ring::{Inherited, Manager};

use child::Program;
use events::Events;
use family::{Family, Turn};
use notices::Notices;

/// What the supervisor hands to each data plane.
pub(crate) struct Command {
    pub(crate) config: PathBuf,
    /// The filter of its log.
    pub(crate) log: String,
    /// Whether the supervisor itself ends with its standard input.
    pub(crate) exit_with_parent: bool,
}

/// Supervises until told to stop. An error: nothing serves any more, and why.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    let sockets = Inherited::take(Manager::System).context("the sockets of LISTEN_FDS cannot be taken over")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let notices = Notices::open().context("data planes could not report")?;
        let program = Program::new(command.config, command.log, notices.address())?;
        let mut events = Events::new(notices, command.exit_with_parent)?;
        let mut family = Family::new(program, sockets.into_rest(), Notifier::from_environment());
        family.start()?;
        loop {
            let event = events.next(family.deadline()).await;
            if let Turn::Stop(result) = family.turn(event) {
                return result;
            }
        }
    })
}

/// Lives shorter than [`STEADY`] in a row after which the supervisor gives up: whoever started it decides then.
const CRASHES_MAX: u32 = 10;
/// A data plane that lived so long did not die of its start.
const STEADY: Duration = Duration::from_secs(60);
/// For a new data plane to serve.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(30);
/// Without a sign of life.
const WATCHDOG_PATIENCE: Duration = Duration::from_secs(10);
/// Before the second start after a crash in a row; doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Data planes that drain at the same time; an upgrade waits for one of them to end.
const DRAINING_MAX: usize = 8;
