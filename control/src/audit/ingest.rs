//! Reads the events of a batch before they are stored.

use penstock_core::audit::Event;
use penstock_link::AuditBatch;

use super::moment;
use crate::store::{IncomingEvent, ReadEvent};

/// Reads every event. One that cannot be read is passed on with the reason: refusing the batch would make the node send
/// it again for ever.
pub(crate) fn read_batch(batch: &mut AuditBatch, now_ms: u64) -> Vec<IncomingEvent> {
    let node = batch.node.clone();
    std::mem::take(&mut batch.events)
        .into_iter()
        .map(|incoming| {
            let mut json = incoming.json;
            let event = read(&node, &mut json, now_ms);
            IncomingEvent { sequence: incoming.sequence, json, event }
        })
        .collect()
}

/// The JSON is written anew only where the event left node or time to the batch, or says another node's name.
fn read(node: &str, json: &mut String, now_ms: u64) -> Result<ReadEvent, String> {
    let mut event: Event = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let is_whole = event.node == node && !event.time.is_empty();
    node.clone_into(&mut event.node);
    if event.time.is_empty() {
        event.time = penstock_core::audit::timestamp(now_ms);
    }
    let time_ms = moment::parse(&event.time, now_ms).map_err(|error| format!("time: {error}"))?;
    if !is_whole {
        *json = serde_json::to_string(&event).map_err(|error| error.to_string())?;
    }
    Ok(ReadEvent { event, time_ms })
}
