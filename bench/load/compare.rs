//! Two results side by side: each figure, its ratio, and whether one of the chosen ones became worse.

use std::fmt;

use anyhow::ensure;
use serde::Serialize;

use crate::outcome::{Outcome, ratio};

/// The figures of two results.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    first: String,
    second: String,
    tolerance_percent: f64,
    rows: Vec<Row>,
}

/// One figure of both.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    metric: String,
    first: f64,
    second: f64,
    /// The second by the first.
    ratio: Option<f64>,
    lower_is_better: bool,
    /// Whether it decides about the comparison.
    is_chosen: bool,
    is_worse: bool,
}

impl Comparison {
    /// `chosen` are metrics, or ends of their names; none chooses [`CHOSEN`].
    pub(crate) fn new(
        first: &Outcome,
        second: &Outcome,
        chosen: &[String],
        tolerance_percent: f64,
    ) -> anyhow::Result<Self> {
        let (before, after) = (figures(first), figures(second));
        let named = |metric: &str| match chosen {
            [] => CHOSEN.iter().any(|end| metric.ends_with(end)),
            chosen => chosen.iter().any(|end| metric.ends_with(end.as_str())),
        };
        let rows: Vec<Row> = before
            .into_iter()
            .filter_map(|(metric, lower_is_better, first)| {
                let second = after.iter().find(|(other, ..)| *other == metric)?.2;
                let ratio = ratio(second, first);
                let is_chosen = named(&metric);
                let worse_by = ratio.map_or(0.0, |ratio| if lower_is_better { ratio - 1.0 } else { 1.0 - ratio });
                let is_worse = is_chosen && worse_by * 100.0 > tolerance_percent;
                Some(Row { metric, first, second, ratio, lower_is_better, is_chosen, is_worse })
            })
            .collect();
        ensure!(rows.iter().any(|row| row.is_chosen), "no chosen metric is in both results");
        Ok(Self { first: first.profile.clone(), second: second.profile.clone(), tolerance_percent, rows })
    }

    pub(crate) fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.is_worse)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.metric.len()).max().unwrap_or_default();
        writeln!(formatter, "{:width$} {:>14} {:>14} {:>7}", "metric", "first", "second", "ratio")?;
        for row in &self.rows {
            let ratio = row.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default();
            let word = match (row.is_worse, row.is_chosen) {
                (true, _) => "  WORSE",
                (false, true) => "  held",
                (false, false) => "",
            };
            writeln!(formatter, "{:width$} {:14.2} {:14.2} {ratio:>7}{word}", row.metric, row.first, row.second)?;
        }
        Ok(())
    }
}

/// Name, whether less is better, value.
fn figures(outcome: &Outcome) -> Vec<(String, bool, f64)> {
    let mut found = Vec::new();
    if let Some(cpu) = &outcome.cpu {
        let costs = [
            ("cpu.us_per_operation", cpu.us_per_operation),
            ("cpu.us_per_request", cpu.us_per_request),
            ("cpu.ms_per_gigabyte", cpu.ms_per_gigabyte),
            ("cpu.cores", Some(cpu.cores)),
        ];
        found.extend(costs.into_iter().filter_map(|(name, cost)| Some((name.to_owned(), true, cost?))));
    }
    if let Some(memory) = &outcome.memory {
        found.push(("memory.end_bytes".to_owned(), true, memory.end_bytes as f64));
        found.extend(memory.bytes_per_flow.map(|bytes| ("memory.bytes_per_flow".to_owned(), true, bytes)));
    }
    for stream in &outcome.streams {
        let (name, figures) = (&stream.name, &stream.figures);
        for (rate, value) in [
            ("operations_per_second", figures.operations_per_second),
            ("connections_per_second", figures.connections_per_second),
            ("requests_per_second", figures.requests_per_second),
            ("megabytes_per_second", figures.megabytes_per_second),
        ] {
            if value > 0.0 {
                found.push((format!("{name}.{rate}"), false, value));
            }
        }
        let failures: u64 = figures.whole.failures.values().sum();
        found.push((format!("{name}.failures"), true, failures as f64));
        for (kind, latency) in &stream.latency {
            found.push((format!("{name}.{kind}.p50_us"), true, latency.p50 as f64));
            found.push((format!("{name}.{kind}.p99_us"), true, latency.p99 as f64));
        }
    }
    found
}

/// What a change of the proxy shows in first; rates of open loops and latencies of a shared machine do not decide.
const CHOSEN: &[&str] = &["cpu.us_per_operation", "cpu.ms_per_gigabyte", "memory.bytes_per_flow"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::fixture;

    fn compare(change: impl Fn(&mut Outcome), chosen: &[&str], tolerance: f64) -> anyhow::Result<Comparison> {
        let (first, mut second) = (fixture::outcome(), fixture::outcome());
        change(&mut second);
        let chosen: Vec<String> = chosen.iter().map(|name| (*name).to_owned()).collect();
        Comparison::new(&first, &second, &chosen, tolerance)
    }

    fn dearer(factor: f64) -> impl Fn(&mut Outcome) {
        move |outcome| {
            let cpu = outcome.cpu.as_mut().unwrap();
            cpu.us_per_operation = cpu.us_per_operation.map(|cost| cost * factor);
        }
    }

    #[test]
    fn what_costs_more_than_the_tolerance_is_worse() {
        assert!(!compare(dearer(1.04), &[], 5.0).unwrap().is_worse());
        assert!(!compare(dearer(0.5), &[], 5.0).unwrap().is_worse());
        let worse = compare(dearer(1.06), &[], 5.0).unwrap();
        assert!(worse.is_worse());
        let text = worse.to_string();
        let line = text.lines().find(|line| line.starts_with("cpu.us_per_operation")).unwrap();
        assert!(line.contains("1.060") && line.ends_with("WORSE"), "{line}");
    }

    #[test]
    fn a_rate_that_falls_is_worse_where_it_was_chosen() {
        let slower = |outcome: &mut Outcome| outcome.streams[0].figures.requests_per_second /= 2.0;
        assert!(!compare(slower, &[], 5.0).unwrap().is_worse());
        assert!(compare(slower, &["requests_per_second"], 5.0).unwrap().is_worse());
        assert!(!compare(slower, &["requests_per_second"], 51.0).unwrap().is_worse());
        let error = compare(slower, &["no.such"], 5.0).unwrap_err();
        assert!(error.to_string().contains("no chosen metric"), "{error}");
    }
}
