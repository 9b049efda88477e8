//! OTLP logs as JSON over HTTP (OpenTelemetry Protocol 1.5, section OTLP/HTTP): a request for each batch.

use std::fs;
use std::future::pending;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;
use penstock_core::audit::Event;
use serde_json::{Value, json};

use super::sink::SinkError;
use super::stream;
use crate::audit::moment;
use crate::config::Peer;

/// A collector.
pub(super) struct OtlpSink {
    peer: Peer,
    path: String,
    headers_file: Option<PathBuf>,
}

impl OtlpSink {
    pub(super) const fn new(peer: Peer, path: String, headers_file: Option<PathBuf>) -> Self {
        Self { peer, path, headers_file }
    }

    /// Answers how many of the events the collector took and threw away.
    pub(super) async fn deliver(&self, events: &[Event]) -> Result<u64, SinkError> {
        let request = self.request(events)?;
        let stream = stream::connect(&self.peer).await?;
        let (status, answer) = self.ask(stream, request).await.map_err(|source| self.fault(source))?;
        match status {
            200..=299 => Ok(rejected(&answer)),
            // What the specification calls retryable, and what a proxy ahead of the collector may answer.
            401 | 403 | 404 | 408 | 429 | 500..=599 => Err(SinkError::Busy { peer: self.peer.label(), status }),
            _ => Err(SinkError::Refused { peer: self.peer.label(), status }),
        }
    }

    async fn ask(&self, stream: Box<dyn stream::Stream>, request: Request<Full<Bytes>>) -> io::Result<(u16, Bytes)> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let asking = async {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = response.status().as_u16();
            let body =
                Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(io::Error::other)?;
            Ok((status, body.to_bytes()))
        };
        // The connection may end with the answer, or ahead of it: either way `asking` knows.
        let driving = async {
            let _ = connection.await;
            pending().await
        };
        tokio::select! {
            answer = asking => answer,
            never = driving => never,
        }
    }

    fn request(&self, events: &[Event]) -> Result<Request<Full<Bytes>>, SinkError> {
        let body = serde_json::to_vec(&logs(events)).unwrap_or_default();
        let builder = Request::post(&self.path)
            .header(HOST, self.peer.label())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("penstock/", env!("CARGO_PKG_VERSION")));
        let mut request =
            builder.body(Full::new(Bytes::from(body))).map_err(|error| self.fault(io::Error::other(error)))?;
        if let Some(path) = &self.headers_file {
            let headers = read_headers(path).map_err(|source| SinkError::File { path: path.clone(), source })?;
            request.headers_mut().extend(headers);
        }
        Ok(request)
    }

    fn fault(&self, source: io::Error) -> SinkError {
        SinkError::Stream { peer: self.peer.label(), source }
    }
}

/// `Name: value` a line. They hold credentials: read each time, and only while nobody else can.
fn read_headers(path: &Path) -> io::Result<Vec<(HeaderName, HeaderValue)>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "other users may read it (mode {mode:o}); run: chmod 600 {}",
            path.display()
        )));
    }
    let text = fs::read_to_string(path)?;
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

/// How many records the collector says it left out.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = answer.pointer("/partialSuccess/rejectedLogRecords");
    count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok())).unwrap_or(0)
}

/// An ExportLogsServiceRequest, as protobuf's JSON mapping has it.
fn logs(events: &[Event]) -> Value {
    let records: Vec<Value> = events.iter().map(record).collect();
    let service = json!({ "key": "service.name", "value": { "stringValue": "penstock" } });
    let scope = json!({ "name": "penstock.audit", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceLogs": [{
        "resource": { "attributes": [service] },
        "scopeLogs": [{ "scope": scope, "logRecords": records }],
    }] })
}

fn record(event: &Event) -> Value {
    // Nanoseconds, a 64-bit number, which JSON writes as text.
    let nanoseconds = moment::parse(&event.time, 0).map(|ms| format!("{ms}000000")).unwrap_or_default();
    let (number, severity) = match event.status.as_str() {
        "allowed" => (9, "INFO"),
        "fault" => (13, "WARN"),
        _ => (10, "INFO2"),
    };
    let told = [Some(event.status.as_str()), event.connector.as_deref(), event.sni.as_deref()];
    let body: Vec<&str> = told.into_iter().flatten().collect();
    let fields = serde_json::to_value(event).ok();
    let fields = fields.as_ref().and_then(Value::as_object);
    let attributes: Vec<Value> = fields
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "time")
        .map(|(name, value)| json!({ "key": format!("penstock.{name}"), "value": any_value(value) }))
        .collect();
    json!({
        "timeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": severity,
        "eventName": "penstock.audit",
        "body": { "stringValue": body.join(" ") },
        "attributes": attributes,
    })
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Array(values) => json!({ "arrayValue": { "values": values.iter().map(any_value).collect::<Vec<_>>() } }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_events_time_and_fields() {
        let event = Event {
            time: "2026-11-21T23:59:59.999Z".to_owned(),
            status: "denied".to_owned(),
            connector: Some("slack".to_owned()),
            epoch: Some(7),
            headers_set: vec!["a".to_owned()],
            ..Event::default()
        };
        let logs = logs(&[event]);
        let record = logs.pointer("/resourceLogs/0/scopeLogs/0/logRecords/0").unwrap();
        assert_eq!(record["timeUnixNano"], "1795305599999000000");
        assert_eq!((&record["severityNumber"], &record["body"]["stringValue"]), (&10.into(), &"denied slack".into()));
        let attributes = record["attributes"].as_array().unwrap();
        let find = |key: &str| &attributes.iter().find(|one| one["key"] == key).unwrap()["value"];
        assert_eq!(find("penstock.epoch")["intValue"], "7");
        assert_eq!(find("penstock.headers_set")["arrayValue"]["values"][0]["stringValue"], "a");
        assert!(!attributes.iter().any(|one| one["key"] == "penstock.time"));
    }

    #[test]
    fn what_a_collector_left_out_is_read_as_number_or_text() {
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), 3);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":2}}"#), 2);
        assert_eq!((rejected(b"{}"), rejected(b"ok")), (0, 0));
    }

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
