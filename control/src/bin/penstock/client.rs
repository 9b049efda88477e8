//! The way to the admin API: address, token, and errors told as the API tells them.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

/// Where the daemon is. The same options on every command that needs it.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonArguments {
    /// Address of the admin API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7080")]
    pub(crate) admin: String,
    /// File with the admin API's token; `penstock up` names it when it is ready.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/penstock/admin.token")]
    pub(crate) token_file: PathBuf,
    /// Trust this authority (PEM) for an https:// address, and none of the system's.
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_ca: Option<PathBuf>,
}

/// A connection to the admin API.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    /// By which the API knows who asks, as headers.
    credentials: Vec<(&'static str, String)>,
}

/// What the API answered, when it was not an error.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The policy's epoch, where the answer is or concerns one (its ETag).
    pub(crate) epoch: Option<u64>,
    /// Where a page that is no JSON goes on.
    pub(crate) next_cursor: Option<u64>,
    /// The session that was opened, as a browser would send it back.
    cookie: Option<String>,
    pub(crate) body: String,
}

/// The API refused. Prints as diagnostics where the refusal has them.
#[derive(Debug)]
pub(crate) struct Refused {
    status: u16,
    problem: Value,
}

/// Nobody answers at the API's address.
#[derive(Debug)]
pub(crate) struct Unreachable {
    base: String,
    reason: String,
}

impl DaemonArguments {
    /// Reads the token and prepares the connection.
    pub(crate) fn connect(&self) -> anyhow::Result<Client> {
        let file = self.token_file.display();
        let token = fs::read_to_string(&self.token_file)
            .with_context(|| format!("cannot read the admin token {file}; name it with --token-file"))?;
        Ok(Client { credentials: vec![("Authorization", format!("Bearer {}", token.trim()))], ..self.open()? })
    }

    /// Signs in with name and password, without the token.
    pub(crate) fn sign_in(&self, user: &str, password: &str) -> anyhow::Result<Client> {
        let client = self.open()?;
        let reply = client.post("/session", &json!({ "user": user, "password": password }))?;
        let csrf = reply.json()?.get("csrf").and_then(Value::as_str).map(str::to_owned);
        let (Some(cookie), Some(csrf)) = (reply.cookie, csrf) else { bail!("the admin API opened no session") };
        Ok(Client { credentials: vec![("Cookie", cookie), ("Penstock-Csrf", csrf)], ..client })
    }

    /// Prepares a connection for what needs no token.
    pub(crate) fn open(&self) -> anyhow::Result<Client> {
        let is_tls = self.admin.starts_with("https://");
        anyhow::ensure!(
            is_tls || self.admin.starts_with("http://"),
            "--admin: must be an address such as http://127.0.0.1:7080"
        );
        let tls = if is_tls { self.tls()? } else { TlsConfig::default() };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            // The environment may name this very appliance as proxy.
            .proxy(None)
            .timeout_connect(Some(CONNECT_PATIENCE))
            .timeout_global(Some(PATIENCE))
            .tls_config(tls)
            .build()
            .into();
        Ok(Client { agent, base: self.admin.trim_end_matches('/').to_owned(), credentials: Vec::new() })
    }

    /// Whom to trust that the listener is the appliance's.
    fn tls(&self) -> anyhow::Result<TlsConfig> {
        let roots = match &self.admin_ca {
            Some(file) => CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .with_context(|| format!("--admin-ca: {}", file.display()))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let roots: Vec<Certificate<'static>> =
            roots.iter().map(|root: &CertificateDer<'_>| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots));
        Ok(tls.unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider())).build())
    }
}

impl Client {
    /// Reads a path below `/api/v1`.
    pub(crate) fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Reply> {
        let mut request = self.signed(self.agent.get(self.url(path)));
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.reply(request.call())
    }

    /// Reads a path of the listener itself, as text, without the token.
    pub(crate) fn get_open(&self, path: &str) -> anyhow::Result<Reply> {
        self.reply(self.agent.get(format!("{}{path}", self.base)).call())
    }

    /// Sends a policy document.
    pub(crate) fn put_policy(
        &self,
        text: &str,
        query: &[(&str, String)],
        expected: Option<u64>,
    ) -> anyhow::Result<Reply> {
        let mut request = expecting(self.signed(self.agent.put(self.url("/policy"))), expected);
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.reply(request.header("Content-Type", "application/toml").send(text))
    }

    /// Sends a policy document to be looked at; an empty one stands for the policy in force.
    pub(crate) fn post_policy(&self, path: &str, text: &str, query: &[(&str, String)]) -> anyhow::Result<Reply> {
        let mut request = self.signed(self.agent.post(self.url(path)));
        for (name, value) in query {
            request = request.query(name, value);
        }
        self.reply(request.header("Content-Type", "application/toml").send(text))
    }

