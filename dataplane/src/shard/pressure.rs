//! Memory pressure: how near the process is to its ceiling, and what it sheds before the kernel has to choose.
//!
//! Measured once for all shards, by the background thread; shards and flows only look. What it sheds comes back as soon as
//! there is room: nothing is remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use penstock_core::limits::{
    MEMORY_FLOWS_PERCENT, MEMORY_INSPECTED_PERCENT, MEMORY_KEEP_ALIVE_PERCENT, MEMORY_NEAR_PERCENT,
    MEMORY_NEAR_PERIOD_MS, MEMORY_PERIOD_MS,
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
        let mut period_ms = MEMORY_PERIOD_MS;
        if let Some(bytes) = resident_bytes() {
            cells.memory_resident_bytes.set((), bytes);
            let percent = bytes.saturating_mul(100) / ceiling_bytes.max(1);
            pressure.note(percent);
            period_ms = period_ms_at(percent);
        }
        tokio::time::sleep(Duration::from_millis(period_ms)).await;
    }
}

/// Until the next look: sooner where the next step is near.
const fn period_ms_at(percent: u64) -> u64 {
    if percent < MEMORY_NEAR_PERCENT { MEMORY_PERIOD_MS } else { MEMORY_NEAR_PERIOD_MS }
}

/// By their numbers.
const STEPS: [Shed; 4] = [Shed::Nothing, Shed::KeepAlive, Shed::Inspected, Shed::Flows];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_by_the_second_is_seen_before_it_is_gone() {
        // 256 MiB a second below a ceiling of 1 GiB: what 4,000 hellos of 64 KiB take. Wherever the first look falls.
        for start_ms in 0..MEMORY_PERIOD_MS {
            let (pressure, mut now_ms) = (Pressure::default(), start_ms);
            let percent = loop {
                let percent = now_ms * 256 * 100 / 1_000 / 1_024;
                pressure.note(percent);
                if pressure.shed() == Shed::Flows {
                    break percent;
                }
                now_ms += period_ms_at(percent);
            };
            assert!((95..=96).contains(&percent), "refused at {percent} %");
        }
    }

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
