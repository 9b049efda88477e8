//! The result of a run as JSON, schema `penstock-load/1`.
//!
//! ```text
//! schema       "penstock-load/1"; a field may be added without notice, none changes its meaning
//! profile      name of the profile
//! title        its title
//! version      of this tool
//! proxy        address of the proxy, or several with commas
//! via          "connect" or "direct"
//! ramp_s       length of the ramp-up phase
//! sustain_s    measured length of the sustain phase; all rates and latencies are of this phase alone
//! cpus         CPUs of the machine
//! total        Figures of all streams together
//! streams      [{name, host, verdict, work, rate, concurrency, figures: Figures, latency: {KIND: Latency}}]
//! processes    [{pid, name, cpu_user_ms, cpu_system_ms, before, begin, end, after}], CPU over the sustain phase;
//!              memory and descriptors before the load, at both ends of the sustain phase, and after the load
//! cpu          {user_ms, system_ms, us_per_operation, us_per_request, ms_per_gigabyte, cores} of all watched
//!              processes over the sustain phase; a gigabyte is 10^9 bytes, cores is CPU time per time
//! memory       {before_bytes, end_bytes, bytes_per_flow} of all watched processes, proportional size where that can
//!              be read; per flow = (end of the sustain phase - before the load) / held flows, where 10 are held;
//!              what the kernel holds for sockets is not in it
//! validity     [{rule, limit, found, holds}], the rules of RFC 9411 that a run must keep to count
//! samples      one a second: {at_s, phase, operations_per_second, megabytes_per_second, failures, flows, held_flows,
//!              cpu_percent, memory_bytes, descriptors}
//!
//! Figures      whole: Counts over all phases, init included, so that they can be held against the proxy's own
//!              metrics; sustained: Counts; flows: open at the end of the sustain phase; and of the sustain phase
//!              operations_per_second, connections_per_second, handshakes_per_second, requests_per_second,
//!              megabytes_per_second (10^6 bytes of answers' bodies)
//! Counts       {operations, connections, handshakes, resumed, requests, bytes, failures: {KIND: count}}
//! Latency      {count, mean, p50, p90, p99, p999, max} in microseconds; KIND is connect (TCP and CONNECT), handshake
//!              (TLS), first_byte and last_byte (since the request or hello), operation (since it was due)
//! ```

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::engine::Seen;
use crate::meter::Used;
use crate::profile::{Http, Life, Profile, Stream, Verdict, Work};
use crate::tally::Counts;
use crate::validity::{self, Rule};
use crate::worker::Lane;

pub(crate) const SCHEMA: &str = "penstock-load/1";

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) schema: String,
    pub(crate) profile: String,
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) proxy: String,
    pub(crate) via: String,
    pub(crate) ramp_s: f64,
    pub(crate) sustain_s: f64,
    pub(crate) cpus: usize,
    pub(crate) total: Figures,
    pub(crate) streams: Vec<StreamFigures>,
    pub(crate) processes: Vec<Process>,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) memory: Option<Memory>,
    pub(crate) validity: Vec<Rule>,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) whole: CountFigures,
    pub(crate) sustained: CountFigures,
    pub(crate) flows: u64,
    pub(crate) operations_per_second: f64,
    pub(crate) connections_per_second: f64,
    pub(crate) handshakes_per_second: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) megabytes_per_second: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct CountFigures {
    pub(crate) operations: u64,
    pub(crate) connections: u64,
    pub(crate) handshakes: u64,
    pub(crate) resumed: u64,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StreamFigures {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) verdict: String,
    /// In words.
    pub(crate) work: String,
    pub(crate) rate: Option<f64>,
    pub(crate) concurrency: u32,
    pub(crate) figures: Figures,
    pub(crate) latency: BTreeMap<String, Latency>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) cpu_user_ms: u64,
    pub(crate) cpu_system_ms: u64,
    pub(crate) before: Used,
    pub(crate) begin: Used,
    pub(crate) end: Used,
    pub(crate) after: Used,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cpu {
    pub(crate) user_ms: u64,
    pub(crate) system_ms: u64,
    pub(crate) us_per_operation: Option<f64>,
    pub(crate) us_per_request: Option<f64>,
    pub(crate) ms_per_gigabyte: Option<f64>,
    pub(crate) cores: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) before_bytes: u64,
    pub(crate) end_bytes: u64,
    pub(crate) bytes_per_flow: Option<f64>,
}

/// One second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) at_s: f64,
    pub(crate) phase: Phase,
    pub(crate) operations_per_second: f64,
    pub(crate) megabytes_per_second: f64,
    pub(crate) failures: u64,
    pub(crate) flows: u64,
    /// Of those, the flows of streams that hold theirs.
    pub(crate) held_flows: u64,
    pub(crate) cpu_percent: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    Down,
    Ramp,
    Sustain,
}

