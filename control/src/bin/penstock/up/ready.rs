//! When the appliance serves: control says so on `/readyz`, once a data plane has the policy in force.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use ureq::Agent;

/// Waits until `/readyz` answers 200.
pub(super) async fn wait(admin: SocketAddr) -> anyhow::Result<()> {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(ASK_PATIENCE));
    let agent: Agent = config.build().into();
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let asking = agent.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&asking, admin)).await?;
        match answer {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() > deadline => bail!("not ready after {READY_PATIENCE:?}: {reason}"),
            Err(_) => sleep(ASK_PAUSE).await,
        }
    }
}

fn ask(agent: &Agent, admin: SocketAddr) -> anyhow::Result<()> {
    let mut response = agent.get(format!("http://{admin}/readyz")).call()?;
    if response.status().as_u16() == 200 {
        return Ok(());
    }
    let problem: Value = response.body_mut().read_json()?;
    Err(anyhow!("{}", problem.get("detail").and_then(Value::as_str).unwrap_or("control does not say why")))
}

const READY_PATIENCE: Duration = Duration::from_secs(30);
const ASK_PATIENCE: Duration = Duration::from_secs(5);
const ASK_PAUSE: Duration = Duration::from_millis(50);
