//! A data plane as far as the link can tell: it attaches, answers states as the test wants, reports metrics, delivers
//! audit events.

use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use penstock_link::link_client::LinkClient;
use penstock_link::{
    AuditBatch, AuditEvent, FromNode, Hello, Installed, MESSAGE_BYTES_MAX, MetricsReport, Refused, Sample, State,
    TicketKeys, from_node, to_node,
};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::control::{Control, until};

/// What the node answers to a state.
#[derive(Clone, Debug, Default)]
pub(crate) enum Manner {
    #[default]
    Installs,
    Refuses(&'static str),
    IsSilent,
}

pub(crate) struct Node {
    runtime: Runtime,
    client: LinkClient<Channel>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    manner: Manner,
    states: Vec<State>,
    tickets: Vec<TicketKeys>,
    samples: Vec<Sample>,
    ended: Option<String>,
}

impl Node {
    pub(crate) fn attach(control: &Control, name: &str) -> Self {
        let node = Self::attach_as(control, Hello { node: name.to_owned(), shards: 2, ..Hello::default() });
        until("the node's seat", || {
            let nodes = control.get("/nodes").json()["nodes"].as_array().cloned().unwrap_or_default();
            nodes.iter().any(|node| node["node"] == name && node["attached"] == true).then_some(())
        });
        node
    }

    pub(crate) fn attach_as(control: &Control, hello: Hello) -> Self {
        let runtime = Runtime::new().unwrap();
        let channel = runtime.block_on(dial(&control.state().join("link.sock")));
        Self::attach_by(runtime, channel, hello, Manner::Installs).unwrap()
    }

    /// By whatever way leads to control; the error is what control says at once.
    pub(crate) fn attach_by(
        runtime: Runtime,
        channel: Channel,
        hello: Hello,
        manner: Manner,
    ) -> Result<Self, tonic::Status> {
        let mut client = LinkClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let heard = Arc::new(Mutex::new(Heard { manner, ..Heard::default() }));
        let (outbound, messages) = mpsc::channel(8);
        outbound.try_send(FromNode { message: Some(from_node::Message::Hello(hello)) }).unwrap();
        let inbound = runtime.block_on(client.attach(ReceiverStream::new(messages)))?.into_inner();
        runtime.spawn(listen(inbound, outbound, Arc::clone(&heard)));
        Ok(Self { runtime, client, heard })
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.heard.lock().unwrap().manner = manner;
    }

    pub(crate) fn report(&self, samples: Vec<Sample>) {
        self.heard.lock().unwrap().samples = samples;
    }

    pub(crate) fn states(&self) -> Vec<State> {
        self.heard.lock().unwrap().states.clone()
    }

    /// Waits for ticket keys.
    pub(crate) fn tickets(&self) -> TicketKeys {
        until("ticket keys", || self.heard.lock().unwrap().tickets.last().cloned())
    }

    /// Waits for the state of an epoch.
    pub(crate) fn state(&self, epoch: u64) -> State {
        until(&format!("the state of epoch {epoch}"), || self.states().into_iter().find(|state| state.epoch == epoch))
    }

    /// Waits until control ends the stream; why it did.
    pub(crate) fn let_go(&self) -> String {
        until("the stream's end", || self.heard.lock().unwrap().ended.clone())
    }

    pub(crate) fn record(&mut self, node: &str, boot: &str, events: &[(u64, String)]) -> Result<u64, tonic::Status> {
        let events =
            events.iter().map(|(sequence, json)| AuditEvent { sequence: *sequence, json: json.clone() }).collect();
        let batch = AuditBatch { node: node.to_owned(), boot: boot.to_owned(), events };
        let answer = self.runtime.block_on(self.client.record_audit(batch));
        answer.map(|answer| answer.into_inner().sequence)
    }
}

async fn dial(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://control.invalid").connect_with_connector(connect).await.unwrap()
}

async fn listen(
    mut inbound: tonic::Streaming<penstock_link::ToNode>,
    outbound: mpsc::Sender<FromNode>,
    heard: Arc<Mutex<Heard>>,
) {
    loop {
        let answer = match inbound.message().await {
            Ok(Some(message)) => answer(&mut heard.lock().unwrap(), message.message),
            Ok(None) => {
                heard.lock().unwrap().ended = Some("closed".to_owned());
                return;
            }
            Err(status) => {
                heard.lock().unwrap().ended = Some(status.message().to_owned());
                return;
            }
        };
        if let Some(message) = answer {
            let _ = outbound.send(FromNode { message: Some(message) }).await;
        }
    }
}

fn answer(heard: &mut Heard, message: Option<to_node::Message>) -> Option<from_node::Message> {
    match message? {
        to_node::Message::State(state) => {
            let (epoch, issuer) = (state.epoch, state.issuer.clone().unwrap_or_default().serial);
            heard.states.push(state);
            match heard.manner.clone() {
                Manner::Installs => Some(from_node::Message::Installed(Installed { epoch, issuer })),
                Manner::Refuses(reason) => {
                    Some(from_node::Message::Refused(Refused { epoch, reason: reason.to_owned() }))
                }
                Manner::IsSilent => None,
            }
        }
        to_node::Message::Authorities(_) => None,
        to_node::Message::TicketKeys(keys) => {
            heard.tickets.push(keys);
            None
        }
        to_node::Message::Metrics(request) => {
            let samples = heard.samples.clone();
            Some(from_node::Message::Metrics(MetricsReport { id: request.id, samples }))
        }
    }
}
