//! The audit against what was decided: each request that an origin has seen stands there once, and each denial.

use std::collections::BTreeMap;

use penstock_tests::appliance::Appliance;
use penstock_tests::http::Request;
use penstock_tests::wait;

use super::soak_load::DENIED;

/// Missing requests that a failure names.
const TOLD_MAX: usize = 50;

/// What the audit holds, as far as it was read.
#[derive(Default)]
pub(crate) struct Record {
    cursor: u64,
    events: usize,
    /// Of each path of the load.
    requests: BTreeMap<String, usize>,
    denied: usize,
}

impl Record {
    /// Waits until all of it is there; panics where it is there twice.
    pub(crate) fn await_all(&mut self, appliance: &Appliance, seen: &[Request], denied: usize) {
        let seen: Vec<&str> = seen.iter().map(Request::target).collect();
        let is_whole = |record: &mut Self| {
            record.read(appliance);
            let missing = seen.iter().filter(|path| !record.requests.contains_key(**path)).count();
            (missing, record.denied)
        };
        wait::within(wait::LIMIT, || (is_whole(self) == (0, denied)).then_some(()));
        let whole = is_whole(self);
        let missing: Vec<_> = seen.iter().filter(|path| !self.requests.contains_key(**path)).take(TOLD_MAX).collect();
        assert_eq!(
            whole,
            (0, denied),
            "requests without a record, and denials that are recorded; missing: {missing:?}"
        );
        let twice: Vec<_> = self.requests.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "recorded more than once: {twice:?}");
    }

    pub(crate) fn told(&self) -> String {
        format!("{} events: {} requests and {} denials, each once", self.events, self.requests.len(), self.denied)
    }

    /// Reads what is new.
    fn read(&mut self, appliance: &Appliance) {
        loop {
            let page = appliance.admin().json(&format!("/api/v1/events?order=asc&limit=10000&cursor={}", self.cursor));
            for event in page["events"].as_array().unwrap() {
                self.events += 1;
                self.denied += usize::from(event["status"] == "denied" && event["sni"] == DENIED);
                if let Some(path) = event["path"].as_str() {
                    *self.requests.entry(path.to_owned()).or_default() += 1;
                }
            }
            self.cursor = page["next"].as_u64().unwrap_or(self.cursor);
            if page["more"] != true {
                return;
            }
        }
    }
}
