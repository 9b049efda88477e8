//! `[limits]`: how many flows may be open, and how many leaves minted in a second, in all and of one source, and how much
//! memory they may take.

use std::num::NonZeroU16;

use penstock_core::limits::{FLOWS_PER_SHARD_MAX, LEAF_MINTS_PER_SECOND_MAX, MEMORY_CEILING_MIB_MIN};
use toml::Spanned;

use super::error::ConfigError;
use super::raw::RawFlowLimits;
use super::typed::Source;

/// How many flows may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowLimits {
    /// In the process. Default, and most: 65,536 for each shard. A passed flow costs about 1 KiB, an inspected one 40 KiB.
    pub(crate) flows: usize,
    /// Of one source on one shard; addresses of one /64 of IPv6 are one source. Default: half of a shard's part of `flows`.
    /// A site behind one address may have tens of thousands, so a lower default would cut honest users off; half is
    /// enough that no source can shut the others out.
    pub(crate) flows_per_source: usize,
    /// Memory of the process, from 85 percent of which on it sheds load. Default: what its cgroup and the machine have.
    pub(crate) memory_bytes: Option<u64>,
}

/// How many leaves one shard mints in a second; those that it keeps cost nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MintLimits {
    /// In all. Default: 2,000.
    pub(crate) per_second: usize,
    /// For one source. Default: half of `per_second`, for the reasons of [`FlowLimits::flows_per_source`].
    pub(crate) per_source: usize,
}

impl Source<'_> {
    pub(super) fn mint_limits(&self, raw: &RawFlowLimits) -> Result<MintLimits, ConfigError> {
        let number = |key, count| self.count(key, count, MINTS_PER_SECOND_MOST);
        let per_second = number("limits.mints_per_second_max", raw.mints_per_second_max.as_ref())?;
        let per_second = per_second.unwrap_or(LEAF_MINTS_PER_SECOND_MAX);
        let per_source =
            number("limits.mints_per_second_and_source_max", raw.mints_per_second_and_source_max.as_ref())?;
        Ok(MintLimits { per_second, per_source: per_source.unwrap_or_else(|| (per_second / 2).max(1)) })
    }

    pub(super) fn flow_limits(&self, raw: &RawFlowLimits, shards: NonZeroU16) -> Result<FlowLimits, ConfigError> {
        let shards = usize::from(shards.get());
        let most = shards * FLOWS_PER_SHARD_MAX;
        let flows = self.count("limits.flows_max", raw.flows_max.as_ref(), most)?.unwrap_or(most);
        let per_source = raw.flows_per_source_max.as_ref();
        let per_source = self.count("limits.flows_per_source_max", per_source, FLOWS_PER_SHARD_MAX)?;
        let flows_per_source = per_source.unwrap_or_else(|| (flows / shards / 2).max(1));
        Ok(FlowLimits { flows, flows_per_source, memory_bytes: self.memory(raw.memory_mib_max.as_ref())? })
    }

    fn memory(&self, mib: Option<&Spanned<u64>>) -> Result<Option<u64>, ConfigError> {
        match mib {
            Some(mib) if *mib.get_ref() < MEMORY_CEILING_MIB_MIN => {
                self.refuse(mib, format!("`limits.memory_mib_max` must be {MEMORY_CEILING_MIB_MIN} or more"))
            }
            mib => Ok(mib.map(|mib| mib.get_ref().saturating_mul(1 << 20))),
        }
    }

    pub(super) fn count(
        &self,
        key: &str,
        count: Option<&Spanned<u64>>,
        most: usize,
    ) -> Result<Option<usize>, ConfigError> {
        let Some(count) = count else { return Ok(None) };
        match usize::try_from(*count.get_ref()) {
            Ok(within) if (1..=most).contains(&within) => Ok(Some(within)),
            _ => self.refuse(count, format!("`{key}` must be between 1 and {most}")),
        }
    }
}

/// More than a core can sign in a second.
const MINTS_PER_SECOND_MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn limits(text: &str) -> Result<FlowLimits, String> {
        let shortest = "shards = 2\nstate_directory = \"s\"\nlisten.proxy = \"127.0.0.1:1\"\nlink.socket = \"l\"\n";
        let config = Config::parse("dataplane.toml", &format!("{shortest}{text}"));
        config.map(|config| config.limits).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_read_and_have_defaults() {
        assert_eq!(limits("").unwrap(), FlowLimits { flows: 131_072, flows_per_source: 32_768, memory_bytes: None });
        let read = limits("[limits]\nflows_max = 100\n").unwrap();
        assert_eq!(read, FlowLimits { flows: 100, flows_per_source: 25, memory_bytes: None });
        assert_eq!(limits("[limits]\nflows_max = 1\n").unwrap().flows_per_source, 1);
        assert_eq!(limits("[limits]\nflows_per_source_max = 7\n").unwrap().flows_per_source, 7);
        assert_eq!(limits("[limits]\nmemory_mib_max = 64\n").unwrap().memory_bytes, Some(64 << 20));
    }

    #[test]
    fn leaves_are_limited_by_the_second() {
        let mints = |text: &str| {
            let shortest = "state_directory = \"s\"\nlisten.proxy = \"127.0.0.1:1\"\nlink.socket = \"l\"\n[limits]\n";
            let config = Config::parse("dataplane.toml", &format!("{shortest}{text}"));
            config.map(|config| config.mints).map_err(|error| error.to_string())
        };
        assert_eq!(mints("").unwrap(), MintLimits { per_second: 2_000, per_source: 1_000 });
        assert_eq!(mints("mints_per_second_max = 1\n").unwrap(), MintLimits { per_second: 1, per_source: 1 });
        let read = mints("mints_per_second_max = 50\nmints_per_second_and_source_max = 3\n").unwrap();
        assert_eq!(read, MintLimits { per_second: 50, per_source: 3 });
        assert!(mints("mints_per_second_max = 0\n").unwrap_err().contains("must be between 1 and 100000"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let refused = |line: &str| limits(&format!("[limits]\n{line}\n")).unwrap_err();
        assert_eq!(
            refused("flows_max = 0"),
            "dataplane.toml:6:13: error: `limits.flows_max` must be between 1 and 131072"
        );
        assert!(refused("flows_max = 131073").contains(":6:13: error: `limits.flows_max`"));
        assert!(refused("memory_mib_max = 31").contains("`limits.memory_mib_max` must be 32 or more"));
        assert!(refused("flows_per_source_max = 65537").contains("must be between 1 and 65536"));
    }
}
