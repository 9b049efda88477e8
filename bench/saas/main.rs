//! `penstock-saas`: simulated cloud services that enforce the vendors' tenant restrictions over real TLS.
//!
//! Owns the command line and the start. One TLS port stands for every host, chosen by server name; the certificates
//! come from an authority of its own. It is what the appliance's tests, demonstration and benches sign in to; the
//! appliance does not know that it exists.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use penstock_bench::certificate::{Authority, CertificateFlaw, OnDemand};
use penstock_bench::processor;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::endpoint::Services;
use crate::seen::Record;
use crate::server::{Alpn, Server, Transport};

mod clock;
mod connection;
mod endpoint;
mod http2;
mod plain;
mod request;
mod response;
mod seen;
mod server;
mod vendor;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Simulated cloud services that enforce the vendors' tenant restrictions over real TLS.
#[derive(Debug, Parser)]
#[command(name = "penstock-saas", version, after_long_help = EXAMPLES)]
struct Arguments {
    /// Where to listen for TLS; port 0 means any free port, the ready line says which.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Also listen here without TLS; the Host header then chooses the host.
    #[arg(long, value_name = "IP:PORT")]
    plain_listen: Option<SocketAddr>,
    /// Write the authority's certificate (PEM) here.
    #[arg(long, value_name = "FILE")]
    ca_out: PathBuf,
    /// Keep the authority, with its key, here, so that it is the same after a restart; made when absent.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Append the raw head of every request here, one JSON object a line: host, connection, kind, raw (base64).
    #[arg(long, value_name = "FILE")]
    tripwire: Option<PathBuf>,
    /// Give a host a bad certificate: expired, not-yet-valid, self-signed, unknown-root or wrong-name.
    #[arg(long, value_name = "HOST=FLAW", value_parser = parse_flaw)]
    certificate_flaw: Vec<(String, CertificateFlaw)>,
    /// Choose among these protocols, the first that the client offers too; an empty list chooses none.
    #[arg(long, value_name = "PROTOCOLS", value_delimiter = ',', default_value = "h2,http/1.1", num_args = 0..)]
    alpn: Vec<Alpn>,
    /// Run on this CPU alone.
    #[arg(long, value_name = "INDEX")]
    cpu: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("PENSTOCK_LOG"))
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    if let Some(index) = arguments.cpu {
        processor::pin(index).with_context(|| format!("cannot run on CPU {index}"))?;
    }
    if let Err(error) = processor::raise_descriptor_limit() {
        tracing::warn!(%error, "the descriptor limit stays as it is");
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let authority = match &arguments.state {
        Some(path) => Authority::open_or_create(path).with_context(|| path.display().to_string())?,
        None => Authority::generate()?,
    };
    std::fs::write(&arguments.ca_out, authority.pem()).with_context(|| arguments.ca_out.display().to_string())?;
    let record = Record::new(arguments.tripwire.as_deref()).context("cannot open the tripwire file")?;
    let flaws: HashMap<_, _> = arguments.certificate_flaw.into_iter().collect();
    let server = Server::new(OnDemand::new(authority, flaws), &arguments.alpn, Services::new(record))?;
    let bind = async |address| TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"));
    let listener = bind(arguments.listen).await?;
    let plain = match arguments.plain_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let ready = serde_json::json!({
        "ready": true,
        "listen": listener.local_addr()?.to_string(),
        "plain": plain.as_ref().map(TcpListener::local_addr).transpose()?.map(|address| address.to_string()),
        "ca": arguments.ca_out.display().to_string(),
        "pid": std::process::id(),
    });
    // Handlers stand before the line is out: whoever reads it may end this process at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    writeln!(std::io::stdout(), "{ready}")?;
    let tls = server.clone().serve(listener, Transport::Tls);
    let plain = async {
        match plain {
            Some(listener) => server.clone().serve(listener, Transport::Plain).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = tls => ended.context("the listener failed"),
        ended = plain => ended.context("the plain listener failed"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn parse_flaw(text: &str) -> Result<(String, CertificateFlaw), String> {
    let (host, word) = text.split_once('=').ok_or("write HOST=FLAW")?;
    let flaw = CertificateFlaw::from_word(word).ok_or_else(|| {
        let words: Vec<_> = CertificateFlaw::ALL.iter().map(|(word, _)| *word).collect();
        format!("the flaw is one of {}", words.join(", "))
    })?;
    Ok((host.to_ascii_lowercase(), flaw))
}

const EXAMPLES: &str = "\
Examples:
  Serve every host on one port and ask one of them:
    penstock-saas --listen 127.0.0.1:8443 --ca-out ca.pem
    curl --cacert ca.pem --connect-to ::127.0.0.1:8443 https://login.microsoftonline.com/__seen

  Stand behind the appliance:
    penstock-saas --listen 127.0.0.1:8443 --ca-out ca.pem
    penstock up --state state --policy policy.toml --host '*=127.0.0.1:8443' --upstream-ca ca.pem

Every host answers:
  GET /__seen           the requests it received, their raw header lines and bytes (DELETE forgets them)
  GET /__raw/BASE64URL  these bytes as they are, then the connection ends (not over HTTP/2)
  POST /upload          the SHA-256 and length of what it got

A host that is no vendor's also answers:
  /  /bytes/N[?digest=0]  /delay/MS  /status/N  /early/N (answers before the body)  POST /echo
  /sse and /slow (count=N, interval_ms=MS)  /echo-ws (WebSocket, not over HTTP/2)

Who signs in:
  Entra    /TENANT/oauth2/v2.0/authorize, token, devicecode; tenants contoso.com, fabrikam.onmicrosoft.com,
           aaaabbbb-0000-cccc-1111-dddd2222eeee; foreign: evil.example, adatum.com
  Claude   x-api-key: sk-ant-permitted, sk-ant-foreign or sk-ant-org-UUID; Cookie: sessionKey=sk-ant-sid-UUID
  ChatGPT  Cookie: session=UUID,UUID (the user's workspaces)
  OpenAI   Authorization: Bearer sk-permitted (org-contoso), sk-foreign (org-evil) or sk-org-NAME
  Google   /signin/v2/identifier?Email=USER@DOMAIN
  Google Cloud  Authorization: Bearer ya29.organizations-NUMBER
  GitHub   Authorization: Bearer ghp_contoso (enterprise 1234567), ghp_fabrikam (2345678) or ghp_evil (9999999)
  Slack, Asana, Dropbox, Webex, Notion, IBM Cloud, Gemini Code Assist  /?account=ID-OR-ADDRESS
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
    fn flaws_are_read_and_nonsense_is_explained() {
        assert_eq!(parse_flaw("A.example=expired"), Ok(("a.example".to_owned(), CertificateFlaw::Expired)));
        assert!(parse_flaw("a.example=dull").unwrap_err().contains("wrong-name"));
        assert!(parse_flaw("a.example").is_err());
    }
}
