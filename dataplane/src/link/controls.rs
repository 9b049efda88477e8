//! The controls that a node knows, in the order in which it prefers them, and the way to each.
//!
//! ```text
//! first that is not resting ──▶ attach ──▶ gone, or not reached ──▶ it rests briefly; the next is tried at once
//!                                 │    └─▶ reached and of no use ─▶ it rests for longer, where there are others
//!                                 └─ while a preferred one is not attached to, it is dialled now and then ─▶ back to it
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use penstock_link::CONTROL_HOST_NAME;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

use super::background::blocking;
use super::backoff::Backoff;
use super::identity::Identity;
use crate::config::{ControlAddress, Link};

/// Every control, and who this node is to them.
pub(super) struct Controls {
    link: Link,
    node: String,
    state_directory: PathBuf,
}

/// How long each control is left alone.
pub(super) struct Rests(Vec<Rest>);

struct Rest {
    until: Instant,
    backoff: Backoff,
    /// The log has been told of it.
    is_told: bool,
}

impl Controls {
    pub(super) fn new(link: Link, node: String, state_directory: PathBuf) -> Self {
        Self { link, node, state_directory }
    }

    pub(super) fn count(&self) -> usize {
        match &self.link {
            Link::Controls(controls) => controls.len(),
            Link::Socket(_) => 1,
        }
    }

    /// For the log.
    pub(super) fn label(&self, index: usize) -> String {
        match &self.link {
            Link::Controls(controls) => controls.get(index).map(ToString::to_string).unwrap_or_default(),
            Link::Socket(socket) => socket.display().to_string(),
        }
    }

    /// Where this node's certificate is; `None` where control is on this machine and asks for none.
    pub(super) fn identity_directory(&self) -> Option<&Path> {
        matches!(self.link, Link::Controls(_)).then_some(&self.state_directory)
    }

    /// Connects; the words say why not.
    pub(super) async fn dial(&self, index: usize) -> Result<Channel, String> {
        let controls = match &self.link {
            Link::Socket(socket) => return dial_socket(socket).await.map_err(|error| told(&error)),
            Link::Controls(controls) => controls,
        };
        let control = controls.get(index).ok_or("there is no such control")?;
        let directory = self.state_directory.clone();
        let identity = blocking(move || Identity::load(&directory)).await.ok_or("the node is ending")?;
        let identity = identity.map_err(|error| error.to_string())?;
        if identity.name != self.node {
            return Err(format!("the certificate is now that of {}: start this node again", identity.name));
        }
        let tls = identity.tls().map_err(|error| error.to_string())?;
        dial_network(control, Arc::new(tls)).await.map_err(|error| told(&error))
    }

    /// Completes when one that is preferred to `attached` has answered twice in a row; never while there is none.
    pub(super) async fn preferred_is_back(&self, attached: usize, rests: &Rests) {
        let mut answered = vec![0_u8; attached];
        loop {
            tokio::time::sleep(SCOUT_PERIOD).await;
            for (index, answered) in answered.iter_mut().enumerate() {
                let is_back = rests.is_over(index, Instant::now()) && self.dial(index).await.is_ok();
                *answered = if is_back { *answered + 1 } else { 0 };
                if *answered >= ANSWERS_WANTED {
                    return;
                }
            }
        }
    }
}

impl Rests {
    pub(super) fn new(count: usize) -> Self {
        let fresh = || Rest { until: Instant::now(), backoff: Backoff::new(), is_told: false };
        Self(std::iter::repeat_with(fresh).take(count).collect())
    }

    fn is_over(&self, index: usize, now: Instant) -> bool {
        self.0.get(index).is_some_and(|rest| rest.until <= now)
    }

    /// The most preferred that is not resting, once there is one.
    pub(super) async fn next(&self) -> usize {
        loop {
            match self.first(Instant::now()) {
                Ok(index) => return index,
                Err(until) => tokio::time::sleep_until(until).await,
            }
        }
    }

    /// The same, or when to look again.
    fn first(&self, now: Instant) -> Result<usize, Instant> {
        let first = (0..self.0.len()).find(|index| self.is_over(*index, now));
        first.ok_or_else(|| self.0.iter().map(|rest| rest.until).min().unwrap_or(now + UNFIT_REST))
    }

