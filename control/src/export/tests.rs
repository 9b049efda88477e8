//! Exports from a real store into real files and sockets: at least once, in order, through breaks, refusals and loss.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use penstock_core::audit::{Event, timestamp};
use serde_json::Value;
use tempfile::TempDir;

use super::{Exports, Status};
use crate::config::{CollectorSettings, Destination, ExportSettings, Peer};
use crate::store::{AuditStore as _, ExportStore, IncomingEvent, ReadEvent, Retention, SqliteStore};

const START: u64 = 1_795_000_000_000;

fn store(folder: &TempDir, events_max: u64) -> SqliteStore {
    let retention = Retention { events_max, age_ms_max: None, bytes_max: None };
    SqliteStore::open(&folder.path().join("control.db"), retention, || START).unwrap()
}

async fn record(store: &SqliteStore, numbers: std::ops::Range<u64>) {
    let incoming = |number: u64| {
        let event = Event {
            time: timestamp(START + number),
            node: "egress".to_owned(),
            flow: format!("1-{number:x}-0"),
            status: "denied".to_owned(),
            username: Some("anna@contoso.com".to_owned()),
            ..Event::default()
        };
        let json = serde_json::to_string(&event).unwrap();
        IncomingEvent { sequence: number, json, event: Ok(ReadEvent { event, time_ms: START + number }) }
    };
    store.record("egress".to_owned(), "boot".to_owned(), numbers.map(incoming).collect()).await.unwrap();
}

fn export(destination: Destination, store: &SqliteStore) -> Exports {
    let settings = ExportSettings { name: "one".to_owned(), personal: false, destination };
    let store: Arc<dyn ExportStore> = Arc::new(store.clone());
    Exports::start(vec![settings], &store)
}

fn file(path: &Path, rotate_bytes: u64, keep: u32) -> Destination {
    Destination::File { path: path.to_owned(), rotate_bytes, keep }
}

fn peer(address: SocketAddr) -> Peer {
    Peer { host: address.ip().to_string(), port: address.port(), tls: None }
}

async fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn await_status(exports: &Exports, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
    until(what, || exports.status().pop().filter(|status| is_so(status))).await
}

