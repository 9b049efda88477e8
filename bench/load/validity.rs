//! Whether a run counts: what RFC 9411 asks of the sustain phase, as far as one machine can tell.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Seen;
use crate::outcome::{Phase, Sample};
use crate::profile::Profile;
use crate::tally::{Counts, Failure};

/// One rule and what was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) rule: String,
    /// Percent.
    pub(crate) limit: f64,
    /// Percent.
    pub(crate) found: f64,
    pub(crate) holds: bool,
}

/// Failed operations and resets by operations; how much the rate moves; how much the number of held flows moves. A rate
/// is taken against the one that was asked for in an open loop, else between the halves of the phase: single seconds
/// of a shared machine say nothing.
pub(crate) fn judge(profile: &Profile, seen: &Seen, sustained: &Counts) -> Vec<Rule> {
    let attempts = (sustained.operations + sustained.failed()) as f64;
    let resets = sustained.failures.get(&Failure::Reset).copied().unwrap_or_default();
    let mut rules = vec![
        Rule::new("failed operations", FAILED_PERCENT_MAX, percent(sustained.failed() as f64, attempts)),
        Rule::new("unexpected resets", FAILED_PERCENT_MAX, percent(resets as f64, attempts)),
    ];
    for (stream, lane) in profile.streams.iter().zip(&seen.lanes) {
        if let Some(rate) = stream.pace.rate {
            let asked = rate * seen.sustained.as_secs_f64();
            // One more or less may fall on either side of the phase's edges.
            let short = ((asked - lane.tally.sustained.borrow().operations as f64).abs() - 1.0).max(0.0);
            rules.push(Rule::new(
                &format!("rate of `{}` off the one asked for", stream.name),
                RATE_PERCENT_MAX,
                percent(short, asked),
            ));
        }
    }
    let samples: Vec<&Sample> = seen.samples.iter().filter(|sample| sample.phase == Phase::Sustain).collect();
    if profile.streams.iter().all(|stream| stream.pace.rate.is_none()) {
        let rates: Vec<f64> = samples.iter().map(|sample| sample.operations_per_second).collect();
        rules.push(Rule::new("rate between both halves", RATE_PERCENT_MAX, between_halves(&rates)));
    }
    if profile.streams.iter().any(crate::profile::Stream::holds) {
        let flows: Vec<f64> = samples.iter().map(|sample| sample.held_flows as f64).collect();
        rules.push(Rule::new("held flows off their mean", FLOWS_PERCENT_MAX, off_mean(&flows)));
    }
    rules
}

impl Rule {
    fn new(rule: &str, limit: f64, found: f64) -> Self {
        Self { rule: rule.to_owned(), limit, found, holds: found <= limit }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "holds" } else { "BROKEN" };
        write!(formatter, "{word}: {} {:.3} %, at most {} %", self.rule, self.found, self.limit)
    }
}

fn percent(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to * 100.0 } else { 0.0 }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn between_halves(values: &[f64]) -> f64 {
    let (first, second) = values.split_at(values.len() / 2);
    if first.is_empty() { 0.0 } else { percent((mean(first) - mean(second)).abs(), mean(values)) }
}

fn off_mean(values: &[f64]) -> f64 {
    let middle = mean(values);
    values.iter().map(|value| percent((value - middle).abs(), middle)).fold(0.0, f64::max)
}

const FAILED_PERCENT_MAX: f64 = 0.001;
const RATE_PERCENT_MAX: f64 = 5.0;
const FLOWS_PERCENT_MAX: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_is_seen_and_a_single_second_is_not() {
        assert_eq!(between_halves(&[100.0, 120.0, 110.0, 110.0]), 0.0);
        assert_eq!(between_halves(&[90.0, 90.0, 110.0, 110.0]), 20.0);
        assert_eq!(between_halves(&[7.0]), 0.0);
        assert_eq!(off_mean(&[100.0, 100.0, 70.0]), 200.0 / 9.0);
        assert_eq!(off_mean(&[]), 0.0);
    }

    #[test]
    fn one_failure_in_a_hundred_thousand_is_the_limit() {
        assert!(Rule::new("failed", FAILED_PERCENT_MAX, percent(1.0, 100_000.0)).holds);
        let broken = Rule::new("failed", FAILED_PERCENT_MAX, percent(2.0, 100_000.0));
        assert!(!broken.holds && broken.to_string().starts_with("BROKEN: failed 0.002 %"));
    }
}
