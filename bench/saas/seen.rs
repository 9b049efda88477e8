//! Keeps the exact bytes of what each host received: a bounded memory for `GET /__seen`, and every request in the
//! tripwire file when there is one.
//!
//! Owns both records. `connection` writes to them before a request is judged, so that what a strict endpoint refuses
//! is on record too.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The record of one process.
pub(crate) struct Record {
    hosts: Mutex<HashMap<String, VecDeque<Entry>>>,
    tripwire: Option<Mutex<File>>,
}

/// What kind of bytes an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole head.
    Head,
    /// Bytes that ended, or went past the bound, before the head did.
    Partial,
    /// The trailer lines of the request before.
    Trailers,
}

struct Entry {
    connection: u64,
    kind: Kind,
    raw: Vec<u8>,
}

impl Record {
    /// A record that also appends to `tripwire`, one JSON object a line.
    pub(crate) fn new(tripwire: Option<&Path>) -> io::Result<Self> {
        let open = |path| File::options().create(true).append(true).open(path).map(Mutex::new);
        Ok(Self { hosts: Mutex::new(HashMap::new()), tripwire: tripwire.map(open).transpose()? })
    }

    /// Remembers `raw` under `host`. An error is the tripwire file's: a test that relies on it must not go on.
    pub(crate) fn keep(&self, host: &str, connection: u64, kind: Kind, raw: &[u8]) -> io::Result<()> {
        if let Some(file) = &self.tripwire {
            let line = json!({
                "host": host, "connection": connection, "kind": kind.word(), "raw": STANDARD.encode(raw),
            });
            let mut line = line.to_string();
            line.push('\n');
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            hosts.clear();
        }
        let entries = hosts.entry(host.to_owned()).or_default();
        if entries.len() >= ENTRIES_PER_HOST_MAX {
            entries.pop_front();
        }
        let raw = raw.get(..ENTRY_BYTES_MAX).unwrap_or(raw).to_vec();
        entries.push_back(Entry { connection, kind, raw });
        Ok(())
    }

    /// What `GET /__seen` answers for `host`, oldest first.
    pub(crate) fn seen(&self, host: &str) -> Value {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = hosts.get(host).into_iter().flatten();
        json!({ "host": host, "requests": entries.map(Entry::describe).collect::<Vec<_>>() })
    }

    /// Forgets what `host` received; the tripwire file stays.
    pub(crate) fn forget(&self, host: &str) {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}

impl Entry {
    fn describe(&self) -> Value {
        let mut lines: Vec<String> = self.raw.split_inclusive(|byte| *byte == b'\n').map(latin_1_line).collect();
        let request_line = (self.kind == Kind::Head && !lines.is_empty()).then(|| lines.remove(0));
        lines.retain(|line| !line.is_empty());
        json!({
            "connection": self.connection,
            "kind": self.kind.word(),
            "request_line": request_line,
            "headers": lines,
            "raw": STANDARD.encode(&self.raw),
        })
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Partial => "partial",
            Self::Trailers => "trailers",
        }
    }
}

/// A line without its line end, each byte as the code point of the same number, so that nothing is lost.
fn latin_1_line(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.iter().map(|byte| char::from(*byte)).collect()
}

const HOSTS_MAX: usize = 1_024;
const ENTRIES_PER_HOST_MAX: usize = 64;
const ENTRY_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_in_order_with_their_exact_bytes() {
        let record = Record::new(None).unwrap();
        let raw = b"GET / HTTP/1.1\r\nHost: a\r\nX-Odd:\t\xff\x00 \r\n\r\n";
        record.keep("a", 7, Kind::Head, raw).unwrap();
        let seen = record.seen("a");
        let request = &seen["requests"][0];
        assert_eq!(request["request_line"], "GET / HTTP/1.1");
        assert_eq!(request["headers"], json!(["Host: a", "X-Odd:\t\u{ff}\u{0} "]));
        assert_eq!(STANDARD.decode(request["raw"].as_str().unwrap()).unwrap(), raw);
        assert_eq!(request["connection"], 7);
    }

    #[test]
    fn the_memory_of_a_host_is_bounded_and_can_be_emptied() {
        let record = Record::new(None).unwrap();
        for number in 0..100 {
            record.keep("a", number, Kind::Head, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        }
        let requests = record.seen("a")["requests"].as_array().unwrap().clone();
        assert_eq!(requests.len(), ENTRIES_PER_HOST_MAX);
        assert_eq!(requests[0]["connection"], 36);
        record.forget("a");
        assert_eq!(record.seen("a")["requests"], json!([]));
    }

    #[test]
    fn the_tripwire_keeps_everything() {
        let path = std::env::temp_dir().join(format!("penstock-tripwire-{}", std::process::id()));
        let record = Record::new(Some(&path)).unwrap();
        record.keep("a", 1, Kind::Head, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        record.keep("b", 2, Kind::Partial, b"\x16\x03").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["host"], &lines[0]["kind"]), (&json!("a"), &json!("head")));
        assert_eq!((&lines[1]["kind"], &lines[1]["raw"]), (&json!("partial"), &json!("FgM=")));
    }
}
