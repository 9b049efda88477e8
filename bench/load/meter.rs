//! Reads what a process uses, from the kernel's accounting: CPU time of all threads, memory, descriptors.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// A process as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Since it began.
    pub(crate) user_ms: u64,
    pub(crate) system_ms: u64,
    pub(crate) rss_bytes: u64,
    /// Pages divided by who shares them; none where the kernel does not let us see.
    pub(crate) pss_bytes: Option<u64>,
    pub(crate) descriptors: u64,
}

impl Used {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let mut used = Self::parse(&text).with_context(|| format!("{path} is not as expected"))?;
        used.pss_bytes = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().as_deref().and_then(pss);
        used.descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        Ok(used)
    }

    /// The name that the kernel has for it.
    pub(crate) fn name(pid: u32) -> String {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim().to_owned()
    }

    /// Proportional where that can be read, else resident.
    pub(crate) fn memory_bytes(self) -> u64 {
        self.pss_bytes.unwrap_or(self.rss_bytes)
    }

    pub(crate) const fn cpu(self) -> Duration {
        Duration::from_millis(self.user_ms + self.system_ms)
    }

    /// proc(5): fields 14 and 15 in clock ticks, 24 in pages. The name in field 2 may hold spaces and brackets, so fields
    /// are counted from behind it.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let field = |index| fields.split(' ').nth(index)?.trim().parse::<u64>().ok();
        let tick_ms = 1_000 / rustix::param::clock_ticks_per_second();
        Some(Self {
            user_ms: field(11)? * tick_ms,
            system_ms: field(12)? * tick_ms,
            rss_bytes: field(21)? * rustix::param::page_size() as u64,
            ..Self::default()
        })
    }
}

fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (odd) name)) S 1 12 12 0 -1 4194560 100 0 0 0 250 31 0 0 20 0 1 0 5 99 7 18";
        let used = Used::parse(stat).unwrap();
        assert_eq!((used.user_ms, used.system_ms), (2_500, 310));
        assert_eq!(used.rss_bytes, 7 * rustix::param::page_size() as u64);
        assert_eq!(Used::parse("nonsense"), None);
    }

    #[test]
    fn this_process_uses_some() {
        let used = Used::of(std::process::id()).unwrap();
        assert!(used.descriptors >= 3 && used.rss_bytes > 100_000);
        assert!(used.memory_bytes() > 100_000 && used.memory_bytes() <= used.rss_bytes * 2);
        assert!(Used::of(u32::MAX).is_err());
    }

    #[test]
    fn the_proportional_size_is_read_in_bytes() {
        assert_eq!(pss("00 r [rollup]\nRss:  100 kB\nPss:   64 kB\nPss_Dirty: 3 kB\n"), Some(65_536));
        assert_eq!(pss("nothing"), None);
    }
}
