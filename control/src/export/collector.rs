//! A collector of OpenTelemetry: JSON over HTTP/1.1, a connection for each request (OTLP 1.5, section OTLP/HTTP).

use std::io;
use std::path::Path;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use serde_json::Value;

use super::sink::SinkError;
use super::stream;
use crate::config::CollectorSettings;
use crate::peer;

/// Where requests go.
pub(crate) struct Collector(CollectorSettings);

impl Collector {
    pub(crate) const fn new(settings: CollectorSettings) -> Self {
        Self(settings)
    }

    /// Hands over a message; its answer.
    pub(crate) async fn post(&self, message: &Value) -> Result<Bytes, SinkError> {
        let request = self.request(message)?;
        let stream = stream::connect(&self.0.peer).await?;
        let answer = peer::ask(stream, request, ANSWER_BYTES_MAX).await.map_err(|source| self.fault(source))?;
        match answer.status().as_u16() {
            200..=299 => Ok(answer.into_body()),
            // What the specification calls retryable, and what a proxy ahead of the collector may answer.
            status @ (401 | 403 | 404 | 408 | 429 | 500..=599) => {
                Err(SinkError::Busy { peer: self.0.peer.label(), status })
            }
            status => Err(SinkError::Refused { peer: self.0.peer.label(), status }),
        }
    }

    fn request(&self, message: &Value) -> Result<Request<Full<Bytes>>, SinkError> {
        let builder = Request::post(&self.0.path)
            .header(HOST, self.0.peer.label())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")));
        let body = Full::new(Bytes::from(message.to_string()));
        let mut request = builder.body(body).map_err(|error| self.fault(io::Error::other(error)))?;
        if let Some(path) = &self.0.headers_file {
            let headers = read_headers(path).map_err(|source| SinkError::File { path: path.clone(), source })?;
            request.headers_mut().extend(headers);
        }
        Ok(request)
    }

    fn fault(&self, source: io::Error) -> SinkError {
        SinkError::Stream { peer: self.0.peer.label(), source }
    }
}

/// `Name: value` a line. They hold credentials: read each time, and only while nobody else can.
fn read_headers(path: &Path) -> io::Result<Vec<(HeaderName, HeaderValue)>> {
    let text = peer::read_private(path)?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let read = |(line, number): (&str, u32)| {
        let wrong = || io::Error::other(format!("line {number}: must be `Name: value`"));
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    lines.map(read).collect()
}

const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn headers_are_read_from_a_file_of_ones_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        fs::write(&path, "Authorization: Bearer x:y\n\nX-Scope: a\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read_headers(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let headers = read_headers(&path).unwrap();
        assert_eq!((headers[0].1.as_bytes(), headers[1].0.as_str()), (&b"Bearer x:y"[..], "x-scope"));
        fs::write(&path, "A: b\nno header\n").unwrap();
        assert!(read_headers(&path).unwrap_err().to_string().contains("line 2"));
    }
}
