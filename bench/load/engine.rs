//! Runs a profile through the phases of RFC 9411: init, ramp-up, sustain, ramp-down, collect.
//!
//! Owns the clock of a run and the samples taken on the way; the workers do the work, `outcome` makes figures of it. The
//! load does not pause between phases, so what is under way at their edges belongs to the phase in which it ends.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustls::RootCertStore;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::client::{Route, Target};
use crate::meter::Used;
use crate::outcome::{Phase, Sample};
use crate::profile::{Profile, Verdict};
use crate::tally::Counts;
use crate::worker::Lane;

/// What a run needs beside the profile.
pub(crate) struct Setting {
    pub(crate) route: Rc<Route>,
    /// Roots of the origin, for flows that are passed.
    pub(crate) origin_roots: Option<Arc<RootCertStore>>,
    /// Roots of the proxy, for flows that are inspected.
    pub(crate) proxy_roots: Option<Arc<RootCertStore>>,
    /// Processes to sample.
    pub(crate) pids: Vec<u32>,
}

/// What was seen, before figures are made of it.
pub(crate) struct Seen {
    pub(crate) lanes: Vec<Rc<Lane>>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) sustained: Duration,
    /// Each watched process before the load, at the beginning of the sustain phase, at its end, and after the load.
    pub(crate) processes: [Vec<Used>; 4],
    /// Flows that were open at the end of the sustain phase.
    pub(crate) flows: u64,
    /// Of those, the flows of streams that hold theirs.
    pub(crate) held_flows: u64,
    /// Open flows of each stream.
    pub(crate) stream_flows: Vec<u64>,
}

struct Sampler {
    lanes: Vec<Rc<Lane>>,
    pids: Vec<u32>,
    started: Instant,
    phase: Rc<Cell<Phase>>,
    bar: ProgressBar,
}

/// Runs `profile` to its end. `quiet` shows no progress.
pub(crate) async fn run(profile: &Profile, setting: Setting, quiet: bool) -> anyhow::Result<Seen> {
    let (stop, over) = watch::channel(false);
    let set = LocalSet::new();
    let lanes = lanes(profile, &setting, &over)?;
    let pids = setting.pids;
    // Init: whoever answers nothing now will not do so under load, and first-time costs are not the load's.
    for lane in &lanes {
        let name = &lane.target.stream.name;
        if let Err(failure) = set.run_until(lane.try_first()).await {
            bail!("stream `{name}`: its first operation failed at `{}`", failure.word());
        }
    }
    let before = read_all(&pids)?;
    let phase = Rc::new(Cell::new(Phase::Ramp));
    let bar = progress(profile, quiet)?;
    let sampler =
        Sampler { lanes: lanes.clone(), pids: pids.clone(), started: Instant::now(), phase: Rc::clone(&phase), bar };
    let sampling = set.spawn_local(sampler.sample(over));
    for lane in &lanes {
        lane.start(&set, profile.ramp);
    }
    set.run_until(tokio::time::sleep(profile.ramp)).await;

    let begin = read_all(&pids)?;
    let sustain_started = Instant::now();
    lanes.iter().for_each(|lane| lane.tally.sustain(true));
    phase.set(Phase::Sustain);
    set.run_until(tokio::time::sleep(profile.sustain)).await;
    lanes.iter().for_each(|lane| lane.tally.sustain(false));
    let sustained = sustain_started.elapsed();
    let stream_flows: Vec<u64> = lanes.iter().map(|lane| lane.tally.open()).collect();
    let end = read_all(&pids)?;

    phase.set(Phase::Down);
    stop.send(true).context("nobody waits for the end")?;
    let samples = set.run_until(sampling).await??;
    let _ = tokio::time::timeout(DRAIN_MAX, set).await;
    let after = read_all(&pids)?;
    let flows = stream_flows.iter().sum();
    let held = lanes.iter().zip(&stream_flows).filter(|(lane, _)| lane.target.stream.holds());
    let held_flows = held.map(|(_, flows)| flows).sum();
    Ok(Seen { lanes, samples, sustained, processes: [before, begin, end, after], flows, held_flows, stream_flows })
}

