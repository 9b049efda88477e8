//! Signs of life for the service manager: given while every shard's loop turns, and this thread's does.

use std::sync::Arc;

use crate::notify::{self, Notifier};
use crate::shard::Pulse;

/// Feeds the manager's watchdog, when it has one, until the runtime ends. A shard that stands still ends that, and the
/// manager ends the process: half an appliance is none.
pub(crate) async fn feed(notifier: Arc<Notifier>, pulses: Vec<Arc<Pulse>>) {
    let Some(patience) = notify::watchdog() else { return };
    let mut seen = vec![0; pulses.len()];
    let mut is_told = false;
    loop {
        tokio::time::sleep(patience / 3).await;
        let mut all_alive = true;
        for (shard, (pulse, seen)) in pulses.iter().zip(&mut seen).enumerate() {
            if !pulse.is_alive(seen) {
                all_alive = false;
                if !is_told {
                    tracing::error!(shard, "the shard stands still");
                }
            }
        }
        is_told = !all_alive;
        if all_alive {
            notifier.tell("WATCHDOG=1");
        }
    }
}
