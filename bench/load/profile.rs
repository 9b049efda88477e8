//! Declared workloads: a TOML file says which streams of operations a run is made of, how fast and for how long.
//!
//! Owns the format, its bounds, and the line that is named when a file is wrong. `shipped` holds the files that come
//! with the tool.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

/// A workload.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// One line for lists and reports.
    pub(crate) title: String,
    /// How long the load is held at its full height.
    pub(crate) sustain: Duration,
    /// How long it takes to get there.
    pub(crate) ramp: Duration,
    /// Client addresses, 127.0.0.1 and up; each has some 28,000 ports.
    pub(crate) sources: u8,
    pub(crate) streams: Vec<Stream>,
}

/// One kind of operation, repeated.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) verdict: Verdict,
    pub(crate) work: Work,
    /// Offer the hybrid post-quantum key exchange too; otherwise X25519 alone, which every peer has.
    pub(crate) hybrid: bool,
    pub(crate) pace: Pace,
}

/// What the proxy is expected to do with the flow; picks the root that the handshake is verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Deny,
    Inspect,
    Pass,
}

/// What one operation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Send a ClientHello, read the first answer, close: the proxy's work without ours.
    Hello(HelloKind),
    /// Open a flow and hold it to the end; no hello means a whole handshake.
    Idle(Option<HelloKind>),
    /// Requests with their whole answers.
    Request(Requests),
    /// The hello a byte at a time.
    SlowHello { kind: HelloKind, interval: Duration },
}

/// How requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) http: Http,
    pub(crate) connection: Life,
    /// Requests of a connection, one after the other. A kept connection has no end unless this is said.
    pub(crate) requests: Option<Turns>,
    /// Bytes of each answer.
    pub(crate) bytes: Turns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Http {
    #[serde(rename = "1.1")]
    One,
    #[serde(rename = "2")]
    Two,
}

/// A connection's part in an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Life {
    /// It stays; an operation is one request.
    Kept,
    /// An operation is a connection with a full handshake and its requests.
    New,
    /// The same with a session of an earlier one.
    Resumed,
}

/// Where the bytes of a hello come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HelloKind {
    /// Captured from real clients.
    Recorded,
    /// Made once by this tool's TLS library for the stream's host.
    Synthetic,
}

/// When operations start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// Operations under way at once, at most.
    pub(crate) concurrency: u32,
    /// Open loop: operations a second, each with its own due time. None is a closed loop: the next one when one is done.
    pub(crate) rate: Option<f64>,
}

/// A number, or several taken in turn.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMore")]
pub(crate) struct Turns(Vec<u64>);

/// Why a file is no profile.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProfileError {
    file: String,
    line: usize,
    reason: String,
}

impl Profile {
    /// Reads `text`; `file` is named in the error.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, ProfileError> {
        let fail = |span: Option<std::ops::Range<usize>>, reason: &str| {
            let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            ProfileError { file: file.to_owned(), line, reason: reason.trim().to_owned() }
        };
        let raw: RawProfile = toml::from_str(text).map_err(|error| fail(error.span(), error.message()))?;
        let mut streams: Vec<Stream> = Vec::new();
        for raw in raw.stream {
            let span = raw.span();
            let stream = raw.into_inner().check().map_err(|reason| fail(Some(span.clone()), &reason))?;
            if streams.iter().any(|other| other.name == stream.name) {
                return Err(fail(Some(span), &format!("there are two streams called `{}`", stream.name)));
            }
            streams.push(stream);
        }
        if streams.is_empty() {
            return Err(fail(None, "there is no [[stream]]"));
        }
        let flows: u64 = streams.iter().map(|stream| u64::from(stream.pace.concurrency)).sum();
        if flows > u64::from(CONCURRENCY_MAX) {
            return Err(fail(
                None,
                &format!("{flows} operations at once over all streams, {CONCURRENCY_MAX} are allowed"),
            ));
        }
        Ok(Self {
            title: raw.title,
            sustain: Duration::from_secs(raw.seconds.0),
            ramp: Duration::from_secs(raw.ramp_seconds.0),
            sources: raw.sources.0,
            streams,
        })
    }

    /// Multiplies every rate and every concurrency, within the bounds of a profile.
    pub(crate) fn scale(&mut self, factor: f64) {
        for stream in &mut self.streams {
            let pace = &mut stream.pace;
            pace.rate = pace.rate.map(|rate| (rate * factor).clamp(RATE_MIN, RATE_MAX));
            let scaled = (f64::from(pace.concurrency) * factor).round();
            pace.concurrency = (scaled as u32).clamp(1, CONCURRENCY_MAX);
        }
    }
}

