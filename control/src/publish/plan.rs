//! How a policy goes out in waves: which nodes come with each, how long each is watched, and what stops it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// The plan of a rollout.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// The last one is everybody.
    waves: Vec<Wave>,
    /// Time for which a wave is watched, from the moment at which all of its nodes have the policy.
    pub(crate) soak_seconds: u64,
    /// Faults in a hundred flows of the nodes that have it, beyond which the rollout halts.
    pub(crate) faults_percent_max: f64,
}

/// Nodes that come together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wave {
    /// Those that bear the label.
    Label(String),
    /// So many of a hundred, rounded up; the same ones in every rollout, and those of a smaller number first.
    Percent(u8),
}

/// What a plan may not be, as the second half of a sentence.
pub(crate) type PlanError = String;

const WAVES_MAX: usize = 20;
pub(crate) const SOAK_SECONDS_DEFAULT: u64 = 600;
const SOAK_SECONDS_MAX: u64 = 7 * 86_400;
pub(crate) const FAULTS_PERCENT_DEFAULT: f64 = 5.0;
/// Flows of a wave below which nothing is concluded from their faults.
const FLOWS_MIN: f64 = 20.0;

/// What nodes counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) flows: f64,
    pub(crate) faults: f64,
}

impl Plan {
    /// Reads waves such as `canary,25%`: a label, or a percentage. Everybody comes last, whether said or not.
    pub(crate) fn parse(waves: &str, soak_seconds: u64, faults_percent_max: f64) -> Result<Self, PlanError> {
        let mut read = waves.split(',').map(|wave| Wave::parse(wave.trim())).collect::<Result<Vec<_>, _>>()?;
        if read.last() != Some(&Wave::Percent(100)) {
            read.push(Wave::Percent(100));
        }
        let percents = read.iter().filter_map(|wave| match wave {
            Wave::Label(_) => None,
            Wave::Percent(percent) => Some(percent),
        });
        if !percents.is_sorted_by(|first, second| first < second) {
            return Err("percentages must grow from wave to wave".to_owned());
        }
        if read.len() > WAVES_MAX {
            return Err(format!("there are {} waves; {WAVES_MAX} is the most", read.len()));
        }
        if soak_seconds > SOAK_SECONDS_MAX {
            return Err(format!("a wave is watched for {SOAK_SECONDS_MAX} seconds at most"));
        }
        if !(0.0..=100.0).contains(&faults_percent_max) {
            return Err("faults are a percentage, from 0 to 100".to_owned());
        }
        Ok(Self { waves: read, soak_seconds, faults_percent_max })
    }

    pub(crate) fn waves(&self) -> &[Wave] {
        &self.waves
    }

    /// Whether the wave is the last one, which everybody comes with.
    pub(crate) fn is_last(&self, wave: usize) -> bool {
        wave + 1 >= self.waves.len()
    }

    /// Which of the nodes (with their labels) come with the wave.
    pub(crate) fn members(&self, wave: usize, nodes: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
        match self.waves.get(wave) {
            Some(Wave::Label(label)) => {
                nodes.iter().filter(|(_, labels)| labels.contains(label)).map(|(name, _)| name.clone()).collect()
            }
            Some(Wave::Percent(percent)) => {
                let mut order: Vec<&String> = nodes.keys().collect();
                order.sort_by_key(|name| rank(name));
                let count = (order.len() * usize::from(*percent)).div_ceil(100);
                order.into_iter().take(count).cloned().collect()
            }
            None => BTreeSet::new(),
        }
    }

    /// Why what was counted since a wave began is too much; `None` when it is not, or says nothing yet.
    pub(crate) fn excess(&self, since: Counted) -> Option<String> {
        let Counted { flows, faults } = since;
        let percent = if flows > 0.0 { faults * 100.0 / flows } else { 0.0 };
        let is_excess = flows >= FLOWS_MIN && percent > self.faults_percent_max;
        is_excess.then(|| {
            format!("{faults} of {flows} flows failed, {percent:.1} %; {} % is the most", self.faults_percent_max)
        })
    }
}

impl Wave {
    fn parse(text: &str) -> Result<Self, PlanError> {
        if let Some(number) = text.strip_suffix('%') {
            let percent = number.parse().ok().filter(|percent| (1..=100).contains(percent));
            return percent.map(Self::Percent).ok_or_else(|| format!("{text:?} is no percentage from 1% to 100%"));
        }
        let is_label = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match !text.is_empty() && text.bytes().all(is_label) {
            true => Ok(Self::Label(text.to_owned())),
            false => Err(format!("{text:?} is neither a label of nodes nor a percentage such as 25%")),
        }
    }
}

impl fmt::Display for Wave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => f.write_str(label),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A node's place among all others, by a hash of its name.
fn rank(name: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, name.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(waves: &str) -> Plan {
        Plan::parse(waves, 60, 5.0).unwrap()
    }

    fn nodes(count: usize) -> BTreeMap<String, Vec<String>> {
        let labels = |number: usize| if number == 1 { vec!["canary".to_owned()] } else { Vec::new() };
        (0..count).map(|number| (format!("node{number}"), labels(number))).collect()
    }

    #[test]
    fn waves_grow_to_everybody() {
        let plan = plan("canary, 10%,50%");
        let told: Vec<String> = plan.waves().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["canary", "10%", "50%", "100%"]);
        let nodes = nodes(10);
        assert_eq!(plan.members(0, &nodes), BTreeSet::from(["node1".to_owned()]));
        let (tenth, half, all) = (plan.members(1, &nodes), plan.members(2, &nodes), plan.members(3, &nodes));
        assert_eq!((tenth.len(), half.len(), all.len()), (1, 5, 10));
        assert!(tenth.is_subset(&half));
        assert!(plan.is_last(3) && !plan.is_last(2));
        assert_eq!(plan.members(1, &self::nodes(3)).len(), 1, "a small fleet has a first wave too");
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused() {
        for waves in ["", "canary,", "0%", "101%", "50%,10%", "50%,50%", "ca nary", "10 %"] {
            assert!(Plan::parse(waves, 60, 5.0).is_err(), "{waves:?}");
        }
        assert!(Plan::parse("10%", 60, 101.0).is_err() && Plan::parse("10%", u64::MAX, 5.0).is_err());
    }

    #[test]
    fn faults_count_once_there_are_enough_flows() {
        let plan = plan("10%");
        assert_eq!(plan.excess(Counted { flows: 19.0, faults: 19.0 }), None);
        assert_eq!(plan.excess(Counted { flows: 100.0, faults: 5.0 }), None);
        let why = plan.excess(Counted { flows: 100.0, faults: 6.0 }).unwrap();
        assert!(why.contains("6 of 100 flows failed"), "{why}");
    }
}
