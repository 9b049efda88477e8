//! `penstock-hot`: runs one hot function so many times and nothing else, for `bench/ratchet` to count its instructions.

#![forbid(unsafe_code)]

use std::io::Write;

use anyhow::{Context, ensure};
use clap::Parser;
use penstock_bench::hot::OPERATIONS;

/// Runs a hot function of core N times.
#[derive(Debug, Parser)]
#[command(name = "penstock-hot", version)]
struct Arguments {
    /// Which; all names are listed without it.
    name: Option<String>,
    /// How often.
    #[arg(default_value_t = 1)]
    times: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Some(name) = arguments.name else {
        for operation in OPERATIONS {
            writeln!(std::io::stdout(), "{}", operation.name)?;
        }
        return Ok(());
    };
    let operation =
        OPERATIONS.iter().find(|operation| operation.name == name).with_context(|| format!("no `{name}`"))?;
    let mut run = (operation.make)().with_context(|| format!("`{name}` cannot be made ready"))?;
    for number in 0..arguments.times {
        ensure!(run(), "`{name}` failed at number {number}");
    }
    Ok(())
}
