//! `penstock explain`: what would happen to a flow.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use penstock_control::audit::moment;
use penstock_control::explain::Question;
use serde_json::Value;

use crate::client::DaemonArguments;
use crate::output;
use crate::policy::document;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Ask this policy, without a daemon, instead of the one in force.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Host name that the client asks for.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["destination", "destination_host"])]
    sni: Option<String>,
    /// Address of the inside host.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,
    /// User id, where the listener would know one.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Group of the user; may be repeated.
    #[arg(long, value_name = "NAME", requires = "user")]
    group: Vec<String>,
    /// Address that the client asks for.
    #[arg(long, value_name = "IP")]
    destination: Option<IpAddr>,
    /// Host name in the CONNECT request, where it is another than in the ClientHello.
    #[arg(long, value_name = "NAME")]
    authority: Option<String>,
    /// A host whose address the client asks for: what then becomes of another name, or of none.
    #[arg(long, value_name = "NAME")]
    destination_host: Option<String>,
    /// The client offers Encrypted ClientHello (or GREASE); --sni is its outer name.
    #[arg(long, requires = "sni")]
    ech: bool,
    /// JA4 fingerprint of the client: says whether a bypass would cover it.
    #[arg(long, value_name = "JA4")]
    ja4: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: DaemonArguments,
}

const EXAMPLES: &str = "\
Examples:
  penstock explain --policy policy.toml --sni login.microsoftonline.com
  penstock explain --policy policy.toml --sni login.live.com --source 10.20.0.1 --json
  penstock explain --policy policy.toml --sni cloudflare-ech.com --ech --authority claude.ai
  penstock explain --policy policy.toml --sni www.example.org --destination-host claude.ai
  penstock explain --sni claude.ai --user alice --group finance            (asks the daemon)";

pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let question = Question {
        sni: arguments.sni,
        source: Some(arguments.source),
        user: arguments.user,
        groups: arguments.group,
        destination: arguments.destination,
        authority: arguments.authority,
        destination_host: arguments.destination_host,
        ech: arguments.ech,
        ja4: arguments.ja4,
        policy: None,
    };
    let explanation = match &arguments.policy {
        Some(path) => {
            let checked = document::read(path)?;
            let Ok(snapshot) = checked.compiled else { return document::report_refusal(&checked, arguments.json) };
            serde_json::to_string(&question.answer(&snapshot, moment::now_ms())?)?
        }
        None => {
            let client = arguments.daemon.connect()?;
            client.post("/policy/explain", &serde_json::to_value(&question)?)?.body
        }
    };
    if arguments.json {
        output::line(&explanation)?;
    } else {
        show(&question, &serde_json::from_str(&explanation)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(question: &Question, explanation: &Value) -> anyhow::Result<()> {
    let named = question.sni.clone().or_else(|| question.destination_host.clone());
    let flow = named.or_else(|| question.destination.map(|address| address.to_string()));
    let source = question.source.map(|source| source.to_string()).unwrap_or_default();
    let field = |name| output::cell(explanation, name);
    output::line(&format!("{} from {source}: {} ({})", flow.unwrap_or_default(), field("verdict"), field("reason")))?;
    let mut rows = vec![vec!["profile".to_owned(), format!("{} ({})", field("profile"), field("mode"))]];
    for name in ["site", "user"] {
        if explanation.get(name).is_some() {
            rows.push(vec![name.to_owned(), field(name)]);
        }
    }
    if explanation.get("epoch").is_some_and(|epoch| !epoch.is_null()) {
        rows.push(vec!["epoch".to_owned(), field("epoch")]);
    }
    rows.push(vec!["connectors".to_owned(), words(explanation, "connectors").join(", ")]);
    if let Some(engines) = explanation.get("engines") {
        let legacy = engines.get("legacy").and_then(Value::as_bool).unwrap_or_default();
        let legacy = if legacy { " (legacy)" } else { "" };
        let (upstream, downstream) = (output::cell(engines, "upstream"), output::cell(engines, "downstream"));
        rows.push(vec!["engines".to_owned(), format!("{upstream} upstream{legacy}, {downstream} downstream")]);
    }
    for name in ["set", "would_set"] {
        for header in explanation.get(name).and_then(Value::as_array).into_iter().flatten() {
            let header = format!("{}: {}", output::cell(header, "name"), output::cell(header, "value"));
            rows.push(vec![name.replace('_', " "), header]);
        }
    }
    for name in ["strip", "would_strip"] {
        let names = words(explanation, name);
        if !names.is_empty() {
            rows.push(vec![name.replace('_', " "), names.join(", ")]);
        }
    }
    if let Some(seconds) = explanation.get("bypass_seconds").and_then(Value::as_u64) {
        rows.push(vec!["bypass".to_owned(), format!("for {seconds} s from its refusal of the certificate")]);
    }
    rows.retain(|row| row.get(1).is_some_and(|cell| !cell.is_empty()));
    for row in rows {
        output::line(&format!("  {:<11} {}", row[0], row[1]))?;
    }
    Ok(())
}

fn words(explanation: &Value, name: &str) -> Vec<String> {
    let items = explanation.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
