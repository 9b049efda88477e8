//! Transparent listeners on the command line: `--transparent redirect=IP:PORT`.

use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use serde_json::Value;

/// One listener, as the data plane's configuration writes it and its announcement tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Transparent {
    pub(super) kind: &'static str,
    pub(super) address: SocketAddr,
}

/// Reads `KIND=IP:PORT`.
pub(super) fn read(text: &str) -> anyhow::Result<Transparent> {
    let (word, address) =
        text.split_once('=').ok_or_else(|| anyhow!("write KIND=IP:PORT, such as redirect=IP:PORT"))?;
    let kind = kind(word).ok_or_else(|| anyhow!("{word:?} is none of {}", KINDS.join(", ")))?;
    let address = address.parse().map_err(|_| anyhow!("{address:?} is no IP:PORT"))?;
    Ok(Transparent { kind, address })
}

/// What the data plane's announcement says of its listeners.
pub(super) fn announced(line: &Value) -> anyhow::Result<Vec<Transparent>> {
    let listeners = line.get("transparent").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let one = |listener: &Value| {
        let text = |key| listener.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = kind(text("kind")).with_context(|| format!("kind in {listener}"))?;
        let address = text("address").parse().with_context(|| format!("address in {listener}"))?;
        Ok(Transparent { kind, address })
    };
    listeners.iter().map(one).collect()
}

fn kind(word: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|kind| *kind == word)
}

const KINDS: [&str; 3] = ["redirect", "tproxy", "direct"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_and_nonsense_is_explained() {
        let address = "[::1]:8443".parse().unwrap();
        assert_eq!(read("tproxy=[::1]:8443").unwrap(), Transparent { kind: "tproxy", address });
        for (text, said) in [
            ("0.0.0.0:1", "such as redirect=IP:PORT"),
            ("dnat=0.0.0.0:1", "\"dnat\" is none of redirect, tproxy, direct"),
            ("tproxy=1", "IP:PORT"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(said), "{text}");
        }
    }

    #[test]
    fn an_announcement_is_read() {
        let line = serde_json::json!({ "transparent": [{ "kind": "redirect", "address": "0.0.0.0:8443" }] });
        let address = "0.0.0.0:8443".parse().unwrap();
        assert_eq!(announced(&line).unwrap(), [Transparent { kind: "redirect", address }]);
        assert_eq!(announced(&serde_json::json!({})).unwrap(), []);
        assert!(announced(&serde_json::json!({ "transparent": [{}] })).is_err());
    }
}
