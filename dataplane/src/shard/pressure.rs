//! Memory pressure: how near the process is to its ceiling, and what it sheds before the kernel has to choose.
//!
//! Measured once for all shards, by the background thread; shards and flows only look. What it sheds comes back as soon as
//! there is room: nothing is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use penstock_core::limits::{
    MEMORY_FLOWS_PERCENT, MEMORY_INSPECTED_PERCENT, MEMORY_KEEP_ALIVE_PERCENT, MEMORY_PERIOD_MS,
};

use crate::metrics::ProcessCells;

/// What is not had any more. Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shed {
    Nothing,
    /// Inspected connections end after the answers that are due.
    KeepAlive,
    /// New flows to inspected hosts are refused.
    Inspected,
    /// All new flows are refused.
    Flows,
}

/// The step that the process is at.
#[derive(Debug, Default)]
pub(crate) struct Pressure(AtomicU8);

impl Pressure {
    pub(crate) fn shed(&self) -> Shed {
        STEPS.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Shed::Nothing)
    }

    /// Takes note of what is used of the ceiling, in percent.
    fn note(&self, percent: u64) {
        let before = self.shed();
        let shed = match percent {
            MEMORY_FLOWS_PERCENT.. => Shed::Flows,
            MEMORY_INSPECTED_PERCENT.. => Shed::Inspected,
            MEMORY_KEEP_ALIVE_PERCENT.. => Shed::KeepAlive,
            _ => Shed::Nothing,
        };
        if shed != before {
            self.0.store(shed as u8, Ordering::Relaxed);
            tracing::warn!(percent, ?shed, "memory: what is shed changes");
        }
    }
}

/// Measures until the runtime ends. `ceiling_bytes` is what the process may use, `resident_bytes` says what it uses.
pub(crate) async fn watch(
    pressure: Arc<Pressure>,
    ceiling_bytes: u64,
    resident_bytes: impl Fn() -> Option<u64>,
    cells: Arc<ProcessCells>,
) {
    cells.memory_ceiling_bytes.set((), ceiling_bytes);
    loop {
        if let Some(bytes) = resident_bytes() {
            cells.memory_resident_bytes.set((), bytes);
            pressure.note(bytes.saturating_mul(100) / ceiling_bytes.max(1));
        }
        tokio::time::sleep(Duration::from_millis(MEMORY_PERIOD_MS)).await;
    }
}

/// By their numbers.
const STEPS: [Shed; 4] = [Shed::Nothing, Shed::KeepAlive, Shed::Inspected, Shed::Flows];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_sheds_more_and_is_taken_back() {
        let pressure = Pressure::default();
        assert_eq!(pressure.shed(), Shed::Nothing);
        for (percent, shed) in [
            (84, Shed::Nothing),
            (85, Shed::KeepAlive),
            (91, Shed::KeepAlive),
            (92, Shed::Inspected),
            (95, Shed::Flows),
            (u64::MAX, Shed::Flows),
            (93, Shed::Inspected),
            (10, Shed::Nothing),
        ] {
            pressure.note(percent);
            assert_eq!(pressure.shed(), shed, "{percent} %");
        }
        assert!(STEPS.is_sorted());
    }
}
