//! Pass: what was read is replayed, then the kernel joins the two sockets.

use std::future::Future;
use std::rc::Rc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Reason, Verdict};
use penstock_core::tls::alert::Alert;

use super::close::Closed;
use super::deny;
use super::record::{Active, Flow};
use crate::relay::splice::{self, Opening};
use crate::ring::Socket;

/// Forwards what the flow opened with and relays until both directions have ended.
#[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice, in each idle flow")]
pub(crate) fn pass(
    flow: &Flow,
    reason: Reason,
    upstream: Rc<Socket>,
    opening: Box<Opening>,
) -> impl Future<Output = Closed> {
    async move {
        let _active = Active::enter(flow, Verdict::Pass);
        let closed = Closed::of(Verdict::Pass, reason);
        match splice::relay(flow, &upstream, opening).await {
            Ok(()) => closed,
            Err((_, FaultKind::NameChanged)) => {
                Box::pin(deny::alert(flow, reason, Some(Alert::IllegalParameter))).await;
                Closed::of(Verdict::Deny, Reason::NameChanged)
            }
            Err((leg, kind)) => closed.with_fault(Fault { leg, phase: Phase::Relay, kind }),
        }
    }
}
