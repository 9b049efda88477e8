//! Requests to the proxy's listener itself: `GET /proxy.pac`, which browsers fetch before they know of any proxy, so without
//! credentials.

use penstock_core::flow::FaultKind;
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy::{self, OwnHead};

use super::close::Closed;
use super::deny::{self, Refusal};
use super::record::Flow;
use crate::ingress::explicit;

/// Answers the request, which ends the connection.
pub(super) async fn serve(flow: &Flow, request: &OwnHead) -> Closed {
    if request.path.split('?').next() != Some(SCRIPT_PATH) {
        return deny::answer(flow, Refusal::request(404, "no_such_path", FaultKind::Malformed)).await;
    }
    // The script sends browsers to the proxy by the name under which they reached it.
    let Some(host) = &request.host else {
        return deny::answer(flow, Refusal::request(400, "host_malformed", FaultKind::Malformed)).await;
    };
    let script = flow.installed.snapshot.pac(flow.source(), host);
    if let Err(fault) = explicit::send(flow, &proxy::script(&script, request.is_head)).await {
        return Closed::fault(fault);
    }
    flow.control.downstream.shutdown_write();
    deny::linger(flow).await;
    Closed::of(Verdict::Pass, Reason::Listener)
}

const SCRIPT_PATH: &str = "/proxy.pac";