impl Stream {
    /// True where flows stay open, so that their number is to be constant while the load is held.
    pub(crate) const fn holds(&self) -> bool {
        match &self.work {
            Work::Idle(_) => true,
            Work::Request(requests) => matches!(requests.connection, Life::Kept) && requests.requests.is_none(),
            Work::Hello(_) | Work::SlowHello { .. } => false,
        }
    }
}

impl Turns {
    /// The value of turn `number`.
    pub(crate) fn at(&self, number: u64) -> u64 {
        let count = self.0.len().max(1) as u64;
        self.0.get(usize::try_from(number % count).unwrap_or_default()).copied().unwrap_or_default()
    }

    fn all(&self, range: std::ops::RangeInclusive<u64>) -> bool {
        self.0.iter().all(|value| range.contains(value))
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

impl std::error::Error for ProfileError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    title: String,
    seconds: Bounded<1, 3_600>,
    #[serde(default)]
    ramp_seconds: Bounded<0, 600>,
    #[serde(default = "one_source")]
    sources: Sources,
    stream: Vec<Spanned<RawStream>>,
}

/// As written; what does not belong to the operation is an error, not silence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStream {
    name: String,
    host: String,
    verdict: Verdict,
    operation: Operation,
    http: Option<Http>,
    connection: Option<Life>,
    requests: Option<Turns>,
    bytes: Option<Turns>,
    hello: Option<HelloKind>,
    byte_ms: Option<Bounded<1, 10_000>>,
    #[serde(default)]
    hybrid: bool,
    rate: Option<f64>,
    concurrency: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Operation {
    Hello,
    Idle,
    Request,
    SlowHello,
}

impl RawStream {
    fn check(self) -> Result<Stream, String> {
        let sound = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.');
        if !(1..=40).contains(&self.name.len()) || !sound(&self.name) {
            return Err("a stream's name is 1 to 40 letters, digits, `-` and `.`".to_owned());
        }
        let (pace, work) = (self.pace()?, self.work()?);
        if !(1..=253).contains(&self.host.len()) || !sound(&self.host) {
            return Err(format!("`{}` is not a host name", self.host));
        }
        if self.verdict == Verdict::Deny && !matches!(work, Work::Hello(_)) {
            return Err("a denied flow gets no further than its hello: `operation` must be \"hello\"".to_owned());
        }
        if work.is_recorded() && (self.verdict == Verdict::Inspect || self.host != RECORDED_HOST) {
            return Err(format!(
                "recorded hellos ask for {RECORDED_HOST}: `host` must say so, and it is not inspected"
            ));
        }
        let Self { name, host, verdict, hybrid, .. } = self;
        Ok(Stream { name, host, verdict, work, hybrid, pace })
    }

    fn work(&self) -> Result<Work, String> {
        let is_request = self.operation == Operation::Request;
        let of_requests = [
            ("http", self.http.is_some()),
            ("connection", self.connection.is_some()),
            ("requests", self.requests.is_some()),
            ("bytes", self.bytes.is_some()),
        ];
        let stray = of_requests.into_iter().find(|(_, given)| *given && !is_request);
        let stray =
            stray.or_else(|| [("hello", self.hello.is_some())].into_iter().find(|(_, given)| *given && is_request));
        let is_slow = self.operation == Operation::SlowHello;
        let stray =
            stray.or_else(|| [("byte_ms", self.byte_ms.is_some())].into_iter().find(|(_, given)| *given && !is_slow));
        if let Some((field, _)) = stray {
            return Err(format!("`{field}` means nothing to this operation"));
        }
        let kind = self.hello.unwrap_or(HelloKind::Synthetic);
        Ok(match self.operation {
            Operation::Hello => Work::Hello(kind),
            Operation::Idle => Work::Idle(self.hello),
            Operation::SlowHello => {
                let byte_ms = self.byte_ms.as_ref().ok_or("a slow hello needs `byte_ms`")?;
                Work::SlowHello { kind, interval: Duration::from_millis(byte_ms.0) }
            }
            Operation::Request => Work::Request(self.requests()?),
        })
    }

