//! When the appliance serves: control says so on `/readyz`, once a data plane has the policy in force.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use ureq::Agent;
use ureq::tls::TlsConfig;

/// Waits until `/readyz` answers 200. Nothing is told there and nothing believed but that, so the certificate, which is
/// for other names than this address, is not looked at.
pub(super) async fn wait(admin: String) -> anyhow::Result<()> {
    let tls = TlsConfig::builder().disable_verification(true);
    let tls = tls.unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider())).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(ASK_PATIENCE));
    let agent: Agent = config.build().into();
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let (asking, admin) = (agent.clone(), admin.clone());
        let answer = tokio::task::spawn_blocking(move || ask(&asking, &admin)).await?;
        match answer {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() > deadline => bail!("not ready after {READY_PATIENCE:?}: {reason}"),
            Err(_) => sleep(ASK_PAUSE).await,
        }
    }
}

fn ask(agent: &Agent, admin: &str) -> anyhow::Result<()> {
    let mut response = agent.get(format!("{admin}/readyz")).call()?;
    if response.status().as_u16() == 200 {
        return Ok(());
    }
    let problem: Value = response.body_mut().read_json()?;
    Err(anyhow!("{}", problem.get("detail").and_then(Value::as_str).unwrap_or("control does not say why")))
}

const READY_PATIENCE: Duration = Duration::from_secs(30);
const ASK_PATIENCE: Duration = Duration::from_secs(5);
const ASK_PAUSE: Duration = Duration::from_millis(50);
