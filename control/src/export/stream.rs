//! The way to a peer of an export.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::sink::SinkError;
use crate::config::{ClientTls, Peer};
use crate::peer::{self, Stream};

/// Dials within its time.
pub(super) async fn connect(peer: &Peer) -> Result<Box<dyn Stream>, SinkError> {
    let tls = peer.tls.clone().map(|ca_file| ClientTls { ca_file, identity: None });
    let dialled = timeout(PATIENCE, peer::dial(&peer.host, peer.port, tls.as_ref(), None)).await;
    let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    dialled.map_err(|source| SinkError::Stream { peer: peer.label(), source })
}

const PATIENCE: Duration = Duration::from_secs(10);