/// What a result says about itself beside its figures.
pub(crate) struct Heading {
    pub(crate) profile: String,
    pub(crate) proxy: String,
    pub(crate) via: &'static str,
    pub(crate) pids: Vec<u32>,
}

impl Outcome {
    pub(crate) fn new(heading: Heading, profile: &Profile, seen: Seen) -> Self {
        let seconds = seen.sustained.as_secs_f64();
        let (mut whole, mut sustained) = (Counts::default(), Counts::default());
        for lane in &seen.lanes {
            whole.add(&lane.tally.whole.borrow());
            sustained.add(&lane.tally.sustained.borrow());
        }
        let lanes = seen.lanes.iter().zip(&seen.stream_flows);
        let streams = lanes.map(|(lane, flows)| StreamFigures::new(lane, *flows, seconds)).collect();
        let processes = Process::all(&heading.pids, &seen.processes);
        Self {
            schema: SCHEMA.to_owned(),
            profile: heading.profile,
            title: profile.title.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            proxy: heading.proxy,
            via: heading.via.to_owned(),
            ramp_s: profile.ramp.as_secs_f64(),
            sustain_s: seconds,
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            cpu: Cpu::new(&processes, &sustained, seconds),
            memory: Memory::new(&processes, seen.held_flows),
            validity: validity::judge(profile, &seen, &sustained),
            total: Figures::new(&whole, &sustained, seen.flows, seconds),
            streams,
            processes,
            samples: seen.samples,
        }
    }
}

impl Figures {
    fn new(whole: &Counts, sustained: &Counts, flows: u64, seconds: f64) -> Self {
        let rate = |count: u64| ratio(count as f64, seconds).unwrap_or_default();
        Self {
            whole: CountFigures::from(whole),
            sustained: CountFigures::from(sustained),
            flows,
            operations_per_second: rate(sustained.operations),
            connections_per_second: rate(sustained.connections),
            handshakes_per_second: rate(sustained.handshakes),
            requests_per_second: rate(sustained.requests),
            megabytes_per_second: rate(sustained.bytes) / 1e6,
        }
    }
}

impl From<&Counts> for CountFigures {
    fn from(counts: &Counts) -> Self {
        let failures = counts.failures.iter().map(|(failure, count)| (failure.word().to_owned(), *count));
        Self {
            operations: counts.operations,
            connections: counts.connections,
            handshakes: counts.handshakes,
            resumed: counts.resumed,
            requests: counts.requests,
            bytes: counts.bytes,
            failures: failures.collect(),
        }
    }
}

impl StreamFigures {
    fn new(lane: &Lane, flows: u64, seconds: f64) -> Self {
        let Stream { name, host, verdict, work, hybrid, pace } = &lane.target.stream;
        let latencies = lane.tally.latencies.borrow();
        let kinds = [
            ("connect", &latencies.connect),
            ("handshake", &latencies.handshake),
            ("first_byte", &latencies.first_byte),
            ("last_byte", &latencies.last_byte),
            ("operation", &latencies.operation),
        ];
        let latency = kinds.into_iter().filter_map(|(kind, found)| Some((kind.to_owned(), Latency::new(found)?)));
        Self {
            name: name.clone(),
            host: host.clone(),
            verdict: match verdict {
                Verdict::Deny => "deny",
                Verdict::Inspect => "inspect",
                Verdict::Pass => "pass",
            }
            .to_owned(),
            work: format!("{}{}", words(work), if *hybrid { ", post-quantum" } else { "" }),
            rate: pace.rate,
            concurrency: pace.concurrency,
            figures: Figures::new(&lane.tally.whole.borrow(), &lane.tally.sustained.borrow(), flows, seconds),
            latency: latency.collect(),
        }
    }
}

fn words(work: &Work) -> String {
    match work {
        Work::Hello(_) => "hello".to_owned(),
        Work::Idle(None) => "held handshake".to_owned(),
        Work::Idle(Some(_)) => "held hello".to_owned(),
        Work::SlowHello { .. } => "slow hello".to_owned(),
        Work::Request(requests) => {
            let http = if requests.http == Http::One { "HTTP/1.1" } else { "HTTP/2" };
            let life = match requests.connection {
                Life::Kept => "kept",
                Life::New => "new",
                Life::Resumed => "resumed",
            };
            format!("{http}, {life} connection")
        }
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        })
    }
}

