//! What a run came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::meter::Used;
use crate::scenario::Scenario;
use crate::worker::Outcome;

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    scenario: &'static str,
    mode: &'static str,
    rate: Option<f64>,
    concurrency: u32,
    operations: u64,
    failures: BTreeMap<&'static str, u64>,
    bytes: u64,
    seconds: f64,
    operations_per_second: f64,
    megabytes_per_second: f64,
    latency_us: Latency,
    cpu: Option<Cpu>,
}

#[derive(Debug, Serialize)]
struct Latency {
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Of the watched processes, over the measured part.
#[derive(Debug, Serialize)]
struct Cpu {
    user_ms: u64,
    system_ms: u64,
    us_per_operation: f64,
    /// A gigabyte is 10^9 bytes.
    ms_per_gigabyte: f64,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    us_per_operation: f64,
    #[serde(flatten)]
    used: Used,
}

impl Cpu {
    fn new(outcome: &Outcome) -> Option<Self> {
        let operations = outcome.operations as f64;
        let process = |(pid, used): &(u32, Used)| Process {
            pid: *pid,
            us_per_operation: ratio(used.total().as_secs_f64() * 1e6, operations),
            used: *used,
        };
        let processes: Vec<Process> = outcome.used.iter().map(process).collect();
        let total: f64 = outcome.used.iter().map(|(_, used)| used.total().as_secs_f64()).sum();
        (!processes.is_empty()).then(|| Self {
            user_ms: outcome.used.iter().map(|(_, used)| used.user_ms).sum(),
            system_ms: outcome.used.iter().map(|(_, used)| used.system_ms).sum(),
            us_per_operation: ratio(total * 1e6, operations),
            ms_per_gigabyte: ratio(total * 1e3, outcome.bytes as f64 / 1e9),
            processes,
        })
    }
}

impl Report {
    pub(crate) fn new(scenario: Scenario, rate: Option<f64>, concurrency: u32, outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64();
        let latency = &outcome.latency;
        let failures = outcome.failures.iter().map(|(failure, count)| (failure.word(), *count));
        Self {
            scenario: scenario.word(),
            mode: if rate.is_some() { "open" } else { "closed" },
            rate,
            concurrency,
            operations: outcome.operations,
            failures: failures.collect(),
            bytes: outcome.bytes,
            seconds,
            operations_per_second: ratio(outcome.operations as f64, seconds),
            megabytes_per_second: ratio(outcome.bytes as f64 / 1e6, seconds),
            latency_us: Latency {
                mean: latency.mean(),
                p50: latency.value_at_quantile(0.5),
                p90: latency.value_at_quantile(0.9),
                p99: latency.value_at_quantile(0.99),
                p999: latency.value_at_quantile(0.999),
                max: latency.max(),
            },
            cpu: Cpu::new(outcome),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} ({} loop, {} at once)", self.scenario, self.mode, self.concurrency)?;
        writeln!(
            formatter,
            "  {} operations in {:.2} s: {:.0} a second, {:.1} MB/s",
            self.operations, self.seconds, self.operations_per_second, self.megabytes_per_second
        )?;
        let latency = &self.latency_us;
        write!(
            formatter,
            "  latency us: p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        )?;
        if let Some(cpu) = &self.cpu {
            write!(
                formatter,
                "\n  proxy CPU: {:.1} us an operation, {:.0} ms a gigabyte (user {} ms, system {} ms)",
                cpu.us_per_operation, cpu.ms_per_gigabyte, cpu.user_ms, cpu.system_ms
            )?;
        }
        for (failure, count) in &self.failures {
            write!(formatter, "\n  failed at {failure}: {count}")?;
        }
        Ok(())
    }
}

fn ratio(of: f64, to: f64) -> f64 {
    if to > 0.0 { of / to } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::client::Failure;

    #[test]
    fn cpu_is_given_per_operation_and_per_gigabyte() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record(100).unwrap();
        let outcome = Outcome {
            operations: 1_000,
            bytes: 2_000_000_000,
            failures: BTreeMap::from([(Failure::Dial, 3)]),
            elapsed: Duration::from_secs(2),
            latency,
            used: vec![(7, Used { user_ms: 80, system_ms: 40 }), (8, Used { user_ms: 20, system_ms: 10 })],
        };
        let report = Report::new(Scenario::PassNew, None, 8, &outcome);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["cpu"]["us_per_operation"], 150.0);
        assert_eq!(json["cpu"]["ms_per_gigabyte"], 75.0);
        assert_eq!(json["cpu"]["processes"][1]["us_per_operation"], 30.0);
        assert_eq!(json["operations_per_second"], 500.0);
        assert_eq!(json["failures"]["dial"], 3);
        assert!(report.to_string().contains("failed at dial: 3"));
    }
}
