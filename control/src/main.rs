//! `penstock-control`: the daemon. Reads its arguments, starts the parts, waits for a signal.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use penstock_control::config::Config;
use penstock_control::daemon::{Daemon, stop_signal};
use penstock_control::service;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps policy, CA and audit events, and publishes to the data planes.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and end.
    #[arg(long)]
    check: bool,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,penstock_control::publish=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: EnvFilter,
    /// Stop when standard input ends: for a supervisor that holds its other end.
    #[arg(long)]
    exit_with_parent: bool,
}

const EXAMPLES: &str = "\
Examples:
  penstock-control --config /etc/penstock/control.toml
  penstock-control --config control.toml --check

Prints one line of JSON on standard output when it serves: {\"admin\":\"127.0.0.1:7080\"}, with [link] listen also
\"link\":\"0.0.0.0:7443\". Logs go to standard error.
Under systemd it takes the link's socket from a socket unit, says when it serves, and answers the watchdog.
Ends with 0 after SIGTERM or SIGINT, with 1 when it cannot start or go on, with 2 on misuse.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = tracing_subscriber::fmt().with_env_filter(arguments.log.clone()).with_writer(std::io::stderr);
    log.with_ansi(false).init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The messages name their causes themselves. One may be several diagnostics, one a line: as they are, for
            // tools that read them.
            drop(writeln!(std::io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::read(&arguments.config)?;
    if arguments.check {
        return Ok(());
    }
    let link = service::link_listener()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut daemon = Daemon::start(config, link).await?;
        let stop = stop_signal(arguments.exit_with_parent);
        tell_first_password(&mut daemon);
        let mut ready = serde_json::json!({ "admin": daemon.address().to_string() });
        if let Some(link) = daemon.link_address() {
            ready["link"] = link.to_string().into();
        }
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{ready}")?;
        stdout.flush()?;
        tracing::info!(admin = %daemon.address(), "serving");
        daemon.serve(stop).await?;
        Ok(())
    })
}

/// On standard error and not in the log, so that only who starts the daemon sees it. A journal keeps what it is told:
/// there, only the way to a password is.
fn tell_first_password(daemon: &mut Daemon) {
    let Some(password) = daemon.first_password() else { return };
    let told = if service::is_kept_in_journal() {
        "penstock: first start: the user admin has no known password; run: penstock user password admin".to_owned()
    } else {
        format!("penstock: first start: sign in as admin with the password {} (shown this once)", *password)
    };
    drop(writeln!(std::io::stderr(), "{told}"));
}
