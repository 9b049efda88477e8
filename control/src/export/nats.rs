//! NATS JetStream: a message for each event, and the stream's acknowledgement of each before the next batch.
//!
//! A message's id is made of the event and of its place in the store. What is sent again, since an acknowledgement was lost, has the
//! same id: the stream leaves it out within its window for duplicates.

use std::io;

use async_nats::connection::State;
use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::{ConnectOptions, ServerAddr, jetstream};
use aws_lc_rs::digest::{SHA256, digest};

use super::sink::SinkError;
use crate::config::{ClientTls, NatsSettings};
use crate::peer;
use crate::store::EventPage;

/// A connection that is kept.
pub(super) struct NatsSink {
    settings: NatsSettings,
    context: Option<Context>,
}

impl NatsSink {
    pub(super) const fn new(settings: NatsSettings) -> Self {
        Self { settings, context: None }
    }

    /// Answers how many of the events are larger than the server takes.
    pub(super) async fn deliver(&mut self, page: &EventPage) -> Result<u64, SinkError> {
        let is_connected = |context: &Context| context.client().connection_state() == State::Connected;
        let context = match self.context.take().filter(is_connected) {
            Some(context) => context,
            None => self.connect().await?,
        };
        let mut sent = Vec::with_capacity(page.events.len());
        let mut too_large = 0;
        for (event, cursor) in page.events.iter().zip(&page.cursors) {
            let json = serde_json::to_vec(event).map_err(|error| self.fault(error.into()))?;
            let message = PublishMessage::build().message_id(id(*cursor, &json)).payload(json.into());
            match context.send_publish(self.settings.subject.clone(), message).await {
                Ok(acknowledgement) => sent.push(acknowledgement),
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => too_large += 1,
                Err(error) => return Err(self.fault(io::Error::other(error))),
            }
        }
        for acknowledgement in sent {
            acknowledgement.await.map_err(|error| self.fault(io::Error::other(error)))?;
        }
        self.context = Some(context);
        Ok(too_large)
    }

    /// Files are read each time: what the operator renews counts at once. A client that lost its servers tries each once more and
    /// ends; the next batch has another one.
    async fn connect(&self) -> Result<Context, SinkError> {
        let fault = |source| self.fault(source);
        let NatsSettings { servers, credentials_file, tls, .. } = &self.settings;
        let mut options =
            ConnectOptions::new().name("penstock").ignore_discovered_servers().max_reconnects(servers.len());
        if let Some(ca_file) = tls {
            let files = ClientTls { ca_file: ca_file.clone(), identity: None };
            options = options.require_tls(true).tls_client_config(peer::tls_config(&files).map_err(fault)?);
        }
        if let Some(path) = credentials_file {
            let read = peer::read_private(path).and_then(|credentials| options.credentials(&credentials));
            options = read.map_err(|source| SinkError::File { path: path.clone(), source })?;
        }
        let addresses = servers.iter().map(|server| server.parse()).collect::<io::Result<Vec<ServerAddr>>>();
        let client =
            options.connect(addresses.map_err(fault)?).await.map_err(|error| fault(io::Error::other(error)))?;
        Ok(jetstream::new(client))
    }

    fn fault(&self, source: io::Error) -> SinkError {
        SinkError::Stream { peer: self.settings.label(), source }
    }
}

/// Different for each event of any store, and the same whenever it is sent.
fn id(cursor: u64, json: &[u8]) -> String {
    let hash = digest(&SHA256, &[&cursor.to_be_bytes(), json].concat());
    hash.as_ref().iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

const ID_BYTES: usize = 16;