    /// Sends JSON that holds only while this epoch is in force.
    pub(crate) fn post_expecting(&self, path: &str, body: &Value, expected: Option<u64>) -> anyhow::Result<Reply> {
        let request = self.agent.post(self.url(path));
        self.send_json(expecting(request, expected), body)
    }

    /// Sends JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(self.agent.post(self.url(path)), body)
    }

    /// Sends JSON, to put it in the place of what is there.
    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(self.agent.put(self.url(path)), body)
    }

    /// Sends JSON, to change what is there.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(self.agent.patch(self.url(path)), body)
    }

    /// Removes what is there.
    pub(crate) fn delete(&self, path: &str) -> anyhow::Result<Reply> {
        self.reply(self.signed(self.agent.delete(self.url(path))).call())
    }

    fn send_json(&self, request: RequestBuilder<WithBody>, body: &Value) -> anyhow::Result<Reply> {
        let request = self.signed(request);
        self.reply(request.header("Content-Type", "application/json").send(body.to_string()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    fn signed<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        self.credentials.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    fn reply(&self, response: Result<Response<Body>, ureq::Error>) -> anyhow::Result<Reply> {
        let mut response =
            response.map_err(|error| Unreachable { base: self.base.clone(), reason: error.to_string() })?;
        let status = response.status().as_u16();
        let number = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            value.trim_matches('"').parse().ok()
        };
        let (epoch, next_cursor) = (number("ETag"), number("Penstock-Next-Cursor"));
        let cookie = response.headers().get("Set-Cookie").and_then(|value| value.to_str().ok()?.split(';').next());
        let cookie = cookie.map(str::to_owned);
        let body = response.body_mut().with_config().limit(BODY_BYTES_MAX).read_to_string();
        let body = body.context("the admin API's answer cannot be read")?;
        if status < 400 {
            return Ok(Reply { status, epoch, next_cursor, cookie, body });
        }
        match serde_json::from_str(&body) {
            Ok(problem) => Err(Refused { status, problem }.into()),
            Err(_) => bail!("the admin API at {} answered {status}, not in its own form; is --admin right?", self.base),
        }
    }
}

impl Reply {
    /// The body, read as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).context("the admin API's answer is no JSON")
    }
}

impl Refused {
    /// What is wrong in a policy, where that is why.
    pub(crate) fn diagnostics(&self) -> Option<&Value> {
        self.problem.get("diagnostics")
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |name: &str| self.problem.get(name).and_then(Value::as_str).unwrap_or("");
        match self.problem.get("diagnostics").and_then(Value::as_array) {
            Some(diagnostics) => {
                for (index, diagnostic) in diagnostics.iter().enumerate() {
                    write!(f, "{}{}", if index > 0 { "\n" } else { "" }, diagnostic_line(diagnostic))?;
                }
                Ok(())
            }
            None if self.status == 401 => write!(f, "error: the admin API refuses the token: {}", text("detail")),
            None => write!(f, "error: {}", if text("detail").is_empty() { text("title") } else { text("detail") }),
        }
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, reason } = self;
        write!(f, "the admin API at {base} cannot be reached: {reason}; is penstock running, and is --admin right?")
    }
}

impl std::error::Error for Unreachable {}

/// A diagnostic as JSON, told as `core::policy::Diagnostic` prints.
pub(crate) fn diagnostic_line(diagnostic: &Value) -> String {
    let text = |name: &str| diagnostic.get(name).and_then(Value::as_str).unwrap_or("");
    let number = |name: &str| diagnostic.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (line, column) = (number("line"), number("column"));
    let mut told = format!("{}:{line}:{column}: {}: {}", text("file"), text("severity"), text("message"));
    if let Some(code) = diagnostic.get("code").and_then(Value::as_str) {
        told.push_str(&format!(" [{code}]"));
    }
    if let Some(help) = diagnostic.get("help").and_then(Value::as_str) {
        told.push_str(&format!("\n    help: {help}"));
    }
    told
}

fn expecting<B>(request: RequestBuilder<B>, epoch: Option<u64>) -> RequestBuilder<B> {
    epoch.into_iter().fold(request, |request, epoch| request.header("If-Match", format!("\"{epoch}\"")))
}

/// A name as one segment of a path, whatever it holds.
pub(crate) fn path_segment(name: &str) -> String {
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// What users and tokens may be.
pub(crate) const ROLES: [&str; 4] = ["admin", "auditor", "operator", "viewer"];
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Longer than control waits for its data planes.
const PATIENCE: Duration = Duration::from_secs(120);
const BODY_BYTES_MAX: u64 = 512 * 1024 * 1024;
