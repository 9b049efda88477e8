//! A TLS upstream that keeps every byte, checks the header invariant on every request to an inspected host, and answers
//! as the test tells it, also with bytes that are no HTTP. It speaks HTTP/2 with those that offer it.

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;
use tempfile::TempDir;

use crate::certificate::{Shown, TestAuthority};
use crate::http::{self, Progress, Request};
use crate::network::{Network, Place};
use crate::streams;
use crate::tripwire::{self, Expected};
use crate::wait;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// close_notify and FIN.
    Close,
    /// The next request is awaited.
    Keep,
    /// Whatever comes is sent back as it is.
    Echo,
    /// RST.
    Reset,
}

/// Writes the answer to a request.
pub type Answering = dyn Fn(&Request, &mut dyn Write) -> Then + Send + Sync;
/// Headers that must stand on each request to a host; `None` where nothing is checked.
pub type Expecting = fn(&str) -> Option<&'static [Expected]>;

/// One connection, as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Server name of the ClientHello.
    pub sni: Option<String>,
    /// The protocol that was agreed.
    pub alpn: Option<String>,
    /// Every plaintext byte that came.
    pub bytes: Vec<u8>,
    /// The requests among them.
    pub requests: Vec<Request>,
    /// Why the connection was no sequence of requests, or broke the invariant.
    pub violation: Option<String>,
    /// The client's side has ended.
    pub ended: bool,
}

