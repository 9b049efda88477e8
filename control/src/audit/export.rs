//! Events as CSV (RFC 4180), safe to open in a spreadsheet.

use penstock_core::audit::Event;

/// The columns, named as the event's fields, in the order of the report.
pub(crate) const COLUMNS: &[&str] = &[
    "time",
    "node",
    "site",
    "shard",
    "flow",
    "source",
    "user",
    "username",
    "application",
    "client",
    "connector",
    "profile",
    "mode",
    "epoch",
    "sni",
    "http",
    "method",
    "path",
    "target_tenant",
    "status",
    "code",
    "vendor_request_id",
    "headers_set",
    "headers_stripped",
    "fault",
];

/// The first line.
pub(crate) fn csv_header() -> String {
    let mut line = COLUMNS.join(",");
    line.push_str("\r\n");
    line
}

/// One event as a line.
pub(crate) fn csv_line(event: &Event) -> String {
    // By way of JSON, so that a field that is added to the event cannot be forgotten here unnoticed: the test compares
    // the names.
    let value = serde_json::to_value(event).unwrap_or_default();
    let mut line = String::new();
    for (index, column) in COLUMNS.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        push_cell(&mut line, &cell(value.get(column)));
    }
    line.push_str("\r\n");
    line
}

fn cell(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

/// A cell that begins like a formula gets an apostrophe: path, client and tenant come from the network, and a
/// spreadsheet would run them (OWASP "CSV injection").
pub(super) fn push_cell(line: &mut String, cell: &str) {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let quoted = formula || cell.contains([',', '"', '\r', '\n', ';']) || cell.starts_with(' ') || cell.ends_with(' ');
    if !quoted {
        line.push_str(cell);
        return;
    }
    line.push('"');
    if formula {
        line.push('\'');
    }
    line.push_str(&cell.replace('"', "\"\""));
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Event {
        let some = |text: &str| Some(text.to_owned());
        Event {
            time: "2026-11-21T12:00:00.000Z".to_owned(),
            node: "n".to_owned(),
            site: some("s"),
            shard: 3,
            flow: "0-1-2".to_owned(),
            source: "::1".to_owned(),
            user: some("u"),
            username: some("un"),
            application: some("a"),
            client: some("c"),
            connector: some("co"),
            profile: some("p"),
            mode: some("m"),
            epoch: Some(7),
            sni: some("sni"),
            http: some("1.1"),
            method: some("GET"),
            path: some("/"),
            target_tenant: some("t"),
            status: "allowed".to_owned(),
            code: some("AADSTS500021"),
            vendor_request_id: some("v"),
            headers_set: vec!["A".to_owned(), "B".to_owned()],
            headers_stripped: vec!["C".to_owned()],
            fault: some("f"),
        }
    }

    #[test]
    fn every_field_of_the_event_is_a_column() {
        let value = serde_json::to_value(full()).unwrap();
        let mut fields: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let mut columns = COLUMNS.to_vec();
        fields.sort_unstable();
        columns.sort_unstable();
        assert_eq!(fields, columns);
        assert_eq!(csv_line(&full()).matches(',').count(), csv_header().matches(',').count());
    }

    #[test]
    fn a_hostile_path_stays_one_harmless_cell() {
        for (raw, written) in [
            ("=HYPERLINK(\"http://x\",1)", "\"'=HYPERLINK(\"\"http://x\"\",1)\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("a\r\nb,c", "\"a\r\nb,c\""),
            ("/common/oauth2", "/common/oauth2"),
        ] {
            let mut line = String::new();
            push_cell(&mut line, raw);
            assert_eq!(line, written);
        }
    }
}
