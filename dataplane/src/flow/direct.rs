//! Flows of clients that take the appliance for the origin: the name in the ClientHello is all that says where they want
//! to go, so it is read before anything is dialled.

use std::net::SocketAddr;
use std::rc::Rc;

use penstock_core::flow::{Fault, FaultKind, Phase};
use penstock_core::policy::{Reason, Verdict};
use penstock_core::proxy::{Authority, Host};
use penstock_core::sni::Sni;
use penstock_core::tls::alert::{self, Alert};

use super::close::Closed;
use super::record::Flow;
use super::serve::{self, Decided};
use super::sniff::{self, Sniffed};
use super::{deny, dial};
use crate::ring::Socket;

/// Opens a flow that came to the listener at `listens_on`: dials the host that the ClientHello names, at `port`, and judges
/// it.
pub(super) async fn open(
    flow: &Flow,
    listens_on: SocketAddr,
    port: u16,
    received: &mut Vec<u8>,
) -> Result<(Rc<Socket>, Decided), Closed> {
    let sniffed = sniff::sniff(flow, None, received).await.map_err(Closed::fault)?;
    if let Some(name) = name(&sniffed) {
        let host = Host::Name(name.clone());
        flow.learned.borrow_mut().authority = Some(Authority { host, port });
    }
    let decided = serve::decide(flow, &sniffed);
    if decided.decision.verdict == Verdict::Deny && decided.decision.reason != Reason::EchRejected {
        return Err(refuse(flow, decided, received).await);
    }
    let Some(authority) = flow.learned.borrow().authority.clone() else {
        if !matches!(sniffed, Sniffed::NotTls) {
            deny::say(flow, &alert::record(Alert::UnrecognizedName)).await;
        }
        return Err(Closed::fault(Fault::downstream(Phase::Sniff, FaultKind::NameMissing)));
    };
    match dial(flow, &authority, listens_on).await {
        // What was dialled may change the verdict.
        Ok(upstream) => Ok((upstream, serve::decide(flow, &sniffed))),
        Err(fault) => {
            flow.control.downstream.reset_on_close();
            Err(Closed::fault(fault))
        }
    }
}

fn name(sniffed: &Sniffed) -> Option<&Sni> {
    match sniffed {
        Sniffed::Hello(hello) => hello.sni.as_ref(),
        Sniffed::HelloBehindServer(_) | Sniffed::NotTls | Sniffed::Rejected(_) => None,
    }
}

async fn refuse(flow: &Flow, decided: Decided, received: &[u8]) -> Closed {
    let decision = serve::learn(flow, decided.decision, received);
    deny::alert(flow, decision.reason, decided.alert).await
}

/// Where DNS leads clients to the appliance it may lead the appliance to itself.
async fn dial(flow: &Flow, authority: &Authority, listens_on: SocketAddr) -> Result<Rc<Socket>, Fault> {
    let upstream = dial::dial(flow, authority).await?;
    let peer = flow.learned.borrow().destination.as_ref().map(|destination| destination.address);
    let own = upstream.local_address().ok().map(|own| own.ip().to_canonical());
    if authority.port == listens_on.port() && own == peer && own.is_some() {
        return Err(Fault::upstream(Phase::Dial, FaultKind::Loop));
    }
    Ok(upstream)
}