impl Process {
    fn all(pids: &[u32], readings: &[Vec<Used>; 4]) -> Vec<Self> {
        let [before, begin, end, after] = readings;
        let found = pids.iter().zip(before).zip(begin).zip(end).zip(after);
        found
            .map(|((((pid, before), begin), end), after)| Self {
                pid: *pid,
                name: Used::name(*pid),
                cpu_user_ms: end.user_ms.saturating_sub(begin.user_ms),
                cpu_system_ms: end.system_ms.saturating_sub(begin.system_ms),
                before: *before,
                begin: *begin,
                end: *end,
                after: *after,
            })
            .collect()
    }
}

impl Cpu {
    fn new(processes: &[Process], sustained: &Counts, seconds: f64) -> Option<Self> {
        let user_ms: u64 = processes.iter().map(|process| process.cpu_user_ms).sum();
        let system_ms: u64 = processes.iter().map(|process| process.cpu_system_ms).sum();
        let spent_ms = (user_ms + system_ms) as f64;
        (!processes.is_empty()).then(|| Self {
            user_ms,
            system_ms,
            us_per_operation: ratio(spent_ms * 1e3, sustained.operations as f64),
            us_per_request: ratio(spent_ms * 1e3, sustained.requests as f64),
            ms_per_gigabyte: ratio(spent_ms, sustained.bytes as f64 / 1e9),
            cores: ratio(spent_ms / 1e3, seconds).unwrap_or_default(),
        })
    }
}

impl Memory {
    fn new(processes: &[Process], flows: u64) -> Option<Self> {
        let sum = |of: fn(&Process) -> Used| processes.iter().map(|process| of(process).memory_bytes()).sum::<u64>();
        let (before_bytes, end_bytes) = (sum(|process| process.before), sum(|process| process.end));
        let grown = end_bytes as f64 - before_bytes as f64;
        (!processes.is_empty()).then(|| Self {
            before_bytes,
            end_bytes,
            bytes_per_flow: (flows >= FLOWS_MIN).then(|| grown / flows as f64),
        })
    }
}

impl Phase {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Ramp => "ramp",
            Self::Sustain => "sustain",
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations_per_second, megabytes_per_second, flows, cpu_percent, memory_bytes, .. } = self;
        let memory = *memory_bytes as f64 / 1e6;
        write!(
            formatter,
            "{operations_per_second:.0} op/s, {megabytes_per_second:.1} MB/s, {flows} flows, CPU {cpu_percent:.0} %, {memory:.0} MB"
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}", self.profile, self.title)?;
        for stream in &self.streams {
            let figures = &stream.figures;
            writeln!(
                formatter,
                "  {:20} {:24} {:8.0} op/s {:8.0} conn/s {:8.0} handshakes/s {:8.0} req/s {:8.1} MB/s {:7} flows",
                stream.name,
                stream.work,
                figures.operations_per_second,
                figures.connections_per_second,
                figures.handshakes_per_second,
                figures.requests_per_second,
                figures.megabytes_per_second,
                figures.flows
            )?;
            for (kind, latency) in &stream.latency {
                writeln!(
                    formatter,
                    "    {kind:10} us: p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
                    latency.p50, latency.p90, latency.p99, latency.p999, latency.max
                )?;
            }
            for (failure, count) in &figures.whole.failures {
                writeln!(formatter, "    failed at {failure}: {count}")?;
            }
        }
        if let Some(Cpu { us_per_operation, ms_per_gigabyte, cores, .. }) = &self.cpu {
            write!(formatter, "  proxy: {cores:.2} cores")?;
            if let Some(cost) = us_per_operation {
                write!(formatter, ", {cost:.1} us an operation")?;
            }
            if let Some(cost) = ms_per_gigabyte {
                write!(formatter, ", {cost:.0} ms a gigabyte")?;
            }
            writeln!(formatter)?;
        }
        if let Some(Memory { before_bytes, end_bytes, bytes_per_flow }) = &self.memory {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            write!(
                formatter,
                "  memory: {:.1} MB before, {:.1} MB held",
                megabytes(*before_bytes),
                megabytes(*end_bytes)
            )?;
            writeln!(
                formatter,
                "{}",
                bytes_per_flow.map(|bytes| format!(", {bytes:.0} bytes a flow")).unwrap_or_default()
            )?;
        }
        for rule in &self.validity {
            writeln!(formatter, "  {rule}")?;
        }
        Ok(())
    }
}

pub(crate) fn ratio(of: f64, to: f64) -> Option<f64> {
    (to > 0.0).then(|| of / to)
}

