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
            let event = read(&node, &incoming.json, now_ms);
            // The stored JSON names the node, also when the event left that to the batch.
            let json = event.as_ref().ok().and_then(|read| serde_json::to_string(&read.event).ok());
            IncomingEvent { sequence: incoming.sequence, json: json.unwrap_or(incoming.json), event }
        })
        .collect()
}

fn read(node: &str, json: &str, now_ms: u64) -> Result<ReadEvent, String> {
    let mut event: Event = serde_json::from_str(json).map_err(|error| error.to_string())?;
    event.node = node.to_owned();
    if event.time.is_empty() {
        event.time = penstock_core::audit::timestamp(now_ms);
    }
    let time_ms = moment::parse(&event.time, now_ms).map_err(|error| format!("time: {error}"))?;
    Ok(ReadEvent { event, time_ms })
}