fn lanes(profile: &Profile, setting: &Setting, over: &watch::Receiver<bool>) -> anyhow::Result<Vec<Rc<Lane>>> {
    let route = &setting.route;
    let lane = |stream: &crate::profile::Stream| {
        let (roots, word) = match stream.verdict {
            Verdict::Inspect => (&setting.proxy_roots, "--proxy-ca"),
            Verdict::Deny | Verdict::Pass => (&setting.origin_roots, "--origin-ca"),
        };
        let roots = roots.clone().with_context(|| format!("stream `{}` needs {word}", stream.name))?;
        Ok(Rc::new(Lane::new(Target::new(stream.clone(), Rc::clone(route), roots)?, over.clone())?))
    };
    profile.streams.iter().map(lane).collect()
}

fn read_all(pids: &[u32]) -> anyhow::Result<Vec<Used>> {
    pids.iter().map(|pid| Used::of(*pid)).collect()
}

impl Sampler {
    /// One sample each second until the run is over.
    async fn sample(self, mut over: watch::Receiver<bool>) -> anyhow::Result<Vec<Sample>> {
        let (mut samples, mut last) = (Vec::new(), Counts::default());
        let (mut last_cpu, mut last_at) = (self.cpu(&read_all(&self.pids)?), self.started);
        for second in 1.. {
            let due = self.started + Duration::from_secs(second);
            let pause = tokio::time::sleep_until(due.into());
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => break,
                () = pause => {}
            }
            let mut now = Counts::default();
            self.lanes.iter().for_each(|lane| now.add(&lane.tally.whole.borrow()));
            let processes = read_all(&self.pids)?;
            let (cpu, at) = (self.cpu(&processes), Instant::now());
            let took = at.duration_since(last_at).as_secs_f64().max(1e-3);
            let sample = Sample {
                at_s: at.duration_since(self.started).as_secs_f64(),
                phase: self.phase.get(),
                operations_per_second: (now.operations - last.operations) as f64 / took,
                megabytes_per_second: (now.bytes - last.bytes) as f64 / 1e6 / took,
                failures: now.failed() - last.failed(),
                flows: self.lanes.iter().map(|lane| lane.tally.open()).sum(),
                held_flows: self.held_flows(),
                cpu_percent: (cpu.saturating_sub(last_cpu)).as_secs_f64() / took * 100.0,
                memory_bytes: processes.iter().map(|used| used.memory_bytes()).sum(),
                descriptors: processes.iter().map(|used| used.descriptors).sum(),
            };
            self.bar.set_position(second);
            self.bar.set_message(format!("{:<7} {sample}, {} failed", sample.phase.word(), now.failed()));
            samples.push(sample);
            (last, last_cpu, last_at) = (now, cpu, at);
        }
        self.bar.finish_and_clear();
        Ok(samples)
    }

    fn cpu(&self, processes: &[Used]) -> Duration {
        processes.iter().map(|used| used.cpu()).sum()
    }

    fn held_flows(&self) -> u64 {
        let held = self.lanes.iter().filter(|lane| lane.target.stream.holds());
        held.map(|lane| lane.tally.open()).sum()
    }
}

fn progress(profile: &Profile, quiet: bool) -> anyhow::Result<ProgressBar> {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(2) };
    let bar = ProgressBar::with_draw_target(Some((profile.ramp + profile.sustain).as_secs()), target);
    Ok(bar.with_style(ProgressStyle::with_template("{bar:20} {pos}/{len} s {msg}")?))
}

/// How long operations under way may take at the end; what is left then is dropped.
const DRAIN_MAX: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello;
    use crate::origin::{Origin, Places};
    use crate::outcome::{Heading, Outcome};

    const REQUESTS: &str = r#"
title = "Requests and held flows"
seconds = 1
ramp_seconds = 1
sources = 3

[[stream]]
name = "one"
host = "www.example.com"
verdict = "pass"
operation = "request"
http = "1.1"
connection = "new"
requests = [1, 2]
bytes = [0, 100_000]
concurrency = 2

[[stream]]
name = "two"
host = "www.example.com"
verdict = "inspect"
operation = "request"
http = "2"
connection = "kept"
bytes = 100_000
rate = 200
concurrency = 2

[[stream]]
name = "resumed"
host = "www.example.com"
verdict = "pass"
operation = "request"
http = "2"
connection = "resumed"
bytes = 10
concurrency = 1

[[stream]]
name = "held"
host = "www.example.com"
verdict = "pass"
operation = "idle"
concurrency = 30
"#;
    const HELLOS: &str = r#"
