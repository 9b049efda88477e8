//! The report: a row for each sign-in, under the headings that identity engineers know from Microsoft's, as JSON and CSV.

use penstock_core::audit::{Event, timestamp};
use serde_json::{Map, Value};

use super::export::push_cell;
use super::{masked_address, masked_name, moment};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name in queries and in JSON.
    pub(crate) key: &'static str,
    pub(crate) heading: &'static str,
}

/// How moments are written in the column `date`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dates {
    /// Minutes east of UTC.
    offset_minutes: i64,
}

/// One sign-in, its cells in the order of [`Column::ALL`].
pub(crate) struct Row([Option<String>; Column::ALL.len()]);

const fn column(key: &'static str, heading: &'static str) -> Column {
    Column { key, heading }
}

impl Column {
    pub(crate) const ALL: [Self; 13] = [
        column("user", "User"),
        column("username", "Username"),
        column("application", "Application"),
        column("status", "Status"),
        column("date", "Date"),
        column("date_utc", "Date (UTC)"),
        column("ip_address", "IP address"),
        column("client", "Client"),
        column("location", "Location"),
        column("target_tenant_id", "Target tenant ID"),
        column("connector", "Connector"),
        column("code", "Code"),
        column("vendor_request_id", "Vendor request ID"),
    ];

    /// Reads `user,status`; the first key that there is not otherwise.
    pub(crate) fn choose(keys: &str) -> Result<Vec<Self>, String> {
        let find = |key: &str| Self::ALL.into_iter().find(|column| column.key == key).ok_or_else(|| key.to_owned());
        keys.split(',').map(|key| find(key.trim())).collect()
    }
}

impl Dates {
    /// Reads `+01:00`.
    pub(crate) fn parse(offset: &str) -> Option<Self> {
        // The beginning of 1970 in that zone, put a day later so that none lies before it.
        let ahead = moment::parse(&format!("1970-01-02T00:00:00{offset}"), 0).ok()?;
        let minutes = 24 * 60 - i64::try_from(ahead / 60_000).ok()?;
        Some(Self { offset_minutes: minutes })
    }

    fn write(self, unix_ms: u64) -> String {
        let utc = timestamp(unix_ms.saturating_add_signed(self.offset_minutes * 60_000));
        if self.offset_minutes == 0 {
            return utc;
        }
        let (sign, minutes) =
            if self.offset_minutes < 0 { ('-', -self.offset_minutes) } else { ('+', self.offset_minutes) };
        format!("{}{sign}{:02}:{:02}", utc.trim_end_matches('Z'), minutes / 60, minutes % 60)
    }
}

impl Row {
    /// The row of an event; who it was is masked or not.
    pub(crate) fn new(event: Event, dates: Dates, is_masked: bool) -> Self {
        let date = moment::parse(&event.time, 0).map(|unix_ms| dates.write(unix_ms)).ok();
        let (user, username, source) = match is_masked {
            true => {
                let hide = |name: Option<String>| name.map(|name| masked_name(&name));
                (hide(event.user), hide(event.username), masked_address(&event.source))
            }
            false => (event.user, event.username, event.source),
        };
        let Event { application, status, client, site, target_tenant, connector, code, vendor_request_id, .. } = event;
        Self([
            user,
            username,
            application,
            Some(status),
            date,
            Some(event.time),
            Some(source),
            client,
            site,
            target_tenant,
            connector,
            code,
            vendor_request_id,
        ])
    }

    fn cell(&self, column: Column) -> Option<&str> {
        let place = Column::ALL.iter().position(|known| *known == column)?;
        self.0.get(place)?.as_deref()
    }

    /// An object of the chosen columns.
    pub(crate) fn json(&self, columns: &[Column]) -> Value {
        let field = |column: &Column| (column.key.to_owned(), self.cell(*column).map_or(Value::Null, Value::from));
        Value::Object(columns.iter().map(field).collect::<Map<_, _>>())
    }
}

/// The first line of CSV.
pub(crate) fn report_header(columns: &[Column]) -> String {
    let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    format!("{}\r\n", headings.join(","))
}

/// One line of CSV.
pub(crate) fn report_line(row: &Row, columns: &[Column]) -> String {
    let mut line = String::new();
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        push_cell(&mut line, row.cell(*column).unwrap_or_default());
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            time: "2026-11-21T23:30:00.000Z".to_owned(),
            user: Some("alice@contoso.com".to_owned()),
            username: Some("a***".to_owned()),
            source: "10.1.2.3".to_owned(),
            status: "denied".to_owned(),
            client: Some("=2+3".to_owned()),
            ..Event::default()
        }
    }

    #[test]
    fn who_it_was_is_masked_unless_it_may_be_seen() {
        let columns = Column::choose("user,username,ip_address").unwrap();
        let masked = Row::new(event(), Dates::default(), true).json(&columns).to_string();
        assert!(
            !masked.contains("alice") && masked.contains("a***@contoso.com") && masked.contains("10.1.2.0/24"),
            "{masked}"
        );
        let clear = Row::new(event(), Dates::default(), false).json(&columns);
        assert_eq!((&clear["user"], &clear["ip_address"]), (&"alice@contoso.com".into(), &"10.1.2.3".into()));
    }

    #[test]
    fn dates_are_written_in_the_zone_that_is_asked_for() {
        for (offset, date) in [
            ("Z", "2026-11-21T23:30:00.000Z"),
            ("+01:00", "2026-11-22T00:30:00.000+01:00"),
            ("-05:30", "2026-11-21T18:00:00.000-05:30"),
        ] {
            let row = Row::new(event(), Dates::parse(offset).unwrap(), false);
            let told = row.json(&Column::choose("date,date_utc").unwrap());
            assert_eq!((&told["date"], &told["date_utc"]), (&date.into(), &"2026-11-21T23:30:00.000Z".into()));
        }
        assert!(Dates::parse("Berlin").is_none() && Dates::parse("+25:00").is_none());
    }

    #[test]
    fn csv_has_the_chosen_columns_and_runs_no_formula() {
        let columns = Column::choose("status,client,code").unwrap();
        assert_eq!(report_header(&columns), "Status,Client,Code\r\n");
        assert_eq!(report_line(&Row::new(event(), Dates::default(), false), &columns), "denied,\"'=2+3\",\r\n");
        assert_eq!(Column::choose("status,colour"), Err("colour".to_owned()));
    }
}
