//! The provider over HTTP: one request a connection, by TLS unless it is on this machine. No redirect is followed.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use openidconnect::url::Url;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::time::timeout;

use crate::config::{ClientTls, OidcSettings, is_here};
use crate::peer;

/// Speaks to the provider.
pub(super) struct Http {
    ca_file: Option<PathBuf>,
    allow_plaintext: bool,
}

impl Http {
    pub(super) fn new(settings: &OidcSettings) -> Self {
        Self { ca_file: settings.ca_file.clone(), allow_plaintext: settings.allow_plaintext }
    }

    async fn send(&self, request: HttpRequest) -> io::Result<HttpResponse> {
        let told = request.uri().to_string();
        let answer = timeout(PATIENCE, self.ask(request)).await;
        answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| named(&told, &error))
    }

    async fn ask(&self, request: HttpRequest) -> io::Result<HttpResponse> {
        let url = Url::parse(&request.uri().to_string()).map_err(io::Error::other)?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(io::Error::other("names no host"));
        };
        let is_secret = url.scheme() == "https";
        if !is_secret && !is_here(host) && !self.allow_plaintext {
            return Err(io::Error::other("is in the clear"));
        }
        let tls = is_secret.then(|| ClientTls { ca_file: self.ca_file.clone(), identity: None });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = peer::dial(bare, port, tls.as_ref(), Some(b"http/1.1")).await?;
        let (mut head, body) = request.into_parts();
        let place = head.uri.path_and_query().map_or("/", |place| place.as_str());
        let authority = head.uri.authority().map_or(host, |authority| authority.as_str());
        head.headers.insert(HOST, HeaderValue::from_str(authority).map_err(io::Error::other)?);
        head.headers.insert(USER_AGENT, HeaderValue::from_static(concat!("penstock/", env!("CARGO_PKG_VERSION"))));
        head.uri = place.parse().map_err(io::Error::other)?;
        let request = hyper::Request::from_parts(head, Full::new(Bytes::from(body)));
        Ok(peer::ask(stream, request, ANSWER_BYTES_MAX).await?.map(Vec::from))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<HttpResponse>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

fn named(place: &str, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{place}: {error}"))
}

/// For a request and its answer; a browser waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys, or a token with many groups.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
