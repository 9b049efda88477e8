//! The report's filters as a form gives them.

use std::collections::BTreeMap;

use crate::admin::Problem;
use crate::audit::moment;
use crate::store::EventQuery;

/// Filters that compare a whole value: parameter, what the form calls it.
pub(super) const NAMED: [(&str, &str); 7] = [
    ("user", "User"),
    ("application", "Application"),
    ("client", "Client"),
    ("connector", "Connector"),
    ("source", "Source"),
    ("target_tenant", "Target tenant"),
    ("status", "Status"),
];

/// What the query string says.
pub(super) struct Filter(BTreeMap<String, String>);

impl Filter {
    pub(super) fn new(query: BTreeMap<String, String>) -> Self {
        Self(query.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// A parameter's text; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Adds a parameter where the query has none.
    pub(super) fn or(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        self
    }

    /// The parameters of the filters and the interval as a query string, with others behind.
    pub(super) fn link(&self, more: &[(&str, &str)]) -> String {
        let own = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = own.filter(|(name, _)| is_filter(name) && !more.iter().any(|(other, _)| other == name));
        let pairs: Vec<String> = own.chain(more.iter().copied()).map(|(name, value)| pair(name, value)).collect();
        pairs.join("&")
    }

    pub(super) fn query(&self, now_ms: u64) -> Result<EventQuery, Problem> {
        let moment_of = |name: &str| match self.text(name) {
            "" => Ok(None),
            text => {
                moment::parse(text, now_ms).map(Some).map_err(|error| Problem::bad_request(format!("{name}: {error}")))
            }
        };
        let mut equals = Vec::new();
        for (name, _) in NAMED {
            if !self.text(name).is_empty() {
                equals.push((name, self.text(name).split(',').map(|value| value.trim().to_owned()).collect()));
            }
        }
        let cursor = self.text("cursor").parse().ok();
        let (since_ms, until_ms) = (moment_of("since")?, moment_of("until")?);
        Ok(EventQuery { since_ms, until_ms, equals, cursor, count_max: PAGE, ..EventQuery::default() })
    }
}

/// Everything that was refused, or would have been.
pub(super) fn denials() -> EventQuery {
    let statuses = vec!["denied".to_owned(), "would_deny".to_owned()];
    EventQuery { equals: vec![("status", statuses)], count_max: PAGE, ..EventQuery::default() }
}

fn is_filter(name: &str) -> bool {
    matches!(name, "since" | "until" | "unmask") || NAMED.iter().any(|(known, _)| *known == name)
}

fn pair(name: &str, value: &str) -> String {
    format!("{name}={}", super::frame::escaped(value))
}

/// Rows of a page.
const PAGE: usize = 100;
