//! Hears of what others change, through breaks and compactions: who follows is told once too often rather than not at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::cluster::Cluster;
use super::generated::watch_client::WatchClient;
use super::generated::watch_request::RequestUnion;
use super::generated::{TxnRequest, WatchCreateRequest, WatchRequest};
use super::revision::{behind, get};

/// Follows the keys below a prefix until nobody listens.
pub(super) async fn follow(cluster: Arc<Cluster>, prefix: String, sender: watch::Sender<()>) {
    // The first revision of the store that was not heard of; 0 where that is not known.
    let mut next = 0;
    while !sender.is_closed() {
        if let Err(status) = listen(&cluster, &prefix, &sender, &mut next).await {
            tracing::warn!(
                reason = status.message(),
                "changes of the policy in etcd are not heard of; it is tried again"
            );
        }
        sleep(PAUSE).await;
    }
}

/// Listens until the stream ends.
async fn listen(cluster: &Cluster, prefix: &str, sender: &watch::Sender<()>, next: &mut i64) -> Result<(), Status> {
    if *next == 0 {
        let look = TxnRequest { success: vec![get(prefix.to_owned())], ..TxnRequest::default() };
        let answer = cluster.run(look).await.map_err(|error| Status::unavailable(error.to_string()))?;
        *next = answer.header.map_or(0, |header| header.revision) + 1;
        // Whatever happened before is there to be read now.
        sender.send_replace(());
    }
    let (place, channel) = cluster.channel().ok_or_else(|| Status::unavailable("etcd has no member"))?;
    let create = WatchCreateRequest {
        key: prefix.into(),
        range_end: behind(prefix),
        start_revision: *next,
        progress_notify: true,
    };
    // The stream lasts for as long as this end of the questions does.
    let (questions, stream) = mpsc::channel(1);
    let question = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    questions.send(question).await.map_err(|_| Status::cancelled("the stream is closed"))?;
    let listening = async {
        let request = cluster.request(&channel, ReceiverStream::new(stream)).await?;
        let mut answers = WatchClient::new(channel.clone()).watch(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if answer.canceled {
                if answer.compact_revision > 0 {
                    tracing::info!("etcd was compacted beyond what was heard of: all is read anew");
                    *next = 0;
                }
                return Err(Status::aborted(answer.cancel_reason));
            }
            if let Some(header) = answer.header.filter(|_| !answer.created) {
                *next = (*next).max(header.revision + 1);
            }
            if !answer.events.is_empty() {
                sender.send_replace(());
            }
        }
        Ok(())
    };
    let outcome: Result<(), Status> = listening.await;
    drop(questions);
    if let Err(status) = &outcome {
        cluster.is_worth_another(place, status);
    }
    outcome
}

const PAUSE: Duration = Duration::from_millis(500);
