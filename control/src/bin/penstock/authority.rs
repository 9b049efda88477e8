//! `penstock ca`: the root certificate, and how one follows another.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use penstock_control::ca::trust_bundle;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::client::DaemonArguments;
use crate::output;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Save the root certificate, for the trust stores of clients.
    Export(ExportArguments),
    /// Replace the root: announce the next one, let it sign after an overlap, take the old one away.
    Rotate(RotateArguments),
    /// Show root and issuer: fingerprint, life, and the hosts that the issuer may vouch for.
    Show(ShowArguments),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock ca export > root.pem\n  penstock ca export --out /usr/local/share/ca-certificates/penstock.crt\n  penstock ca export --format p12 --out penstock.p12\n  penstock ca export --format der --number 2 --out next.der\n\nWhile one root follows another there are two: PEM and PKCS #12 hold both, DER holds one."
)]
pub(crate) struct ExportArguments {
    /// Where to save it; standard output unless given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The form.
    #[arg(long, value_enum, default_value = "pem")]
    format: Format,
    /// Which certificate, for DER: 1 is the one that signs now.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    number: usize,
    /// The password that PKCS #12 asks for; nothing in the file is secret.
    #[arg(long, value_name = "TEXT", default_value = "penstock")]
    password: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

/// Forms of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One certificate, binary.
    Der,
    /// PKCS #12 without any key.
    P12,
    /// All certificates as text.
    Pem,
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  penstock ca rotate            make the next root; clients can get both now\n  penstock ca show              when it begins to sign\n  penstock ca rotate --now      do not wait for that\n  penstock ca rotate --finish   take the old root away, once every client has the new one"
)]
pub(crate) struct RotateArguments {
    /// Let the next root sign now. Clients that have the old one alone believe it by the old one's word for it.
    #[arg(long, conflicts_with = "finish")]
    now: bool,
    /// Serve the old root no more, and let its word for the new one go.
    #[arg(long)]
    finish: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  penstock ca show\n  penstock ca show --json")]
pub(crate) struct ShowArguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Export(arguments) => export(arguments),
        Command::Rotate(arguments) => rotate(arguments),
        Command::Show(arguments) => show(arguments),
    }
}

fn export(arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let pem = arguments.daemon.open()?.get_open("/ca/root.pem")?.body;
    let bytes = match arguments.format {
        Format::Pem => pem.clone().into_bytes(),
        Format::Der => {
            let (mut certificates, number) = (certificates(&pem)?, arguments.number);
            ensure!((1..=certificates.len()).contains(&number), "--number: there are {}", certificates.len());
            certificates.swap_remove(number - 1)
        }
        Format::P12 => {
            let named = certificates(&pem)?.into_iter().enumerate();
            let named: Vec<_> = named.map(|(index, der)| (format!("Penstock root {}", index + 1), der)).collect();
            trust_bundle(&named, &arguments.password)?
        }
    };
    if let Some(path) = &arguments.out {
        fs::write(path, &bytes).with_context(|| path.display().to_string())?;
    }
    match (&arguments.out, arguments.json) {
        (out, true) => output::json(&json!({ "pem": pem, "file": out }))?,
        (Some(path), false) => output::note(&format!("root certificate saved as {}", path.display())),
        (None, false) if arguments.format == Format::Pem => output::text(&pem)?,
        (None, false) => {
            if io::stdout().is_terminal() {
                bail!("this form is binary: name a file with --out, or redirect standard output");
            }
            io::stdout().lock().write_all(&bytes)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn certificates(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).map(|one| one.map(|der| der.to_vec()));
    all.collect::<Result<_, _>>().context("the admin API's answer is no PEM")
}

fn rotate(arguments: &RotateArguments) -> anyhow::Result<ExitCode> {
    let step = match (arguments.now, arguments.finish) {
        (true, _) => "switch",
        (_, true) => "finish",
        _ => "announce",
    };
    let answer = arguments.daemon.connect()?.post("/ca/rotate", &json!({ "step": step }))?.json()?;
    tell(&answer, arguments.json)
}

fn show(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    tell(&arguments.daemon.connect()?.get("/ca", &[])?.json()?, arguments.json)
}

fn tell(answer: &Value, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        output::json(answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let empty = Value::Null;
    let root = |name: &str, root: &Value| -> io::Result<()> {
        output::line(&format!("{name:<7} {}", output::cell(root, "common_name")))?;
        output::line(&format!("        sha256 {}", output::cell(root, "sha256")))?;
        output::line(&format!("        ends {}", output::cell(root, "not_after")))
    };
    root("root", answer.get("root").unwrap_or(&empty))?;
    if answer.get("origin").is_some_and(|origin| origin == "operator") {
        output::line("        the operator's own")?;
    }
    let rotation = answer.get("rotation").unwrap_or(&empty);
    let is_cross_signed = rotation.get("cross_signed") == Some(&Value::Bool(true));
    if let Some(next) = rotation.get("next") {
        root("next", next)?;
        output::line(&format!(
            "        signs from {}; bring it to every client before",
            output::cell(rotation, "switches")
        ))?;
    } else if let Some(old) = rotation.get("old") {
        root("old", old)?;
        output::line("        signs no more; `penstock ca rotate --finish` takes it away")?;
    }
    if rotation.is_object() && !is_cross_signed {
        output::line("        it has no word for the other: clients that have the old root alone refuse the new one")?;
    }
    let Some(issuer) = answer.get("issuer").filter(|issuer| !issuer.is_null()) else {
        output::line("issuer  none: no policy is in force")?;
        return Ok(ExitCode::SUCCESS);
    };
    output::line(&format!("issuer  serial {}", output::cell(issuer, "serial")))?;
    output::line(&format!("        ends {}", output::cell(issuer, "not_after")))?;
    for host in issuer.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        output::line(&format!("        for {host}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
