//! An origin in the clear: keeps every byte and answers each request as the test tells it.

use std::io::{Read as _, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::http::{self, Progress, Request};
use crate::upstream::{self, Then};
use crate::wait;

/// One connection, as it was seen.
#[derive(Clone, Debug, Default)]
pub struct PlainSeen {
    /// Every byte that came.
    pub bytes: Vec<u8>,
    /// The requests among them.
    pub requests: Vec<Request>,
    /// Why the bytes were no sequence of requests.
    pub violation: Option<String>,
}

/// A running origin.
pub struct PlainOrigin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<PlainSeen>>>,
}

impl PlainOrigin {
    /// Answers 200 with the target and the host that it was asked for.
    pub fn start() -> Self {
        Self::answering(|request, out| {
            let host = request.values("host").collect::<Vec<_>>().join("|");
            let body = format!("{} at {host}", request.target());
            let sent = write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            sent.map_or(Then::Reset, |()| Then::Keep)
        })
    }

    /// Answers as `answering` does; [`Then::Echo`] ends the connection like [`Then::Close`].
    pub fn answering(answering: impl Fn(&Request, &mut dyn Write) -> Then + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::<PlainSeen>::new()));
        let record = Arc::clone(&seen);
        let address = upstream::listen(move |mut stream| {
            stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
            let (mut pending, mut buffer, mut index) = (Vec::new(), [0; 16 * 1024], None);
            loop {
                let Ok(count @ 1..) = stream.read(&mut buffer) else { return };
                let index = *index.get_or_insert_with(|| {
                    let mut all = record.lock().unwrap();
                    all.push(PlainSeen::default());
                    all.len() - 1
                });
                record.lock().unwrap()[index].bytes.extend_from_slice(&buffer[..count]);
                pending.extend_from_slice(&buffer[..count]);
                loop {
                    let (request, consumed) = match http::request(&pending) {
                        Ok(Progress::Whole(request, consumed)) => (request, consumed),
                        Ok(Progress::More) => break,
                        Err(violation) => {
                            record.lock().unwrap()[index].violation = Some(violation);
                            return;
                        }
                    };
                    pending.drain(..consumed);
                    record.lock().unwrap()[index].requests.push(request.clone());
                    if answering(&request, &mut stream) != Then::Keep {
                        return;
                    }
                }
            }
        });
        Self { address, seen }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections so far.
    pub fn seen(&self) -> Vec<PlainSeen> {
        self.seen.lock().unwrap().clone()
    }

    /// Every request so far; panics when something came that was none.
    pub fn requests(&self) -> Vec<Request> {
        let seen = self.seen();
        for connection in &seen {
            assert_eq!(connection.violation, None, "{}", String::from_utf8_lossy(&connection.bytes));
        }
        seen.into_iter().flat_map(|seen| seen.requests).collect()
    }

    /// All bytes of all connections, in lower case.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.seen().into_iter().flat_map(|seen| seen.bytes).collect();
        String::from_utf8_lossy(&bytes).to_lowercase()
    }
}
