//! `penstock-load`: drives a proxy on this machine and measures latency, throughput and the proxy's CPU per operation.
//!
//! Owns the command line. `run` is the load, `origin` the cheap TLS server behind the proxy. It reaches loopback
//! addresses alone: a load tool must not be pointed at somebody's service by a slip.

#![forbid(unsafe_code)]

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use penstock_bench::processor;

use crate::report::Report;
use crate::scenario::Scenario;

mod client;
mod meter;
mod origin;
mod pace;
mod report;
mod scenario;
mod worker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drives a proxy on this machine and measures what an operation costs.
#[derive(Debug, Parser)]
#[command(name = "penstock-load", version, after_long_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send operations through a proxy and report.
    Run(Box<RunArguments>),
    /// Serve TLS for the proxy to dial, as cheaply as can be.
    Origin(OriginArguments),
}

/// What a run does, to whom, for how long.
#[derive(Debug, Args)]
struct RunArguments {
    /// What one operation is.
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// The proxy, a loopback address.
    #[arg(long, value_name = "IP:PORT")]
    proxy: SocketAddr,
    /// How the proxy learns the destination: by CONNECT, or by the server name of a handshake sent at once.
    #[arg(long, value_enum, default_value = "connect")]
    via: Via,
    /// The name to ask for.
    #[arg(long, value_name = "NAME", default_value = "www.example.com")]
    host: String,
    /// The port in the CONNECT request.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Roots to verify the handshake with (PEM): the origin's for pass, the proxy's for inspect.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// End after so many measured operations.
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// End after so many seconds even when operations are left.
    #[arg(long, default_value_t = 60)]
    seconds_max: u64,
    /// Operations done first and not measured.
    #[arg(long, default_value_t = 50)]
    warmup: u64,
    /// Operations under way at once, at most.
    #[arg(long, default_value_t = 8)]
    concurrency: u32,
    /// Open loop: start operations at this rate a second and count latency from when each was due.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Bytes of an answer; by default 1,024, and 64 MiB for pass-bulk.
    #[arg(long)]
    bytes: Option<u64>,
    /// Resume TLS sessions; otherwise every new connection is a full handshake.
    #[arg(long)]
    resume: bool,
    /// Offer the hybrid post-quantum key exchange too; otherwise X25519 alone, which every peer has.
    #[arg(long)]
    hybrid: bool,
    /// Measure the CPU time of this process; may be repeated.
    #[arg(long, value_name = "PID")]
    watch_pid: Vec<u32>,
    /// Run on this CPU alone.
    #[arg(long, value_name = "INDEX")]
    cpu: Option<usize>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct OriginArguments {
    /// Where to listen, a loopback address.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Write the authority's certificate (PEM) here.
    #[arg(long, value_name = "FILE")]
    ca_out: PathBuf,
    /// Give out session tickets; otherwise every connection is a full handshake.
    #[arg(long)]
    resume: bool,
    /// Run on this CPU alone.
    #[arg(long, value_name = "INDEX")]
    cpu: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Via {
    Connect,
    Direct,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let cpu = match &arguments.command {
        Command::Run(run) => run.cpu,
        Command::Origin(origin) => origin.cpu,
    };
    if let Some(index) = cpu {
        processor::pin(index).with_context(|| format!("cannot run on CPU {index}"))?;
    }
    processor::raise_descriptor_limit().context("cannot raise the descriptor limit")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.command {
        Command::Run(run) => runtime.block_on(load(&run)),
        Command::Origin(origin) => runtime.block_on(serve(&origin)),
    }
}

async fn load(arguments: &RunArguments) -> anyhow::Result<()> {
    ensure_loopback(arguments.proxy)?;
    ensure!((1..=CONCURRENCY_MAX).contains(&arguments.concurrency), "--concurrency is 1 to {CONCURRENCY_MAX}");
    ensure!((1..=COUNT_MAX).contains(&arguments.count), "--count is 1 to {COUNT_MAX}");
    ensure!((1..=SECONDS_MAX).contains(&arguments.seconds_max), "--seconds-max is 1 to {SECONDS_MAX}");
    ensure!(arguments.rate.is_none_or(|rate| (0.01..=RATE_MAX).contains(&rate)), "--rate is 0.01 to {RATE_MAX}");
    let roots = std::fs::read(&arguments.ca).with_context(|| arguments.ca.display().to_string())?;
    let plan = client::Plan {
        scenario: arguments.scenario,
        proxy: arguments.proxy,
        connect: arguments.via == Via::Connect,
        host: arguments.host.clone(),
        port: arguments.port,
        bytes: arguments.bytes.unwrap_or_else(|| arguments.scenario.default_bytes()),
        tls: client::tls_config(&roots, arguments.resume, arguments.hybrid)?,
    };
    let pace = worker::Pace {
        count: arguments.count,
        warmup: arguments.warmup,
        concurrency: arguments.concurrency,
        rate: arguments.rate,
        time_max: Duration::from_secs(arguments.seconds_max),
    };
    let outcome = worker::drive(plan, pace, &arguments.watch_pid).await?;
    let report = Report::new(arguments.scenario, arguments.rate, arguments.concurrency, &outcome);
    let text = if arguments.json { serde_json::to_string(&report)? } else { report.to_string() };
    writeln!(std::io::stdout(), "{text}")?;
    ensure!(outcome.operations > 0, "no operation succeeded");
    Ok(())
}

async fn serve(arguments: &OriginArguments) -> anyhow::Result<()> {
    ensure_loopback(arguments.listen)?;
    let origin = origin::Origin::bind(arguments.listen, arguments.resume).await?;
    std::fs::write(&arguments.ca_out, origin.pem()).with_context(|| arguments.ca_out.display().to_string())?;
    let ready = serde_json::json!({
        "ready": true, "listen": origin.address()?.to_string(), "ca": arguments.ca_out.display().to_string(),
        "pid": std::process::id(),
    });
    writeln!(std::io::stdout(), "{ready}")?;
    tokio::select! {
        ended = origin.serve() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn ensure_loopback(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(address.ip().is_loopback(), "{address} is not a loopback address; this tool loads this machine alone");
    Ok(())
}

const CONCURRENCY_MAX: u32 = 10_000;
const COUNT_MAX: u64 = 10_000_000;
const RATE_MAX: f64 = 1_000_000.0;
const SECONDS_MAX: u64 = 3_600;

const EXAMPLES: &str = "\
Examples:
  An origin, and 5,000 passed connections through the appliance with its CPU per connection:
    penstock-load origin --listen 127.0.0.1:9443 --ca-out origin.pem --cpu 1
    penstock-load run --scenario pass-new --proxy 127.0.0.1:8080 --ca origin.pem --count 5000 --watch-pid 1234 --cpu 1

  Inspected requests at a fixed rate (open loop, no coordinated omission):
    penstock-load run --scenario inspect-keep-alive --proxy 127.0.0.1:8080 --host login.microsoftonline.com \\
      --ca state/ca/root.pem --count 20000 --rate 2000 --json

Scenarios:
  pass-new            TLS handshake with the origin through the proxy, one request, close
  pass-bulk           one download of --bytes per operation on a new connection
  inspect-new         TLS handshake with the proxy, one request, close
  inspect-keep-alive  one request on a connection that stays
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn other_machines_are_refused() {
        assert!(ensure_loopback("127.0.0.2:80".parse().unwrap()).is_ok());
        assert!(ensure_loopback("[::1]:80".parse().unwrap()).is_ok());
        assert!(ensure_loopback("192.0.2.1:80".parse().unwrap()).is_err());
        assert!(ensure_loopback("0.0.0.0:80".parse().unwrap()).is_err());
    }
}
