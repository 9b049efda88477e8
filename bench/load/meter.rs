//! Reads what CPU time a process has used, from the kernel's accounting (`/proc/PID/stat`, all threads).

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// User and system time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Used {
    pub(crate) user_ms: u64,
    pub(crate) system_ms: u64,
}

impl Used {
    /// What each of `pids` has used since it began.
    pub(crate) fn of(pids: &[u32]) -> anyhow::Result<Vec<Self>> {
        let read = |pid: &u32| {
            let path = format!("/proc/{pid}/stat");
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            Self::parse(&text).with_context(|| format!("{path} is not as expected"))
        };
        pids.iter().map(read).collect()
    }

    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            user_ms: self.user_ms.saturating_sub(before.user_ms),
            system_ms: self.system_ms.saturating_sub(before.system_ms),
        }
    }

    pub(crate) const fn total(self) -> Duration {
        Duration::from_millis(self.user_ms + self.system_ms)
    }

    /// proc(5): fields 14 and 15, in clock ticks. The name in field 2 may hold spaces and brackets, so fields are
    /// counted from behind it.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks = |index| fields.split(' ').nth(index)?.parse::<u64>().ok();
        let tick_ms = 1_000 / rustix::param::clock_ticks_per_second();
        Some(Self { user_ms: ticks(11)? * tick_ms, system_ms: ticks(12)? * tick_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (odd) name)) S 1 12 12 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 1 0 5 1 1";
        assert_eq!(Used::parse(stat), Some(Used { user_ms: 2_500, system_ms: 310 }));
        assert_eq!(Used::parse("nonsense"), None);
    }

    #[test]
    fn this_process_has_used_some() {
        let before = Used::of(&[std::process::id()]).unwrap();
        let after = Used::of(&[std::process::id()]).unwrap();
        assert!(after[0].since(before[0]).total() < Duration::from_secs(60));
        assert!(Used::of(&[u32::MAX]).is_err());
    }
}
