//! The admin listener as an operator's script sees it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::wait;

/// The admin listener and the token for it.
pub struct Admin {
    base: String,
    token: String,
    agent: ureq::Agent,
}

/// Status and body.
pub type Reply = (u16, String);

impl Admin {
    /// Takes the address and the token of a running appliance.
    pub fn new(base: &str, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(wait::LIMIT))
            .build();
        Self { base: base.to_owned(), token: token.trim().to_owned(), agent: config.into() }
    }

    /// GET without a token.
    pub fn open_get(&self, path: &str) -> Reply {
        let url = format!("{}{path}", self.base);
        let mut response = self.agent.get(&url).call().unwrap_or_else(|error| panic!("GET {url}: {error}"));
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// GET without a token, where the listener may be gone.
    pub fn try_status(&self, path: &str) -> Option<u16> {
        self.agent.get(format!("{}{path}", self.base)).call().ok().map(|response| response.status().as_u16())
    }

    /// GET with the token.
    pub fn get(&self, path: &str) -> Reply {
        let url = format!("{}{path}", self.base);
        let request = self.agent.get(&url).header("Authorization", &format!("Bearer {}", self.token));
        let mut response = request.call().unwrap_or_else(|error| panic!("GET {url}: {error}"));
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// GET of JSON with the token; anything but 200 ends the test.
    pub fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// Sends `body` with the token and a content type.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> Reply {
        let url = format!("{}{path}", self.base);
        let request = match method {
            "PUT" => self.agent.put(&url),
            "POST" => self.agent.post(&url),
            _ => panic!("{method}"),
        };
        let request =
            request.header("Authorization", &format!("Bearer {}", self.token)).header("Content-Type", content_type);
        let mut response = request.send(body).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// PUT of a policy document in TOML, and its new epoch.
    pub fn apply(&self, policy: &str) -> u64 {
        let (status, body) = self.send("PUT", "/api/v1/policy", "application/toml", policy);
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["epoch"].as_u64().unwrap_or_else(|| panic!("no epoch in {body}"))
    }

    /// The audit events that a filter finds, oldest first.
    pub fn events(&self, query: &str) -> Vec<Value> {
        let answer = self.json(&format!("/api/v1/events?{query}"));
        let mut events = answer["events"].as_array().unwrap_or_else(|| panic!("no events in {answer}")).clone();
        events.sort_by_key(|event| event["time"].as_str().unwrap_or("").to_owned());
        events
    }

    /// Waits until a filter finds so many events.
    pub fn await_events(&self, query: &str, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} events for {query}"), || {
            let events = self.events(query);
            (events.len() >= count).then_some(events)
        })
    }

    /// Every sample of `/metrics` by its name and labels, as written.
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.open_get("/metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::parse(&body)
    }
}

/// A scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    /// `# TYPE` of each family.
    pub kinds: BTreeMap<String, String>,
}

impl Metrics {
    /// Reads the text format.
    pub fn parse(text: &str) -> Self {
        let (mut samples, mut kinds) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                kinds.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#')
                && let Some((series, value)) = line.rsplit_once(' ')
            {
                samples.insert(series.to_owned(), value.parse().unwrap());
            }
        }
        Self { samples, kinds }
    }

    /// Sum of the series of `name` that have every one of `labels`, written `key="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let has = |series: &str| {
            let (family, rest) = series.split_once('{').unwrap_or((series, ""));
            family == name && labels.iter().all(|label| rest.contains(label))
        };
        self.samples.iter().filter(|(series, _)| has(series)).map(|(_, value)| value).sum()
    }

    /// Value of the one series that is written like that, labels and all.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The series of `name`, as written.
    pub fn series(&self, name: &str) -> Vec<&str> {
        let of = |series: &&str| series.split('{').next() == Some(name);
        self.samples.keys().map(String::as_str).filter(of).collect()
    }
}
