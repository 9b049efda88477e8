//! Flows of every kind, each kind from a thread of its own, until they are told to stop.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use penstock_tests::appliance::Appliance;
use penstock_tests::client::{self, Client};
use penstock_tests::http2::{Ask, Http2Client};
use penstock_tests::tunnel::{self, STAFF};
use rustls::ClientConfig;
use socket2::SockRef;

pub(crate) const ENTRA: &str = "login.microsoftonline.com";
pub(crate) const PASSED: &str = "www.example.org";
pub(crate) const DENIED: &str = "onedrive.live.com";
/// Bytes of a passed flow, each way.
const BYTES: usize = 64 * 1024;
/// Between two flows of a thread.
const PAUSE: Duration = Duration::from_millis(20);

/// See the module.
pub(crate) struct Load {
    proxy: SocketAddr,
    root: PathBuf,
    config: Arc<ClientConfig>,
    hello: Vec<u8>,
    stop: AtomicBool,
    /// So that each request has a path of its own.
    next: AtomicUsize,
    passed: AtomicUsize,
    /// Requests that were answered.
    answered: AtomicUsize,
    /// Connections that ended between two requests, as a drain may end them.
    ended: AtomicUsize,
    pub(crate) denied: AtomicUsize,
    aborted: AtomicUsize,
    held: AtomicUsize,
}

/// Ends the load when the test fails too.
pub(crate) struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load {
    pub(crate) fn of(appliance: &Appliance) -> Self {
        let config = client::config(&[&appliance.root()]);
        Self {
            proxy: appliance.proxy(),
            root: appliance.root(),
            hello: client::first_flight(PASSED, Arc::clone(&config)).1,
            config,
            stop: AtomicBool::new(false),
            next: AtomicUsize::new(0),
            passed: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            denied: AtomicUsize::new(0),
            aborted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        }
    }

    pub(crate) fn stops_when_dropped(&self) -> Stops<'_> {
        Stops(&self.stop)
    }

    pub(crate) fn start<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let kinds: [fn(&Self); 7] =
            [Self::pass, Self::inspect, Self::inspect_http2, Self::deny, Self::hold, Self::abort, Self::reset];
        for kind in kinds {
            scope.spawn(move || {
                while !self.stop.load(Ordering::Relaxed) {
                    kind(self);
                    thread::sleep(PAUSE);
                }
            });
        }
    }

    pub(crate) fn told(&self) -> String {
        let [passed, answered, ended, denied, aborted, held] =
            [&self.passed, &self.answered, &self.ended, &self.denied, &self.aborted, &self.held]
                .map(|count| count.load(Ordering::Relaxed));
        format!(
            "{passed} flows passed, {answered} requests answered ({ended} connections ended between two), {denied} denied, \
             {held} held, {aborted} aborted"
        )
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }

    fn path(&self) -> String {
        format!("/contoso.com/soak-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn tunnel(&self, name: &str) -> TcpStream {
        tunnel::open(STAFF, self.proxy, &format!("{name}:443"))
    }

    fn client(&self) -> Client {
        Client::connect(self.tunnel(ENTRA), ENTRA, Arc::clone(&self.config)).unwrap()
    }

    /// The same bytes come back, whatever is upgraded meanwhile.
    fn pass(&self) {
        let mut stream = self.tunnel(PASSED);
        let bytes: Vec<u8> = (0..BYTES).map(|place| (place.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
        let sent = [&self.hello, bytes.as_slice()].concat();
        let (mut writing, copy) = (stream.try_clone().unwrap(), sent.clone());
        let writer = thread::spawn(move || writing.write_all(&copy).unwrap());
        let mut heard = vec![0; sent.len()];
        stream.read_exact(&mut heard).unwrap();
        writer.join().unwrap();
        assert!(heard == sent, "other bytes than were sent");
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    /// A kept connection may be ended between two answers, never within one and never before the first.
    fn inspect(&self) {
        let mut client = self.client();
        for index in 0..5 {
            if !self.ask(&mut client) {
                assert!(index > 0, "a new connection was not served");
                self.ended.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Whether an answer came.
    fn ask(&self, client: &mut Client) -> bool {
        let asked = client.try_send(format!("GET {} HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n", self.path()));
        let Some(answer) = asked.ok().and_then(|()| client.next_answer(false)) else { return false };
        assert_eq!((answer.status, answer.text().as_str()), (200, "fine"));
        self.answered.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Streams that a drain does not take are told so, and may be asked again.
    fn inspect_http2(&self) {
        let config = client::config_mut(&[&self.root], rustls::ALL_VERSIONS);
        let client = Http2Client::connect(self.tunnel(ENTRA), ENTRA, config).unwrap();
        let asks = (0..8).map(|_| Ask::get(ENTRA, &self.path())).collect();
        for answer in client.ask_all(asks) {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer.status, 200);
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    let is_refused = error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
                    assert!(is_refused, "{error}");
                    self.ended.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn deny(&self) {
        let mut stream = tunnel::dial(STAFF, self.proxy);
        let head = format!("CONNECT {DENIED}:443 HTTP/1.1\r\nHost: {DENIED}:443\r\n\r\n");
        assert_eq!(tunnel::ask(&mut stream, head.as_bytes()).status, 403);
        self.denied.fetch_add(1, Ordering::Relaxed);
    }

    /// Flows that say nothing for seconds, and are there then.
    fn hold(&self) {
        let mut passed: Vec<TcpStream> = (0..10).map(|_| self.tunnel(PASSED)).collect();
        for stream in &mut passed {
            stream.write_all(&self.hello).unwrap();
            stream.read_exact(&mut vec![0; self.hello.len()]).unwrap();
        }
        let mut inspected: Vec<Client> = (0..5).map(|_| self.client()).collect();
        assert!(inspected.iter_mut().all(|client| self.ask(client)));
        for _ in 0..30 {
            if !self.stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
            }
        }
        assert!(passed.iter_mut().all(tunnel::echoes), "an idle flow was cut");
        self.held.fetch_add(passed.len() + inspected.len(), Ordering::Relaxed);
    }

    /// Clients that leave in the midst of what they say, by RST.
    fn abort(&self) {
        let leave = |stream: &TcpStream| {
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
            self.aborted.fetch_add(1, Ordering::Relaxed);
        };
        let mut stream = tunnel::dial(STAFF, self.proxy);
        stream.write_all(b"CONNECT www.exam").unwrap();
        leave(&stream);
        for name in [PASSED, ENTRA] {
            let mut stream = self.tunnel(name);
            stream.write_all(&self.hello[..40]).unwrap();
            leave(&stream);
        }
        let mut stream = self.tunnel(PASSED);
        stream.write_all(&self.hello).unwrap();
        stream.write_all(&[7; BYTES]).unwrap();
        leave(&stream);
        let mut client = self.client();
        client.send(format!("POST {} HTTP/1.1\r\nHost: {ENTRA}\r\nContent-Length: 1000\r\n\r\nhalf", self.path()));
        leave(client.socket());
    }

    /// Origins that reset what they were asked.
    fn reset(&self) {
        let mut client = self.client();
        client.send(format!("GET {}/reset HTTP/1.1\r\nHost: {ENTRA}\r\n\r\n", self.path()));
        let answer = client.next_answer(false);
        assert!(answer.is_none_or(|answer| answer.status == 502));
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}