    /// It went away: it is tried again soon.
    pub(super) fn gone(&mut self, index: usize, now: Instant) {
        if let Some(rest) = self.0.get_mut(index) {
            rest.backoff.reset();
            rest.is_told = false;
            rest.until = now + rest.backoff.pause();
        }
    }

    /// It could not be reached; whether that is news.
    pub(super) fn unreachable(&mut self, index: usize, now: Instant) -> bool {
        let Some(rest) = self.0.get_mut(index) else { return false };
        rest.until = now + rest.backoff.pause();
        !std::mem::replace(&mut rest.is_told, true)
    }

    /// It answered and is of no use; whether that is news. Where there are others it is left alone for longer, so that the node
    /// stays with one of them.
    pub(super) fn unfit(&mut self, index: usize, now: Instant) -> bool {
        let is_news = self.unreachable(index, now);
        let is_only = self.0.len() == 1;
        if let Some(rest) = self.0.get_mut(index).filter(|_| !is_only) {
            rest.until = now + UNFIT_REST;
        }
        is_news
    }
}

/// Connects to control's socket. The name in the address is never looked up; gRPC wants one. A control that is stopped
/// or hangs shows by unanswered pings.
async fn dial_socket(socket: &Path) -> Result<Channel, Error> {
    let socket = socket.to_owned();
    let connect = service_fn(move |_address| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    endpoint(PING_PERIOD).connect_with_connector(connect).await
}

/// Connects to a control on another machine.
pub(super) async fn dial_network(control: &ControlAddress, tls: Arc<ClientConfig>) -> Result<Channel, Error> {
    let (control, connector) = (control.clone(), TlsConnector::from(tls));
    let connect = service_fn(move |_address| {
        let (control, connector) = (control.clone(), connector.clone());
        async move {
            let stream = TcpStream::connect((control.host.as_str(), control.port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(CONTROL_HOST_NAME).map_err(io::Error::other)?;
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    endpoint(NETWORK_PING_PERIOD).connect_with_connector(connect).await
}

fn endpoint(ping_period: Duration) -> Endpoint {
    Endpoint::from_static("http://control.invalid")
        .connect_timeout(CONNECT_DEADLINE)
        .http2_keep_alive_interval(ping_period)
        .keep_alive_timeout(ping_period)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
}

/// The innermost reason: what the operating system or control said, not which layers passed it on.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Between two pings, and for the answer to one.
const PING_PERIOD: Duration = Duration::from_secs(10);
/// The same across a network, where another control may be near.
const NETWORK_PING_PERIOD: Duration = Duration::from_secs(3);
/// Of the stream, so that a large policy does not wait for window updates.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Between two looks for a preferred control.
const SCOUT_PERIOD: Duration = Duration::from_secs(3);
/// Answers in a row before a node goes back to it.
const ANSWERS_WANTED: u8 = 2;
/// For a control that is behind or refuses this node.
const UNFIT_REST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_preferred_and_one_of_no_use_is_left_alone() {
        let mut rests = Rests::new(2);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        assert_eq!(rests.first(start), Ok(0));
        assert!(rests.unreachable(0, start) && !rests.unreachable(0, start), "told once");
        assert_eq!(rests.first(start), Ok(1), "at once");
        rests.gone(1, start);
        let soon = rests.first(start).unwrap_err();
        assert!(soon > start && soon < start + second, "neither is forgotten");
        let later = start + 6 * second;
        assert_eq!(rests.first(later), Ok(0));
        rests.unfit(0, later);
        assert_eq!(rests.first(later), Ok(1));
        assert_eq!(rests.first(later + UNFIT_REST - second), Ok(1));
        assert_eq!(rests.first(later + UNFIT_REST), Ok(0));
    }

    #[test]
    fn an_only_control_is_tried_again_soon_whatever_it_said() {
        let mut rests = Rests::new(1);
        let mut now = Instant::now();
        for _ in 0..20 {
            rests.unfit(0, now);
            let again = rests.first(now).unwrap_err();
            assert!(again < now + Duration::from_secs(6));
            now = again;
        }
    }
}