    fn requests(&self) -> Result<Requests, String> {
        let bytes = self.bytes.clone().ok_or("a request needs `bytes`")?;
        if !bytes.all(0..=BYTES_MAX) {
            return Err(format!("`bytes` is 0 to {BYTES_MAX}"));
        }
        if self.requests.as_ref().is_some_and(|requests| !requests.all(1..=REQUESTS_MAX)) {
            return Err(format!("`requests` is 1 to {REQUESTS_MAX}"));
        }
        Ok(Requests {
            http: self.http.ok_or("a request needs `http`")?,
            connection: self.connection.ok_or("a request needs `connection`")?,
            requests: self.requests.clone(),
            bytes,
        })
    }

    fn pace(&self) -> Result<Pace, String> {
        if self.rate.is_none() && self.concurrency.is_none() {
            return Err("a stream needs `rate` (open loop) or `concurrency` (closed loop)".to_owned());
        }
        if self.rate.is_some_and(|rate| !(RATE_MIN..=RATE_MAX).contains(&rate)) {
            return Err(format!("`rate` is {RATE_MIN} to {RATE_MAX} a second"));
        }
        if self.rate.is_some() && self.operation == Operation::Idle {
            return Err("flows that are held have a `concurrency`; `ramp_seconds` says how fast they come".to_owned());
        }
        let concurrency = self.concurrency.unwrap_or(OPEN_LOOP_CONCURRENCY);
        if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
            return Err(format!("`concurrency` is 1 to {CONCURRENCY_MAX}"));
        }
        Ok(Pace { concurrency, rate: self.rate })
    }
}

impl Work {
    const fn is_recorded(&self) -> bool {
        matches!(
            self,
            Self::Hello(HelloKind::Recorded)
                | Self::Idle(Some(HelloKind::Recorded))
                | Self::SlowHello { kind: HelloKind::Recorded, .. }
        )
    }
}

/// A number within bounds; the error names the number's own line.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "u64")]
struct Bounded<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> TryFrom<u64> for Bounded<MIN, MAX> {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not within {MIN} to {MAX}"))
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Sources(u8);

impl TryFrom<u64> for Sources {
    type Error = String;

