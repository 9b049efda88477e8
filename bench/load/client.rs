//! One flow of the load: dial, CONNECT, then a handshake or a bare hello.
//!
//! Owns what goes over the wire before the first request; `exchange` goes on from there, `worker` decides when.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::hello::{self, HELLO_ANSWER, RECORD_ALERT, RECORD_HANDSHAKE};
use crate::profile::{Http, Life, Stream, Verdict, Work};
use crate::tally::{Failure, Open, Tally};

/// The way to the proxy, shared by all streams of a run.
#[derive(Debug)]
pub(crate) struct Route {
    /// One proxy, or several that are taken in turn.
    pub(crate) proxies: Vec<SocketAddr>,
    /// By CONNECT; otherwise the hello is sent at once and the proxy reads the name from it.
    pub(crate) connect: bool,
    /// The port in the CONNECT request.
    pub(crate) port: u16,
    /// Client addresses, 127.0.0.1 and up.
    pub(crate) sources: u8,
    pub(crate) turn: Cell<usize>,
}

/// Where a stream's flows go, with what.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) stream: Stream,
    route: Rc<Route>,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    /// Whole first flights, where the stream goes no further.
    hellos: Vec<Vec<u8>>,
    turn: Cell<usize>,
}

/// A flow with TLS inside.
pub(crate) struct Secured {
    pub(crate) tls: TlsStream<TcpStream>,
    pub(crate) open: Open,
}

impl Target {
    /// `roots` are those of the stream's verdict.
    pub(crate) fn new(stream: Stream, route: Rc<Route>, roots: Arc<RootCertStore>) -> anyhow::Result<Self> {
        let name = ServerName::try_from(stream.host.clone())?;
        let (http, resumes) = match &stream.work {
            Work::Request(requests) => (requests.http, requests.connection == Life::Resumed),
            _ => (Http::One, false),
        };
        let tls = hello::client_config(roots, http, resumes, stream.hybrid)?;
        let hellos = match stream.work {
            Work::Hello(kind) | Work::Idle(Some(kind)) | Work::SlowHello { kind, .. } => {
                hello::hellos(kind, &name, &tls)?
            }
            Work::Idle(None) | Work::Request(_) => Vec::new(),
        };
        Ok(Self { stream, route, name, tls, hellos, turn: Cell::new(0) })
    }

    /// Dials, asks the proxy, shakes hands.
    pub(crate) async fn open(&self, tally: &Tally) -> Result<Secured, Failure> {
        let (stream, open) = self.reach(tally).await?;
        let started = Instant::now();
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let tls = connector.connect(self.name.clone(), stream).await.map_err(broken(Failure::Handshake))?;
        let is_resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        tally.shook_hands(started.elapsed(), is_resumed);
        Ok(Secured { tls, open })
    }

    /// Dials, asks the proxy, sends a hello and reads the first answer. The flow is given back, to be held or closed.
    pub(crate) async fn greet(&self, tally: &Tally) -> Result<Option<(TcpStream, Open)>, Failure> {
        let (mut stream, open) = match self.reach(tally).await {
            Err(Failure::Status) if self.stream.verdict == Verdict::Deny => return Ok(None),
            reached => reached?,
        };
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let hello = self.hellos.get(turn % self.hellos.len().max(1)).ok_or(Failure::Exchange)?;
        let started = Instant::now();
        self.send_hello(&mut stream, hello).await?;
        let mut answer = [0; HELLO_ANSWER.len()];
        stream.read_exact(&mut answer).await.map_err(broken(Failure::Exchange))?;
        tally.first_byte(started.elapsed());
        let is_own = answer == HELLO_ANSWER;
        let is_right = match self.stream.verdict {
            Verdict::Deny => answer[0] == RECORD_ALERT && !is_own,
            Verdict::Inspect => answer[0] == RECORD_HANDSHAKE,
            Verdict::Pass => is_own,
        };
        if is_right { Ok(Some((stream, open))) } else { Err(Failure::Answer) }
    }

    /// The port where it must be said in a URL.
    pub(crate) fn port(&self) -> Option<u16> {
        // Squid dials what the request names, so a port that is not the scheme's own must be there.
        (self.route.port != 443).then_some(self.route.port)
    }

    async fn send_hello(&self, stream: &mut TcpStream, hello: &[u8]) -> Result<(), Failure> {
        let Work::SlowHello { interval, .. } = self.stream.work else {
            return stream.write_all(hello).await.map_err(broken(Failure::Exchange));
        };
        for byte in hello {
            stream.write_all(std::slice::from_ref(byte)).await.map_err(broken(Failure::Exchange))?;
            tokio::time::sleep(interval).await;
        }
        Ok(())
    }

    async fn reach(&self, tally: &Tally) -> Result<(TcpStream, Open), Failure> {
        let started = Instant::now();
        let mut stream = self.route.dial().await.map_err(broken(Failure::Dial))?;
        if self.route.connect {
            self.ask(&mut stream).await?;
        }
        Ok((stream, tally.connected(started.elapsed())))
    }

    async fn ask(&self, stream: &mut TcpStream) -> Result<(), Failure> {
        let (host, port) = (&self.stream.host, self.route.port);
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(broken(Failure::Connect))?;
        let mut answer = [0; 1_024];
        let mut filled = 0;
        // The origin's first byte comes only after our hello, so nothing behind the empty line can be lost.
        loop {
            let room = answer.get_mut(filled..).filter(|room| !room.is_empty()).ok_or(Failure::Connect)?;
            let count = stream.read(room).await.map_err(broken(Failure::Connect))?;
            if count == 0 {
                return Err(Failure::Connect);
            }
            filled += count;
            let received = answer.get(..filled).unwrap_or_default();
            if memchr::memmem::find(received, b"\r\n\r\n").is_some() {
                return match received.get(8..12) {
                    Some(b" 200") => Ok(()),
                    Some(b" 403") => Err(Failure::Status),
                    _ => Err(Failure::Connect),
                };
            }
        }
    }
}

impl Route {
    async fn dial(&self) -> io::Result<TcpStream> {
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let count = self.proxies.len().max(1);
        let proxy = *self.proxies.get(turn % count).ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = if proxy.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if self.sources > 1 {
            let source = u8::try_from(turn / count % usize::from(self.sources)).unwrap_or_default();
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1 + source)), 0))?;
        }
        socket.set_nodelay(true)?;
        socket.connect(proxy).await
    }
}

/// A reset is a reset wherever it comes; anything else is a failure of the step.
pub(crate) fn broken(step: Failure) -> impl Fn(io::Error) -> Failure {
    move |error| match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Reset,
        _ => step,
    }
}

/// Sends that there is no more, and waits, not for long, until the peer has closed. How the end comes is the proxy's
/// affair and no failure of the operation.
pub(crate) async fn farewell(mut stream: TcpStream) {
    let end = async {
        let _ = stream.shutdown().await;
        let mut rest = [0; 256];
        while let Ok(1..) = stream.read(&mut rest).await {}
    };
    let _ = tokio::time::timeout(FAREWELL_MAX, end).await;
}

pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(2);