/// Fewer flows drown in what the allocator does.
const FLOWS_MIN: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn used(user_ms: u64, pss_bytes: u64) -> Used {
        Used { user_ms, system_ms: user_ms / 2, rss_bytes: pss_bytes * 2, pss_bytes: Some(pss_bytes), descriptors: 9 }
    }

    #[test]
    fn cpu_is_of_the_sustain_phase_and_memory_of_what_the_flows_added() {
        let readings = [
            vec![used(0, 1_000_000)],
            vec![used(20, 1_500_000)],
            vec![used(120, 3_000_000)],
            vec![used(500, 2_000_000)],
        ];
        let processes = Process::all(&[std::process::id()], &readings);
        let sustained = Counts { operations: 1_000, bytes: 2_000_000_000, ..Counts::default() };
        let cpu = Cpu::new(&processes, &sustained, 0.5).unwrap();
        assert_eq!((cpu.user_ms, cpu.system_ms), (100, 50));
        assert_eq!((cpu.us_per_operation, cpu.us_per_request, cpu.ms_per_gigabyte), (Some(150.0), None, Some(75.0)));
        assert!((cpu.cores - 0.3).abs() < 1e-9);
        assert_eq!(Memory::new(&processes, 1_000).unwrap().bytes_per_flow, Some(2_000.0));
        assert_eq!(Memory::new(&processes, 3).unwrap().bytes_per_flow, None);
        assert!(Cpu::new(&[], &sustained, 1.0).is_none() && Memory::new(&[], 100).is_none());
    }

    #[test]
    fn percentiles_are_those_of_the_histogram() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 3).unwrap();
        assert!(Latency::new(&histogram).is_none());
        (1..=1_000).for_each(|value| histogram.record(value).unwrap());
        let latency = Latency::new(&histogram).unwrap();
        assert_eq!((latency.count, latency.p50, latency.p90, latency.p99, latency.p999), (1_000, 500, 900, 990, 999));
    }
}

/// A result for the tests of what reads one.
#[cfg(test)]
pub(crate) mod fixture {
    use super::Outcome;

    pub(crate) fn outcome() -> Outcome {
        let counts = |failures: u64| {
            serde_json::json!({
                "operations": 1_000, "connections": 10, "handshakes": 10, "resumed": 0, "requests": 1_000, "bytes": 1_024_000,
                "failures": if failures > 0 { serde_json::json!({"reset": failures}) } else { serde_json::json!({}) },
            })
        };
        let figures = serde_json::json!({
            "whole": counts(2), "sustained": counts(0), "flows": 1_000, "operations_per_second": 500.0, "connections_per_second": 5.0,
            "handshakes_per_second": 5.0, "requests_per_second": 500.0, "megabytes_per_second": 0.5,
        });
        let latency = serde_json::json!({"count": 1_000, "mean": 120.0, "p50": 100, "p90": 200, "p99": 300, "p999": 400, "max": 500});
        let used = |bytes: u64| serde_json::json!({"user_ms": 100, "system_ms": 50, "rss_bytes": bytes, "pss_bytes": bytes, "descriptors": 20});
        let sample = |at_s: f64, phase: &str| {
            serde_json::json!({
                "at_s": at_s, "phase": phase, "operations_per_second": 500.0, "megabytes_per_second": 0.5, "failures": 0,
                "flows": 1_000, "held_flows": 990, "cpu_percent": 7.5, "memory_bytes": 3_000_000, "descriptors": 20,
            })
        };
        let outcome = serde_json::json!({
            "schema": super::SCHEMA, "profile": "test", "title": "A test", "version": "0", "proxy": "127.0.0.1:1", "via": "connect",
            "ramp_s": 1.0, "sustain_s": 2.0, "cpus": 2, "total": figures,
            "streams": [{
                "name": "one", "host": "www.example.com", "verdict": "pass", "work": "HTTP/1.1, kept connection", "rate": null,
                "concurrency": 8, "figures": figures, "latency": {"first_byte": latency, "last_byte": latency},
            }],
            "processes": [{
                "pid": 7, "name": "penstock-dataplane", "cpu_user_ms": 100, "cpu_system_ms": 50, "before": used(1_000_000), "begin": used(2_000_000),
                "end": used(3_000_000), "after": used(2_500_000),
            }],
            "cpu": {"user_ms": 100, "system_ms": 50, "us_per_operation": 150.0, "us_per_request": 150.0, "ms_per_gigabyte": 146.0, "cores": 0.075},
            "memory": {"before_bytes": 1_000_000, "end_bytes": 3_000_000, "bytes_per_flow": 2_000.0},
            "validity": [{"rule": "failed operations", "limit": 0.001, "found": 0.2, "holds": false}],
            "samples": [sample(1.0, "ramp"), sample(2.0, "sustain"), sample(3.0, "sustain")],
        });
        serde_json::from_value(outcome).unwrap()
    }
}
