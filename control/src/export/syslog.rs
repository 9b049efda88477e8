//! Syslog: RFC 5424 messages, octet counted (RFC 6587 section 3.4.1), over TLS (RFC 5425) or TCP.
//!
//! Syslog has no acknowledgement: what the kernel took before a connection broke may not have arrived. So the last batch
//! of a broken connection goes out again ahead of the next, and the receiver may see events twice.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use penstock_core::audit::Event;
use tokio::io::{AsyncWriteExt as _, ReadBuf};

use super::sink::SinkError;
use super::stream;
use crate::config::Peer;
use crate::peer::Stream;

/// A connection that is kept, and what went over it last.
pub(super) struct SyslogSink {
    peer: Peer,
    stream: Option<Box<dyn Stream>>,
    last: Vec<u8>,
}

impl SyslogSink {
    pub(super) const fn new(peer: Peer) -> Self {
        Self { peer, stream: None, last: Vec::new() }
    }

    pub(super) async fn deliver(&mut self, events: &[Event]) -> Result<(), SinkError> {
        let frames: Vec<u8> = events.iter().flat_map(frame).collect();
        let mut kept = self.stream.take();
        if let Some(stream) = &mut kept
            && has_ended(&mut **stream).await
        {
            kept = None;
        }
        let mut stream = match kept {
            Some(stream) => stream,
            None => {
                let mut stream = stream::connect(&self.peer).await?;
                send(&mut *stream, &self.last).await.map_err(|source| self.fault(source))?;
                stream
            }
        };
        send(&mut *stream, &frames).await.map_err(|source| self.fault(source))?;
        self.stream = Some(stream);
        self.last = frames;
        Ok(())
    }

    fn fault(&self, source: io::Error) -> SinkError {
        SinkError::Stream { peer: self.peer.label(), source }
    }
}

async fn send(stream: &mut dyn Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Whether the receiver has closed. It has nothing to say otherwise.
async fn has_ended(stream: &mut dyn Stream) -> bool {
    let mut words = [0; 64];
    let mut buffer = ReadBuf::new(&mut words);
    poll_fn(|context| Poll::Ready(Pin::new(&mut *stream).poll_read(context, &mut buffer).is_ready())).await
        && buffer.filled().is_empty()
}

/// One message with its length ahead.
fn frame(event: &Event) -> Vec<u8> {
    let json = serde_json::to_string(event).unwrap_or_default();
    let (time, node, status) = (&event.time, header_word(&event.node), header_word(&event.status));
    let message = format!("<{}>1 {time} {node} penstock - {status} - {json}", priority(&event.status));
    format!("{} {message}", message.len()).into_bytes()
}

/// Facility 13, log audit; the severities are informational, notice and warning.
fn priority(status: &str) -> u8 {
    const LOG_AUDIT: u8 = 13;
    let severity = match status {
        "allowed" => 6,
        "fault" => 4,
        _ => 5,
    };
    LOG_AUDIT * 8 + severity
}

/// A field of the header: visible ASCII without spaces, `-` for nothing.
fn header_word(text: &str) -> String {
    let word: String = text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).take(HEADER_WORD_MAX).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// Of the host name, RFC 5424 section 6; the other words here are shorter by nature.
const HEADER_WORD_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_its_priority_and_the_event() {
        let event = Event {
            time: "2026-11-21T10:00:00.123Z".to_owned(),
            node: "egress one".to_owned(),
            status: "denied".to_owned(),
            path: Some("/ä\n".to_owned()),
            ..Event::default()
        };
        let frame = String::from_utf8(frame(&event)).unwrap();
        let (length, message) = frame.split_once(' ').unwrap();
        assert_eq!(length.parse(), Ok(message.len()));
        let (head, json) = message.split_at(message.find('{').unwrap());
        assert_eq!(head, "<109>1 2026-11-21T10:00:00.123Z egress?one penstock - denied - ");
        assert_eq!(serde_json::from_str::<Event>(json).unwrap(), event);
        assert!(!message.contains('\n'), "a line break would end a message for receivers that look for one");
        assert_eq!((priority("allowed"), priority("fault"), header_word("")), (110, 108, "-".to_owned()));
    }
}