    fn try_from(value: u64) -> Result<Self, String> {
        let sources = u8::try_from(value).ok().filter(|value| (1..=SOURCES_MAX).contains(value));
        sources.map(Self).ok_or_else(|| format!("`sources` is 1 to {SOURCES_MAX}"))
    }
}

const fn one_source() -> Sources {
    Sources(1)
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number or a list of numbers")]
enum OneOrMore {
    More(Vec<u64>),
    One(u64),
}

impl TryFrom<OneOrMore> for Turns {
    type Error = &'static str;

    fn try_from(raw: OneOrMore) -> Result<Self, Self::Error> {
        match raw {
            OneOrMore::One(value) => Ok(Self(vec![value])),
            OneOrMore::More(values) if (1..=TURNS_MAX).contains(&values.len()) => Ok(Self(values)),
            OneOrMore::More(_) => Err("a list has 1 to 1,000 numbers"),
        }
    }
}

/// The name in the recorded hellos.
pub(crate) const RECORDED_HOST: &str = "login.example.com";
const CONCURRENCY_MAX: u32 = 18_000;
const OPEN_LOOP_CONCURRENCY: u32 = 1_000;
const BYTES_MAX: u64 = 1 << 34;
const RATE_MAX: f64 = 1_000_000.0;
const RATE_MIN: f64 = 0.01;
const REQUESTS_MAX: u64 = 1_000_000;
const SOURCES_MAX: u8 = 200;
const TURNS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"title = "Two"
seconds = 3
ramp_seconds = 1

[[stream]]
name = "in"
host = "login.microsoftonline.com"
verdict = "inspect"
operation = "request"
http = "2"
connection = "new"
requests = [8, 20]
bytes = 1024
rate = 50

[[stream]]
name = "held"
host = "www.example.com"
verdict = "pass"
operation = "idle"
concurrency = 100
"#;

    /// The error's line and reason after a change of the good text.
    fn wrong(from: &str, to: &str) -> (usize, String) {
        assert!(GOOD.contains(from), "{from}");
        let error = Profile::parse("x.toml", &GOOD.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.file, "x.toml");
        (error.line, error.reason)
    }

    #[test]
    fn what_is_declared_is_what_is_read() {
        let profile = Profile::parse("x.toml", GOOD).unwrap();
        assert_eq!((profile.sustain, profile.ramp), (Duration::from_secs(3), Duration::from_secs(1)));
        let [first, second] = profile.streams.as_slice() else { panic!("two streams") };
        let Work::Request(requests) = &first.work else { panic!("requests") };
        assert_eq!((requests.http, requests.connection), (Http::Two, Life::New));
        let turns = requests.requests.as_ref().unwrap();
        assert_eq!([turns.at(0), turns.at(1), turns.at(2)], [8, 20, 8]);
        assert_eq!(first.pace, Pace { concurrency: OPEN_LOOP_CONCURRENCY, rate: Some(50.0) });
        assert_eq!((&second.work, second.holds(), first.holds()), (&Work::Idle(None), true, false));
    }

    #[test]
    fn an_error_names_the_line_and_the_reason() {
        for (from, to, line, reason) in [
            ("seconds = 3", "seconds = 0", 2, "0 is not within 1 to 3600"),
            ("seconds = 3", "seconds = \"3\"", 2, "invalid type"),
            ("rate = 50", "pace = 50", 14, "unknown field `pace`"),
            ("http = \"2\"", "http = \"3\"", 10, "unknown variant `3`"),
            ("bytes = 1024", "bytes = \"1k\"", 13, "a number or a list of numbers"),
            ("requests = [8, 20]", "requests = []", 12, "1 to 1,000 numbers"),
            ("rate = 50\n", "\n", 5, "`rate` (open loop) or `concurrency`"),
            ("rate = 50", "rate = 0", 5, "`rate` is 0.01 to 1000000"),
            ("requests = [8, 20]", "requests = 0", 5, "`requests` is 1 to"),
            ("bytes = 1024\n", "\n", 5, "a request needs `bytes`"),
            ("name = \"held\"", "name = \"in\"", 16, "two streams called `in`"),
            ("operation = \"idle\"", "operation = \"idle\"\nbytes = 5", 16, "`bytes` means nothing"),
            ("operation = \"idle\"", "operation = \"hello\"\nbyte_ms = 5", 16, "`byte_ms` means nothing"),
            ("operation = \"idle\"", "operation = \"slow-hello\"", 16, "needs `byte_ms`"),
            ("operation = \"idle\"", "operation = \"idle\"\nrate = 5", 16, "`ramp_seconds` says how fast"),
            ("operation = \"idle\"", "operation = \"idle\"\nhello = \"recorded\"", 16, "login.example.com"),
            ("verdict = \"pass\"", "verdict = \"deny\"", 16, "no further than its hello"),
            ("concurrency = 100", "concurrency = 18000", 1, "18000 are allowed"),
            ("title = \"Two\"", "title = Two", 1, ""),
        ] {
            let (found_line, found) = wrong(from, to);
            assert!(found.contains(reason), "{to}: {found}");
            assert_eq!(found_line, line, "{to}: {found}");
        }
        let none = "title = \"None\"\nseconds = 1\nstream = []\n";
        assert!(Profile::parse("x.toml", none).unwrap_err().to_string().contains("x.toml:1: there is no [[stream]]"));
    }

    #[test]
    fn a_scale_moves_rates_and_concurrency() {
        let mut profile = Profile::parse("x.toml", GOOD).unwrap();
        profile.scale(0.1);
        assert_eq!(profile.streams[0].pace.rate, Some(5.0));
        assert_eq!(profile.streams[1].pace.concurrency, 10);
        profile.scale(1e-9);
        assert_eq!(profile.streams[1].pace.concurrency, 1);
    }
}
