//! OTLP logs as JSON (OpenTelemetry Protocol 1.5): a request for each batch.

use penstock_core::audit::Event;
use serde_json::{Value, json};

use super::collector::Collector;
use super::sink::SinkError;
use crate::audit::moment;

/// Takes logs.
pub(super) struct OtlpSink(Collector);

impl OtlpSink {
    pub(super) const fn new(collector: Collector) -> Self {
        Self(collector)
    }

    /// Answers how many of the events the collector took and threw away.
    pub(super) async fn deliver(&self, events: &[Event]) -> Result<u64, SinkError> {
        let answer = self.0.post(&logs(events)).await?;
        Ok(rejected(&answer))
    }
}

/// How many records the collector says it left out.
fn rejected(answer: &[u8]) -> u64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = answer.pointer("/partialSuccess/rejectedLogRecords");
    count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok())).unwrap_or(0)
}

/// An ExportLogsServiceRequest, as protobuf's JSON mapping has it.
fn logs(events: &[Event]) -> Value {
    let records: Vec<Value> = events.iter().map(record).collect();
    let service = json!({ "key": "service.name", "value": { "stringValue": "penstock" } });
    let scope = json!({ "name": "penstock.audit", "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceLogs": [{
        "resource": { "attributes": [service] },
        "scopeLogs": [{ "scope": scope, "logRecords": records }],
    }] })
}

fn record(event: &Event) -> Value {
    // Nanoseconds, a 64-bit number, which JSON writes as text.
    let nanoseconds = moment::parse(&event.time, 0).map(|ms| format!("{ms}000000")).unwrap_or_default();
    let (number, severity) = match event.status.as_str() {
        "allowed" => (9, "INFO"),
        "fault" => (13, "WARN"),
        _ => (10, "INFO2"),
    };
    let told = [Some(event.status.as_str()), event.connector.as_deref(), event.sni.as_deref()];
    let body: Vec<&str> = told.into_iter().flatten().collect();
    let fields = serde_json::to_value(event).ok();
    let fields = fields.as_ref().and_then(Value::as_object);
    let attributes: Vec<Value> = fields
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != "time")
        .map(|(name, value)| json!({ "key": format!("penstock.{name}"), "value": any_value(value) }))
        .collect();
    json!({
        "timeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": severity,
        "eventName": "penstock.audit",
        "body": { "stringValue": body.join(" ") },
        "attributes": attributes,
    })
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Array(values) => json!({ "arrayValue": { "values": values.iter().map(any_value).collect::<Vec<_>>() } }),
        Value::String(text) => json!({ "stringValue": text }),
        other => json!({ "stringValue": other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_events_time_and_fields() {
        let event = Event {
            time: "2026-11-21T23:59:59.999Z".to_owned(),
            status: "denied".to_owned(),
            connector: Some("slack".to_owned()),
            epoch: Some(7),
            headers_set: vec!["a".to_owned()],
            ..Event::default()
        };
        let logs = logs(&[event]);
        let record = logs.pointer("/resourceLogs/0/scopeLogs/0/logRecords/0").unwrap();
        assert_eq!(record["timeUnixNano"], "1795305599999000000");
        assert_eq!((&record["severityNumber"], &record["body"]["stringValue"]), (&10.into(), &"denied slack".into()));
        let attributes = record["attributes"].as_array().unwrap();
        let find = |key: &str| &attributes.iter().find(|one| one["key"] == key).unwrap()["value"];
        assert_eq!(find("penstock.epoch")["intValue"], "7");
        assert_eq!(find("penstock.headers_set")["arrayValue"]["values"][0]["stringValue"], "a");
        assert!(!attributes.iter().any(|one| one["key"] == "penstock.time"));
    }

    #[test]
    fn what_a_collector_left_out_is_read_as_number_or_text() {
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), 3);
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedLogRecords":2}}"#), 2);
        assert_eq!((rejected(b"{}"), rejected(b"ok")), (0, 0));
    }
}
