//! `penstock-load`: drives a proxy on this machine and measures latency, throughput, and the proxy's CPU and memory.
//!
//! Owns the command line. `run` is the load, `origin` the cheap TLS server behind the proxy. It reaches loopback
//! addresses alone: a load tool must not be pointed at somebody's service by a slip.

#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
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

mod chart;
mod client;
mod compare;
mod engine;
mod exchange;
mod hello;
mod html;
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
    /// Make one HTML file, with plots, of a result or of curves of growth.
    Report(ReportArguments),
    /// Put two results side by side; ends with 1 when a chosen metric became worse.
    Compare(CompareArguments),
}

#[derive(Debug, Args)]
struct ReportArguments {
    /// What `run --json` or `bench/run --growth` wrote.
    #[arg(value_name = "RESULT.json")]
    result: PathBuf,
    /// Where the page goes.
    #[arg(long, value_name = "OUT.html")]
    html: PathBuf,
}

#[derive(Debug, Args)]
struct CompareArguments {
    /// The result before.
    #[arg(value_name = "A.json")]
    first: PathBuf,
    /// The result after.
    #[arg(value_name = "B.json")]
    second: PathBuf,
    /// A metric that must not become worse, or the end of its name; may be repeated. By default CPU an operation and a
    /// gigabyte, and memory a flow.
    #[arg(long, value_name = "NAME")]
    metric: Vec<String>,
    /// How much worse is no worse, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
    /// Print the table as JSON.
    #[arg(long)]
    json: bool,
}

/// What a run does, to whom.
#[derive(Debug, Args)]
struct RunArguments {
    /// A profile of `penstock-load profiles`, or a file.
    #[arg(long, value_name = "NAME|FILE")]
    profile: String,
    /// The proxy, a loopback address; several are taken in turn, flow by flow.
    #[arg(long, value_name = "IP:PORT", required = true)]
    proxy: Vec<SocketAddr>,
    /// How the proxy learns the destination: by CONNECT, or by the server name of a handshake sent at once.
    #[arg(long, value_enum, default_value = "connect")]
    via: Via,
    /// The port in the CONNECT request.
    #[arg(long, default_value_t = 443)]
    port: u16,
    /// Roots of the origin (PEM), for passed flows; may be repeated.
    #[arg(long, value_name = "FILE")]
    origin_ca: Vec<PathBuf>,
    /// Roots of the proxy (PEM), for inspected flows; one file for each proxy.
    #[arg(long, value_name = "FILE")]
    proxy_ca: Vec<PathBuf>,
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

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let cpu = match &arguments.command {
        Command::Run(run) => run.cpu,
        Command::Origin(origin) => origin.cpu,
        Command::Compare(_) | Command::Profiles | Command::Report(_) => None,
    };
    if let Some(index) = cpu {
        processor::pin(index).with_context(|| format!("cannot run on CPU {index}"))?;
    }
    processor::raise_descriptor_limit().context("cannot raise the descriptor limit")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.command {
        Command::Run(run) => runtime.block_on(load(&run))?,
        Command::Origin(origin) => runtime.block_on(serve(&origin))?,
        Command::Profiles => list()?,
        Command::Report(report) => {
            let page = html::page(&read(&report.result)?).with_context(|| report.result.display().to_string())?;
            std::fs::write(&report.html, page).with_context(|| report.html.display().to_string())?;
        }
        Command::Compare(arguments) => return compare(&arguments),
    }
    Ok(ExitCode::SUCCESS)
}

async fn load(arguments: &RunArguments) -> anyhow::Result<()> {
    arguments.proxy.iter().try_for_each(|proxy| ensure_loopback(*proxy))?;
    ensure!((SCALE_MIN..=SCALE_MAX).contains(&arguments.scale), "--scale is {SCALE_MIN} to {SCALE_MAX}");
    let (name, mut profile) = shipped::open(&arguments.profile)?;
    profile.scale(arguments.scale);
    let seconds = |given: Option<u16>, own| given.map_or(own, |seconds| Duration::from_secs(seconds.into()));
    profile.sustain = seconds(arguments.seconds, profile.sustain);
    profile.ramp = seconds(arguments.ramp_seconds, profile.ramp);
    ensure!(!profile.sustain.is_zero(), "--seconds is 1 at least");
    let is_ipv4 = arguments.proxy.iter().all(SocketAddr::is_ipv4);
    ensure!(profile.sources == 1 || is_ipv4, "several `sources` need a proxy on 127.0.0.0/8");
    let route = Route {
        proxies: arguments.proxy.clone(),
        connect: arguments.via == Via::Connect,
        port: arguments.port,
        sources: profile.sources,
        turn: Cell::new(0),
    };
    let setting = Setting {
        route: Rc::new(route),
        origin_roots: roots(&arguments.origin_ca)?,
        proxy_roots: roots(&arguments.proxy_ca)?,
        pids: arguments.watch_pid.clone(),
    };
    let heading = Heading {
        profile: name,
        proxy: arguments.proxy.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", "),
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

fn compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let outcome = |file: &Path| -> anyhow::Result<Outcome> {
        let outcome: Outcome = serde_json::from_str(&read(file)?).with_context(|| file.display().to_string())?;
        ensure!(outcome.schema == outcome::SCHEMA, "{}: `{}` is no result", file.display(), outcome.schema);
        Ok(outcome)
    };
    let (first, second) = (outcome(&arguments.first)?, outcome(&arguments.second)?);
    let comparison = compare::Comparison::new(&first, &second, &arguments.metric, arguments.tolerance)?;
    let text = if arguments.json { serde_json::to_string(&comparison)? } else { comparison.to_string() };
    writeln!(std::io::stdout(), "{}", text.trim_end())?;
    Ok(if comparison.is_worse() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn roots(files: &[PathBuf]) -> anyhow::Result<Option<Arc<RootCertStore>>> {
    let pem = files.iter().map(|file| read(file)).collect::<anyhow::Result<String>>()?;
    if files.is_empty() { Ok(None) } else { hello::roots(pem.as_bytes()).map(Some) }
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

  A page with plots, and what a change did:
    penstock-load report office.json --html office.html
    penstock-load compare before.json after.json --tolerance 5 --metric passed.first_byte.p99_us

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