/// Speaks on a connection whose handshake is done.
pub type Speaking = dyn Fn(&mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> + Send + Sync;

/// How an upstream behaves; see the methods.
pub struct Plan {
    shown: Shown,
    pub(crate) expecting: Expecting,
    pub(crate) answering: Arc<Answering>,
    pub(crate) at_head: bool,
    pub(crate) dawdling: Duration,
    holding: Box<Holding>,
    speaking_raw: Option<Box<Speaking>>,
    protocols: Vec<&'static str>,
    asks_client_certificate: bool,
    tls12_only: bool,
}

/// Called before the first byte of a connection is answered, with its number, from 0; returns when the handshake may go on.
pub type Holding = dyn Fn(usize) + Send + Sync;

/// A running upstream.
pub struct Upstream {
    address: SocketAddr,
    directory: TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    authority: Arc<TestAuthority>,
    /// In force for connections that begin from now on.
    behaviour: Arc<Mutex<Behaviour>>,
}

/// What may change while an upstream runs.
#[derive(Clone)]
struct Behaviour {
    plan: Arc<Plan>,
    config: Arc<ServerConfig>,
}

impl Upstream {
    /// Answers 200 with the body `fine` to every request, and checks what the example policy sets.
    pub fn plan() -> Plan {
        Plan {
            shown: Shown::Good,
            expecting: example_expectations,
            answering: Arc::new(|_, out| {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine").map_or(Then::Reset, |()| Then::Keep)
            }),
            at_head: false,
            dawdling: Duration::ZERO,
            holding: Box::new(|_| {}),
            speaking_raw: None,
            protocols: vec!["h2", "http/1.1"],
            asks_client_certificate: false,
            tls12_only: false,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its authority's root, in PEM.
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join("upstream-ca.pem")
    }

    /// Behaves as `plan` says from the next connection on, with the same authority and what was seen before.
    pub fn change(&self, plan: Plan) {
        let config = Arc::new(plan.config(Arc::clone(&self.authority)));
        *self.behaviour.lock().unwrap() = Behaviour { plan: Arc::new(plan), config };
    }

    /// The connections so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Every request so far, over all connections.
    pub fn requests(&self) -> Vec<Request> {
        self.seen().into_iter().flat_map(|seen| seen.requests).collect()
    }

    /// Waits until so many requests came.
    pub fn await_requests(&self, count: usize) -> Vec<Request> {
        wait::until("the requests to arrive upstream", || {
            let requests = self.requests();
            (requests.len() >= count).then_some(requests)
        })
    }

    /// Panics when the header invariant was broken or a request was ambiguous.
    pub fn verify(&self) {
        for seen in self.seen() {
            if let Some(violation) = seen.violation {
                panic!("tripwire ({:?}): {violation}\n{}", seen.sni, String::from_utf8_lossy(&seen.bytes));
            }
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.verify();
        }
    }
}

impl Plan {
    /// Shows another certificate.
    pub fn showing(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// Answers with these bytes, then does `then`.
    pub fn bytes(self, bytes: &[u8], then: Then) -> Self {
        let bytes = bytes.to_vec();
        self.answering(move |_, out| out.write_all(&bytes).map_or(Then::Reset, |()| then))
    }

    /// Answers as `answering` does.
    pub fn answering(mut self, answering: impl Fn(&Request, &mut dyn Write) -> Then + Send + Sync + 'static) -> Self {
        self.answering = Arc::new(answering);
        self
    }

    /// Begins each handshake only when `holding` returns.
    pub fn holding(mut self, holding: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.holding = Box::new(holding);
        self
    }

    /// Answers as soon as the head has come, and reads the body afterwards.
    pub fn at_head(mut self) -> Self {
        self.at_head = true;
        self
    }

    /// Reads nothing for so long behind the first bytes of a connection, or behind each head of a stream.
    pub fn dawdling(mut self, span: Duration) -> Self {
        self.dawdling = span;
        self
    }

    /// Checks other headers than the example policy's.
    pub fn expecting(mut self, expecting: Expecting) -> Self {
        self.expecting = expecting;
        self
    }

    /// Speaks these, the first that the client offers too.
    pub fn speaking(mut self, protocols: &[&'static str]) -> Self {
        self.protocols = protocols.to_vec();
        self
    }

    /// Asks for a client certificate, and cannot do without.
    pub fn asking_client_certificate(mut self) -> Self {
        self.asks_client_certificate = true;
        self
    }

    /// Leaves every byte of a connection to `speak`; nothing of it is kept.
    pub fn by_hand(
        mut self,
        speak: impl Fn(&mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.speaking_raw = Some(Box::new(speak));
        self
    }

    /// Speaks TLS 1.2 and nothing else.
    pub fn tls12(mut self) -> Self {
        self.tls12_only = true;
        self
    }

    /// Starts it on a free port.
    pub fn start(self) -> Upstream {
        self.start_on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Starts it on port 443 of every outside address.
    pub fn start_outside(self, network: &Network) -> Upstream {
        // The threads that serve are of the place that the listener's is.
        network.enter(Place::Outside, || self.start_on(TcpListener::bind("[::]:443").unwrap()))
    }

    fn start_on(self, listener: TcpListener) -> Upstream {
        let authority = Arc::new(TestAuthority::new("Penstock tests' upstream"));
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("upstream-ca.pem"), authority.root_pem()).unwrap();
        let config = Arc::new(self.config(Arc::clone(&authority)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let behaviour = Arc::new(Mutex::new(Behaviour { plan: Arc::new(self), config }));
        let (in_force, record) = (Arc::clone(&behaviour), Arc::clone(&seen));
        let address = listen_on(listener, move |stream| {
            // A connection that never says a word is no visit: the appliance dials before it has read the ClientHello.
            if !matches!(stream.peek(&mut [0]), Ok(1..)) {
                return;
            }
            let Behaviour { plan, config } = in_force.lock().unwrap().clone();
            let noted = Noted::begin(&record);
            (plan.holding)(noted.index);
            let _ = if let Some(speak) = &plan.speaking_raw {
                by_hand(stream, &config, speak)
            } else if plan.protocols.contains(&"h2") && streams::is_offered(&stream) {
                streams::serve(stream, config, &plan, &noted)
            } else {
                serve(stream, &config, &plan, &noted)
            };
            noted.change(|seen| seen.ended = true);
        });
        Upstream { address, directory, seen, authority, behaviour }
    }

    fn config(&self, authority: Arc<TestAuthority>) -> ServerConfig {
        let versions: &[_] = if self.tls12_only { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
        let builder = if self.asks_client_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(authority.root_der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            )
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName { authority, shown: self.shown }));
        config.alpn_protocols = self.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// What the example policy sets on a host that it inspects.
pub fn example_expectations(host: &str) -> Option<&'static [Expected]> {
    let within = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'));
    match host {
        "login.microsoftonline.com" | "login.microsoft.com" | "login.windows.net" => Some(tripwire::ENTRA),
        "login.live.com" => Some(tripwire::CONSUMER),
        "claude.ai" | "api.anthropic.com" => Some(tripwire::CLAUDE),
        "chatgpt.com" => Some(tripwire::CHATGPT),
        _ if within("google.com") => Some(tripwire::GOOGLE),
        _ => None,
    }
}

/// Checks nothing: for report-only and for passed hosts.
pub fn no_expectations(_host: &str) -> Option<&'static [Expected]> {
    None
}

/// Accepts connections on a free loopback port and serves each on a thread of its own.
pub fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    listen_on(TcpListener::bind("127.0.0.1:0").unwrap(), serve)
}

fn listen_on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::Builder::new().stack_size(1024 * 1024).spawn(move || serve(stream)).unwrap();
        }
    });
    address
}

/// A service that sends back what it gets.
pub fn echo() -> SocketAddr {
    listen(|mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

/// What is known of one connection.
#[derive(Clone)]
pub(crate) struct Noted {
    all: Arc<Mutex<Vec<Seen>>>,
    index: usize,
}

impl Noted {
    fn begin(all: &Arc<Mutex<Vec<Seen>>>) -> Self {
        let mut seen = all.lock().unwrap();
        seen.push(Seen::default());
        Self { all: Arc::clone(all), index: seen.len() - 1 }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Seen)) {
        // A test may have emptied the list.
        if let Some(seen) = self.all.lock().unwrap().get_mut(self.index) {
            change(seen);
        }
    }
}

/// A connection whose handshake is done with its first byte.
fn secure(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    stream.set_read_timeout(Some(wait::LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(StreamOwned::new(ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?, stream))
}

fn by_hand(stream: TcpStream, config: &Arc<ServerConfig>, speak: &Speaking) -> io::Result<()> {
    let mut tls = secure(stream, config)?;
    tls.conn.complete_io(&mut tls.sock)?;
    speak(&mut tls)
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, plan: &Plan, noted: &Noted) -> io::Result<()> {
    let mut tls = secure(stream, config)?;
    let mut pending = Vec::new();
    // The head's request has been answered already; its body is still to come.
    let (mut answered, mut dawdled) = (false, false);
    loop {
        let mut buffer = [0; 16 * 1024];
        let count = tls.read(&mut buffer)?;
        let sni = tls.conn.server_name().map(str::to_owned);
        let alpn = tls.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        noted.change(|seen| {
            seen.sni.clone_from(&sni);
            seen.alpn = alpn;
            seen.bytes.extend_from_slice(&buffer[..count]);
        });
        if count == 0 {
            return Ok(());
        }
        if !std::mem::replace(&mut dawdled, true) {
            thread::sleep(plan.dawdling);
        }
        pending.extend_from_slice(&buffer[..count]);
        let checked = (plan.expecting)(sni.as_deref().unwrap_or(""));
        while !pending.is_empty() {
            if plan.at_head && !answered {
                let Some((request, _)) = read(http::request_head(&pending), None, noted)? else { break };
                answered = true;
                if !follow((plan.answering)(&request, &mut tls), &mut tls)? {
                    return Ok(());
                }
            }
            let Some((request, consumed)) = read(http::request(&pending), checked, noted)? else { break };
            pending.drain(..consumed);
            noted.change(|seen| seen.requests.push(request.clone()));
            if !plan.at_head && !follow((plan.answering)(&request, &mut tls), &mut tls)? {
                return Ok(());
            }
            answered = false;
        }
    }
}

/// Takes a whole message, and notes what is wrong with it; the connection ends there.
fn read(
    outcome: Result<Progress<Request>, String>,
    checked: Option<&'static [Expected]>,
    noted: &Noted,
) -> io::Result<Option<(Request, usize)>> {
    let violation = match outcome {
        Ok(Progress::More) => return Ok(None),
        Ok(Progress::Whole(request, consumed)) => {
            match checked.map_or(Ok(()), |expected| tripwire::check(&request, expected)) {
                Ok(()) => return Ok(Some((request, consumed))),
                Err(violation) => violation,
            }
        }
        Err(violation) => violation,
    };
    noted.change(|seen| {
        seen.violation.get_or_insert(violation);
    });
    Err(io::Error::other("the tripwire"))
}

/// Does what an answer asks for afterwards; false when the connection is over.
fn follow(then: Then, tls: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<bool> {
    match then {
        Then::Keep => {
            tls.flush()?;
            Ok(true)
        }
        Then::Close => {
            tls.conn.send_close_notify();
            tls.flush()?;
            tls.sock.shutdown(std::net::Shutdown::Write)?;
            // Until the other side has taken everything; a close before would be a RST.
            let _ = io::copy(&mut tls.sock, &mut io::sink());
            Ok(false)
        }
        Then::Reset => {
            let _ = tls.flush();
            SockRef::from(&tls.sock).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Then::Echo => {
            tls.flush()?;
            let mut buffer = [0; 16 * 1024];
            loop {
                let count = tls.read(&mut buffer)?;
                if count == 0 {
                    return Ok(false);
                }
                tls.write_all(&buffer[..count])?;
                tls.flush()?;
            }
        }
    }
}

#[derive(Debug)]
struct ByName {
    authority: Arc<TestAuthority>,
    shown: Shown,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.authority.certify(hello.server_name()?, self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, Client};
    use crate::http2::{Ask, Http2Client};

    /// What the tripwire says of a request that reaches it without an appliance before it.
    fn violation(request: &str) -> Option<String> {
        let upstream = Upstream::plan().start();
        let stream = TcpStream::connect(upstream.address()).unwrap();
        let mut client = Client::connect(stream, "login.live.com", client::config(&[&upstream.ca()])).unwrap();
        client.send(request);
        let answered = wait::until("an answer or a violation", || {
            let seen = upstream.seen().into_iter().next()?;
            (seen.violation.is_some() || !seen.requests.is_empty()).then_some(seen)
        });
        drop(client);
        wait::until("the connection to end", || upstream.seen()[0].ended.then_some(()));
        upstream.seen.lock().unwrap().clear();
        answered.violation
    }

    /// The same of a request over HTTP/2.
    fn violation_of_stream(ask: Ask) -> Option<String> {
        let upstream = Upstream::plan().start();
        let stream = TcpStream::connect(upstream.address()).unwrap();
        let config = client::config_mut(&[&upstream.ca()], rustls::ALL_VERSIONS);
        let client = Http2Client::connect(stream, "login.live.com", config).unwrap();
        let _ = client.ask(ask);
        let seen = upstream.seen();
        assert_eq!(seen[0].alpn.as_deref(), Some("h2"));
        upstream.seen.lock().unwrap().clear();
        seen[0].violation.clone()
    }

    #[test]
    fn the_tripwire_wakes_on_streams_too() {
        let ask = || Ask::post("login.live.com", "/", "a body");
        let good = |ask: Ask| ask.field("sec-restrict-tenant-access-policy", "restrict-msa");
        assert_eq!(violation_of_stream(good(ask())), None);
        assert!(violation_of_stream(ask()).is_some());
        assert!(violation_of_stream(good(good(ask()))).is_some());
        assert!(violation_of_stream(good(ask()).field("restrict-access-to-tenants", "x")).is_some());
        assert!(violation_of_stream(good(ask()).trailer("x", "y")).is_some());
        assert!(violation_of_stream(good(Ask::get("login.microsoftonline.com", "/"))).is_some());
    }

    #[test]
    fn an_answer_of_http_1_1_goes_out_over_http_2() {
        let plan = Upstream::plan().expecting(no_expectations).answering(|_, out| {
            out.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").unwrap();
            out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n2\r\n").unwrap();
            out.write_all(b"ab\r\n1\r\nc\r\n0\r\ngrpc-status: 0\r\n\r\n").map_or(Then::Reset, |()| Then::Close)
        });
        let upstream = plan.start();
        let stream = TcpStream::connect(upstream.address()).unwrap();
        let config = client::config_mut(&[&upstream.ca()], rustls::ALL_VERSIONS);
        let mut client = Http2Client::connect(stream, "login.live.com", config).unwrap();
        let answer = client.ask(Ask::get("login.live.com", "/")).unwrap();
        assert_eq!((answer.status, answer.text().as_str(), answer.header("a")), (200, "abc", Some("b")));
        assert_eq!(answer.trailers, [("grpc-status".to_owned(), "0".to_owned())]);
        assert_eq!(client.ended(), None);
    }

    #[test]
    fn the_tripwire_wakes_when_the_header_is_missing_doubled_or_twinned() {
        let start = "GET / HTTP/1.1\r\nHost: login.live.com\r\n";
        let good = "sec-Restrict-Tenant-Access-Policy: restrict-msa\r\n";
        assert_eq!(violation(&format!("{start}{good}\r\n")), None);
        assert!(violation(&format!("{start}\r\n")).is_some());
        assert!(violation(&format!("{start}{good}{good}\r\n")).is_some());
        assert!(violation(&format!("{start}{good}sec_restrict_tenant_access_policy: x\r\n\r\n")).is_some());
        assert!(violation(&format!("{start}{good}X: a\n\r\n\r\n")).is_some());
    }
}