/// Flow numbers of the events in lines of JSON.
fn flows(text: &str) -> Vec<u64> {
    let number = |line: &str| {
        let event: Event = serde_json::from_str(line).unwrap();
        u64::from_str_radix(event.flow.split('-').nth(1).unwrap(), 16).unwrap()
    };
    text.lines().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_every_event_once_and_goes_on_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.jsonl");
    let store = store(&folder, 1_000_000);
    record(&store, 0..700).await;
    let exports = export(file(&path, 1 << 30, 1), &store);
    let status = await_status(&exports, "the events", |status| status.events == 700).await;
    assert_eq!((status.pending, status.failures, status.lost, status.error), (0, 0, 0, None));
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(flows(&text), (0..700).collect::<Vec<_>>());
    assert!(text.contains("a***@contoso.com") && !text.contains("anna"), "names of people are masked");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    record(&store, 700..710).await;
    await_status(&exports, "what came later", |status| status.events == 710).await;
    // Another life of the daemon: it knows how far it was. A line that a crash cut short is written again, whole.
    let again = export(file(&path, 1 << 30, 1), &store);
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"time\":\"20").unwrap();
    record(&store, 710..711).await;
    until("the last event", || {
        fs::read_to_string(&path).unwrap().lines().any(|line| line.contains("1-2c6-0")).then_some(())
    })
    .await;
    drop((exports, again));
    assert!(flows(&fs::read_to_string(&path).unwrap()).starts_with(&(0..710).collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_has_become_large_is_followed_by_another() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.jsonl");
    let store = store(&folder, 1_000_000);
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    record(&store, 0..2_000).await;
    let exports = export(file(&path, 4_096, 2), &store);
    await_status(&exports, "the events", |status| status.events == 2_000).await;
    // A batch is never split, and two closed files are kept.
    let parts: String =
        [numbered(2), numbered(1), path.clone()].iter().map(|it| fs::read_to_string(it).unwrap()).collect();
    assert_eq!(flows(&parts), (500..2_000).collect::<Vec<_>>());
    assert!(!numbered(3).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_removed_first_is_counted_as_lost() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, 100);
    let path = folder.path().join("no-folder/events.jsonl");
    record(&store, 0..50).await;
    let exports = export(file(&path, 1 << 30, 1), &store);
    let status = await_status(&exports, "a failure", |status| status.failures > 0).await;
    assert!(status.error.unwrap().contains("no-folder"), "the error names the file");
    fs::create_dir(path.parent().unwrap()).unwrap();
    await_status(&exports, "the first events", |status| status.events == 50 && status.error.is_none()).await;
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    for slice in 0..40 {
        record(&store, 50 + slice * 50..100 + slice * 50).await;
    }
    await_status(&exports, "a failure", |status| status.error.is_some()).await;
    fs::create_dir(path.parent().unwrap()).unwrap();
    record(&store, 2_050..2_051).await;
    let status = await_status(&exports, "the rest", |status| status.error.is_none() && status.pending == 0).await;
    assert!(status.lost > 0);
    assert_eq!(status.events + status.lost, 2_051, "{status:?}");
}

/// Reads octet-counted messages until the connection ends or there are `count`.
fn messages(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut byte = [0];
    let mut length = String::new();
    while found.len() < count && matches!(stream.read(&mut byte), Ok(1)) {
        if byte[0] != b' ' {
            length.push(char::from(byte[0]));
            continue;
        }
        let mut message = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut message).unwrap();
        found.push(String::from_utf8(message).unwrap());
        length.clear();
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_sends_the_last_batch_again_when_the_connection_breaks() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, 1_000_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let destination = Destination::Syslog(peer(listener.local_addr().unwrap()));
    record(&store, 0..3).await;
    let exports = export(destination, &store);
    let first = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        (messages(&mut stream, 3), listener)
    });
    await_status(&exports, "the first batch", |status| status.events == 3).await;
    let (told, listener) = first.join().unwrap();
    assert!(told[0].starts_with("<109>1 2026-11-18T11:06:40.000Z egress penstock - denied - {"), "{}", told[0]);
    record(&store, 3..4).await;
    let (mut stream, _) = tokio::task::spawn_blocking(move || listener.accept().unwrap()).await.unwrap();
    let told = tokio::task::spawn_blocking(move || messages(&mut stream, 4)).await.unwrap();
    let json: String = told.iter().map(|message| format!("{}\n", &message[message.find('{').unwrap()..])).collect();
    assert_eq!(flows(&json), [0, 1, 2, 3]);
}

/// A collector that answers one request a connection, in this order.
fn collector(answers: Vec<(u16, &'static str)>) -> (SocketAddr, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, requests) = mpsc::channel();
    thread::spawn(move || {
        for (status, body) in answers {
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut request = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut request).unwrap();
            let _ = asked.send((head, serde_json::from_slice(&request).unwrap()));
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, requests)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let folder = TempDir::new().unwrap();
    let store = store(&folder, 1_000_000);
    let (address, requests) = collector(vec![
        (503, ""),
        (200, "{\"partialSuccess\":{\"rejectedLogRecords\":\"1\"}}"),
        (400, ""),
        (200, "{}"),
    ]);
    record(&store, 0..3).await;
    let exports = export(
        Destination::Otlp(CollectorSettings { peer: peer(address), path: "/v1/logs".to_owned(), headers_file: None }),
        &store,
    );
    let status = await_status(&exports, "the first batch", |status| status.events == 2).await;
    assert_eq!((status.failures, status.lost), (1, 1), "{status:?}");
    record(&store, 3..5).await;
    let status = await_status(&exports, "the refusal", |status| status.lost == 3).await;
    assert!(status.error.unwrap().contains("400"));
    record(&store, 5..6).await;
    await_status(&exports, "the last", |status| status.events == 3).await;
    let seen: Vec<(String, Value)> = requests.iter().take(4).collect();
    assert!(seen[0].0.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{}", seen[0].0);
    assert_eq!(seen[0].1, seen[1].1, "the same batch again");
    let records =
        |request: &Value| request.pointer("/resourceLogs/0/scopeLogs/0/logRecords").unwrap().as_array().unwrap().len();
    let counts: Vec<usize> = seen.iter().map(|(_, request)| records(request)).collect();
    assert_eq!(counts, [3, 3, 2, 1]);
}