title = "Hellos"
seconds = 2

[[stream]]
name = "recorded"
host = "login.example.com"
verdict = "pass"
operation = "hello"
hello = "recorded"
rate = 100

[[stream]]
name = "slow"
host = "www.example.com"
verdict = "pass"
operation = "slow-hello"
byte_ms = 1
concurrency = 2

[[stream]]
name = "refused"
host = "www.example.com"
verdict = "deny"
operation = "hello"
concurrency = 1
"#;

    async fn run_against(text: &str, place: fn(Places) -> std::net::SocketAddr) -> anyhow::Result<Outcome> {
        let any = "127.0.0.1:0".parse()?;
        let origin = Origin::bind(Places { listen: any, resuming: any, hello: any }).await?;
        let proxy = place(origin.places()?);
        let roots = Some(hello::roots(origin.pem().as_bytes())?);
        tokio::spawn(origin.serve());
        let profile = Profile::parse("test.toml", text)?;
        let route = Rc::new(Route {
            proxies: vec![proxy],
            connect: false,
            port: 443,
            sources: profile.sources,
            turn: Cell::new(0),
        });
        let pids = vec![std::process::id()];
        let setting = Setting { route, origin_roots: roots.clone(), proxy_roots: roots, pids: pids.clone() };
        let seen = run(&profile, setting, true).await?;
        let heading = Heading { profile: "test".to_owned(), proxy: proxy.to_string(), via: "direct", pids };
        Ok(Outcome::new(heading, &profile, seen))
    }

    #[tokio::test]
    async fn each_stream_does_what_it_was_told() {
        let outcome = run_against(REQUESTS, |places| places.resuming).await.unwrap();
        let [one, two, resumed, held] = outcome.streams.as_slice() else { panic!("four streams") };
        for stream in [one, two, resumed, held] {
            assert!(stream.figures.whole.failures.is_empty(), "{}: {:?}", stream.name, stream.figures.whole.failures);
        }
        let (first, second, third) = (&one.figures.whole, &two.figures.whole, &resumed.figures.whole);
        assert!(first.connections == first.operations && first.requests > first.connections);
        assert_eq!(first.handshakes, first.connections);
        assert_eq!(first.resumed, 0);
        // Both workers and the trial before them.
        assert!(second.connections <= 3 && second.requests == second.operations, "{second:?}");
        assert_eq!(second.bytes, second.requests * 100_000);
        assert!(second.requests > second.connections, "{second:?}");
        assert!(third.handshakes > 1 && third.resumed >= third.handshakes - 2, "{third:?}");
        assert_eq!((held.figures.flows, held.figures.whole.connections), (30, 31));
        assert!(
            ["connect", "handshake", "first_byte", "last_byte", "operation"]
                .iter()
                .all(|kind| one.latency.contains_key(*kind))
        );
        let text = outcome.to_string();
        assert!(
            text.contains("HTTP/2, kept connection") && text.contains("holds: failed operations 0.000 %"),
            "{text}"
        );
        let back: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
        assert_eq!(back.total.whole.requests, outcome.total.whole.requests);
        assert!(back.memory.unwrap().bytes_per_flow.is_some() && !back.samples.is_empty());
    }

    #[tokio::test]
    async fn a_run_that_nobody_answers_ends_at_once_and_says_which_stream() {
        let error = run_against(HELLOS, |places| places.hello).await.unwrap_err().to_string();
        assert!(error.contains("stream `refused`: its first operation failed at `answer`"), "{error}");
    }

    #[tokio::test]
    async fn hellos_are_answered_by_the_origins_own_alert() {
        let passed = HELLOS.split("[[stream]]\nname = \"refused\"").next().unwrap();
        let outcome = run_against(passed, |places| places.hello).await.unwrap();
        let [recorded, slow] = outcome.streams.as_slice() else { panic!("two streams") };
        assert!(outcome.total.whole.failures.is_empty(), "{:?}", outcome.total.whole.failures);
        assert!(recorded.figures.whole.operations > 10, "{:?}", recorded.figures.whole);
        assert_eq!((recorded.figures.whole.handshakes, recorded.figures.whole.requests), (0, 0));
        // Some 230 bytes, a millisecond each at least.
        assert!(slow.latency.get("first_byte").is_none_or(|latency| latency.p50 > 200_000));
    }
}
