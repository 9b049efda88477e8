//! The kinds of sink, and how they fail.

use std::io;
use std::path::PathBuf;

use super::collector::Collector;
use super::file::FileSink;
use super::nats::NatsSink;
use super::otlp::OtlpSink;
use super::syslog::SyslogSink;
use crate::config::Destination;
use crate::store::EventPage;

/// Takes events.
pub(super) enum Sink {
    File(FileSink),
    Nats(Box<NatsSink>),
    Otlp(OtlpSink),
    Syslog(SyslogSink),
}

/// Why a sink did not take events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// A file of ours or the sink's.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The way to the sink.
    #[error("{peer}: {source}")]
    Stream { peer: String, source: io::Error },
    /// It answered that it cannot at the moment.
    #[error("{peer} answered {status}")]
    Busy { peer: String, status: u16 },
    /// It answered that it will never take these.
    #[error("{peer} refused them for good: {status}")]
    Refused { peer: String, status: u16 },
    /// It took too long.
    #[error("no answer within {0} s")]
    Late(u64),
}

impl SinkError {
    /// Whether it would be the same next time.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

impl Sink {
    pub(super) fn new(destination: Destination) -> Self {
        match destination {
            Destination::File { path, rotate_bytes, keep } => Self::File(FileSink::new(path, rotate_bytes, keep)),
            Destination::Nats(settings) => Self::Nats(Box::new(NatsSink::new(settings))),
            Destination::Otlp(collector) => Self::Otlp(OtlpSink::new(Collector::new(collector))),
            Destination::Syslog(peer) => Self::Syslog(SyslogSink::new(peer)),
        }
    }

    /// Hands over a batch, all of it or, as far as the caller is concerned, nothing. Answers how many of them the sink took
    /// and threw away.
    pub(super) async fn deliver(&mut self, page: &EventPage) -> Result<u64, SinkError> {
        let events = page.events.as_slice();
        match self {
            // A local file: what blocks is the disk, and for a batch of lines.
            Self::File(sink) => tokio::task::block_in_place(|| sink.deliver(events)).map(|()| 0),
            Self::Nats(sink) => sink.deliver(page).await,
            Self::Otlp(sink) => sink.deliver(events).await,
            Self::Syslog(sink) => sink.deliver(events).await.map(|()| 0),
        }
    }
}
