//! Other readers: what goes upstream of an inspected connection is read by parsers that others wrote, as an origin would.
//!
//! The invariant is theirs to judge: as many requests as the exchange announced, for the same paths, each with every
//! configured header exactly once, and nothing else by such a name.

mod http1;
mod http2;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use penstock_core::catalogue::ConnectorId;
use penstock_core::policy::{HeaderEdit, Mode, SetHeader};
use serde_json::Value;

const HOST: &str = "login.microsoftonline.com";
const SET: [(&str, &str); 2] = [
    ("Restrict-Access-To-Tenants", "contoso.com"),
    ("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
];

fn edit() -> Arc<HeaderEdit> {
    let headers = SET.map(|(name, value)| SetHeader { name: name.into(), value: value.into() }).to_vec();
    Arc::new(HeaderEdit::new(Mode::Enforce, &[ConnectorId::MicrosoftEntra], headers))
}

/// One of the catalogue's Microsoft names, however it is spelled.
fn is_restriction(name: &str) -> bool {
    let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
    ["restrict-access-to-tenants", "restrict-access-context", "sec-restrict-tenant-access-policy"]
        .contains(&folded.as_str())
}

/// Gives a reader one stream a line, in hexadecimal, and takes its line of JSON for each.
fn read_by<'a>(mut reader: Command, streams: impl Iterator<Item = &'a [u8]>) -> Vec<Value> {
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = reader.stdin.take().unwrap();
    let lines: Vec<String> = streams.map(|stream| hex(stream) + "\n").collect();
    let count = lines.len();
    let writer = std::thread::spawn(move || input.write_all(lines.concat().as_bytes()).unwrap());
    let output = reader.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let read: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), count);
    read
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
