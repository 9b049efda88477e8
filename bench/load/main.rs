//! `penstock-load`: drives a proxy on this machine and measures latency, throughput, and the proxy's CPU and memory.
//!
//! Owns the command line. `run` is the load, `origin` the cheap TLS server behind the proxy. It reaches loopback
//! addresses alone: a load tool must not be pointed at somebody's service by a slip.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use penstock_bench::processor;
use rustls::RootCertStore;

use crate::client::Route;
use crate::engine::Setting;
use crate::origin::Places;
use crate::outcome::{Heading, Outcome};

mod client;
mod engine;
mod exchange;
mod hello;
mod meter;
mod origin;
mod outcome;
mod pace;
mod profile;
mod shipped;
mod tally;
mod validity;
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
    /// Send the operations of a profile through a proxy and report.
    Run(Box<RunArguments>),
    /// Serve TLS for the proxy to dial, as cheaply as can be.
    Origin(OriginArguments),
    /// List the profiles that come with this tool.
    Profiles,
}

/// What a run does, to whom.
#[derive(Debug, Args)]
struct RunArguments {
    /// A profile of `penstock-load profiles`, or a file.
    #[arg(long, value_name = "NAME|FILE")]
    profile: String,
    /// The proxy, a loopback address.
    #[arg(long, value_name = "IP:PORT")]
    proxy: SocketAddr,
    /// How the proxy learns the destination: by CONNECT, or by the server name of a handshake sent at once.
    #[arg(long, value_enum, default_value = "connect")]
    via: Via,
    /// The port in the CONNECT request.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Roots of the origin (PEM), for passed flows.
    #[arg(long, value_name = "FILE")]
    origin_ca: Option<PathBuf>,
    /// Roots of the proxy (PEM), for inspected flows.
    #[arg(long, value_name = "FILE")]
    proxy_ca: Option<PathBuf>,
    /// Another length of the sustain phase than the profile's.
    #[arg(long)]
    seconds: Option<u16>,
    /// Another length of the ramp-up phase than the profile's.
    #[arg(long)]
    ramp_seconds: Option<u16>,
    /// Multiply every rate and every concurrency of the profile.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    scale: f64,
    /// Measure CPU, memory and descriptors of this process; may be repeated.
    #[arg(long, value_name = "PID")]
    watch_pid: Vec<u32>,
    /// Run on this CPU alone.
    #[arg(long, value_name = "INDEX")]
    cpu: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct OriginArguments {
    /// Where full handshakes are answered, a loopback address.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where session tickets are given out.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    resuming: SocketAddr,
    /// Where a ClientHello is answered with an alert, and the connection held.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0")]
    hello: SocketAddr,
    /// Write the authority's certificate (PEM) here.
    #[arg(long, value_name = "FILE")]
    ca_out: PathBuf,
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
        Command::Profiles => None,
    };
    if let Some(index) = cpu {
        processor::pin(index).with_context(|| format!("cannot run on CPU {index}"))?;
    }
    processor::raise_descriptor_limit().context("cannot raise the descriptor limit")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.command {
        Command::Run(run) => runtime.block_on(load(&run)),
        Command::Origin(origin) => runtime.block_on(serve(&origin)),
        Command::Profiles => list(),
    }
}

async fn load(arguments: &RunArguments) -> anyhow::Result<()> {
    ensure_loopback(arguments.proxy)?;
    ensure!((SCALE_MIN..=SCALE_MAX).contains(&arguments.scale), "--scale is {SCALE_MIN} to {SCALE_MAX}");
    let (name, mut profile) = shipped::open(&arguments.profile)?;
    profile.scale(arguments.scale);
    let seconds = |given: Option<u16>, own| given.map_or(own, |seconds| Duration::from_secs(seconds.into()));
    profile.sustain = seconds(arguments.seconds, profile.sustain);
    profile.ramp = seconds(arguments.ramp_seconds, profile.ramp);
    ensure!(!profile.sustain.is_zero(), "--seconds is 1 at least");
    ensure!(profile.sources == 1 || arguments.proxy.is_ipv4(), "several `sources` need a proxy on 127.0.0.0/8");
    let route = Route {
        proxy: arguments.proxy,
        connect: arguments.via == Via::Connect,
        port: arguments.port,
        sources: profile.sources,
        turn: Cell::new(0),
    };
    let setting = Setting {
        route,
        origin_roots: roots(arguments.origin_ca.as_deref())?,
        proxy_roots: roots(arguments.proxy_ca.as_deref())?,
        pids: arguments.watch_pid.clone(),
    };
    let heading = Heading {
        profile: name,
        proxy: arguments.proxy.to_string(),
        via: if arguments.via == Via::Connect { "connect" } else { "direct" },
        pids: arguments.watch_pid.clone(),
    };
    let seen = engine::run(&profile, setting, arguments.quiet).await?;
    let outcome = Outcome::new(heading, &profile, seen);
    let text = if arguments.json { serde_json::to_string(&outcome)? } else { outcome.to_string() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

async fn serve(arguments: &OriginArguments) -> anyhow::Result<()> {
    let places = Places { listen: arguments.listen, resuming: arguments.resuming, hello: arguments.hello };
    for address in [places.listen, places.resuming, places.hello] {
        ensure_loopback(address)?;
    }
    let origin = origin::Origin::bind(places).await?;
    std::fs::write(&arguments.ca_out, origin.pem()).with_context(|| arguments.ca_out.display().to_string())?;
    let Places { listen, resuming, hello } = origin.places()?;
    let ready = serde_json::json!({
        "listen": listen,
        "resuming": resuming,
        "hello": hello,
        "ca": arguments.ca_out,
        "pid": std::process::id(),
    });
    writeln!(std::io::stdout(), "{ready}")?;
    tokio::select! {
        ended = origin.serve() => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn list() -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    for (name, title) in shipped::list()? {
        writeln!(out, "{name:15} {title}")?;
    }
    Ok(())
}

fn roots(file: Option<&Path>) -> anyhow::Result<Option<Arc<RootCertStore>>> {
    let Some(file) = file else { return Ok(None) };
    let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
    hello::roots(&pem).map(Some)
}

fn ensure_loopback(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(address.ip().is_loopback(), "{address} is not a loopback address; this tool loads this machine alone");
    Ok(())
}

const SCALE_MIN: f64 = 0.001;
const SCALE_MAX: f64 = 1_000.0;

const EXAMPLES: &str = "\
Examples:
  An origin, an appliance before it, and a minute of an office:
    penstock-load origin --listen 127.0.0.1:9443 --hello 127.0.0.1:9444 --ca-out origin.pem
    penstock up --state state --policy bench/peers/penstock.toml --listen 127.0.0.1:8080 --upstream-ca origin.pem \\
      --host '*=127.0.0.1:9443' --host login.example.com=127.0.0.1:9444 --host hello.example.com=127.0.0.1:9444
    penstock-load run --profile office --proxy 127.0.0.1:8080 --origin-ca origin.pem --proxy-ca state/ca/root.pem \\
      --watch-pid DATAPLANE --watch-pid CONTROL --json > office.json

  The same at a tenth of the load, for five seconds:
    penstock-load run --profile office --scale 0.1 --seconds 5 ...

bench/run --profile NAME does all of the first; bench/README.md explains the figures.
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
