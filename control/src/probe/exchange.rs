//! One request on a TLS connection of its own, whose server name and `Host` need not be the same.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName};

/// What an origin answers `GET /` with, as far as it tells origins apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Values of [`TELLING`], in its order.
    fields: [Option<Vec<u8>>; TELLING.len()],
}

/// The answer, and the certificate that it came under.
pub(super) struct Exchange {
    pub(super) answer: Answer,
    pub(super) leaf: CertificateDer<'static>,
}

/// Asks the origin at `address` for `host` on a connection made and verified for `server_name`.
pub(super) fn ask(
    config: &Arc<ClientConfig>,
    address: SocketAddr,
    server_name: &str,
    host: &str,
) -> io::Result<Exchange> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: penstock-probe\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let leaf = stream.conn.peer_certificates().and_then(<[_]>::first).cloned();
    let leaf = leaf.ok_or(io::ErrorKind::InvalidData)?.into_owned();
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece)?;
        head.extend_from_slice(piece.get(..count).unwrap_or_default());
        if let Some(answer) = read(&head)? {
            return Ok(Exchange { answer, leaf });
        }
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no end of its head"));
        }
    }
}

/// The answer, once its head is whole.
fn read(head: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut headers);
    let read = response.parse(head).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    let (httparse::Status::Complete(_), Some(status)) = (read, response.code) else { return Ok(None) };
    let fields = TELLING.map(|name| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.to_vec())
    });
    Ok(Some(Answer { status, fields }))
}

/// Fields that differ from origin to origin and not from answer to answer.
const TELLING: [&str; 4] = ["content-length", "content-type", "location", "server"];
const HEAD_BYTES_MAX: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_what_stays_the_same() {
        let answer = |text: &str| read(text.as_bytes()).unwrap().unwrap();
        let own = answer("HTTP/1.1 302 Found\r\nServer: a\r\nDate: now\r\nLocation: https://a/\r\n\r\n");
        assert_eq!(own, answer("HTTP/1.1 302 Found\r\nserver: a\r\nDate: then\r\nLocation: https://a/\r\n\r\nbody"));
        assert_ne!(own, answer("HTTP/1.1 302 Found\r\nServer: a\r\nLocation: https://b/\r\n\r\n"));
        assert_ne!(own, answer("HTTP/1.1 421 Misdirected Request\r\nServer: a\r\nLocation: https://a/\r\n\r\n"));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nServer").unwrap(), None);
        assert!(read(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
