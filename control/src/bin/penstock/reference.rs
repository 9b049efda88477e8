//! `penstock man` and `penstock completions`: what the command knows of itself, for `man` and for shells.
//!
//! The package's build calls both. The arguments are the one source: no page can name an option that is not there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::output;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock completions bash > ~/.local/share/bash-completion/completions/penstock\n  penstock completions fish > ~/.config/fish/completions/penstock.fish\n\nThe Debian package brings them for bash, fish and zsh."
)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock man | man -l -\n  penstock man --out /usr/local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write the pages of every subcommand too, each to a file in this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), "penstock", &mut script);
    output::text(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    // `penstock help` has nothing to tell beside what the pages tell.
    let mut command = crate::Arguments::command().disable_help_subcommand(true);
    command.build();
    match &arguments.out {
        Some(folder) => pages(command, folder)?,
        None => output::text(&String::from_utf8(page(command)?)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The pages of a command and of all below it.
fn pages(command: clap::Command, folder: &Path) -> anyhow::Result<()> {
    for below in command.get_subcommands() {
        pages(below.clone(), folder)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    let page = page(command)?;
    std::fs::write(&path, page).with_context(|| path.display().to_string())
}

/// The examples stand line by line, as they do in `--help`.
fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let examples = command.get_after_help().map(ToString::to_string);
    let (has_subcommands, has_version) = (command.has_subcommands(), command.get_version().is_some());
    let man = Man::new(command).source(concat!("penstock ", env!("CARGO_PKG_VERSION"))).manual("Penstock");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = examples {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in text.trim_start_matches("Examples:\n").lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).to_writer(&mut page)?;
    }
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}
