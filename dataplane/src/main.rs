//! The data plane's daemon, `penstock-dataplane`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    penstock_dataplane::main(&penstock_dataplane::Arguments::parse())
}
