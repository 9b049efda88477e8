//! Chooses the endpoint that a host stands for, and answers what every host answers.
//!
//! Owns the table of host names. `connection` asks it once per request.

use serde_json::json;

use crate::plain;
use crate::request::{Request, Sent};
use crate::response::{Content, Response};
use crate::seen::Record;
use crate::vendor;
use crate::vendor::allow_list::{self, AllowList};

/// Every endpoint with its state, and the record of what was received.
pub(crate) struct Services {
    pub(crate) record: Record,
    device_codes: vendor::entra::DeviceCodes,
}

/// Who answers for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    AllowList(&'static AllowList),
    Chatgpt,
    Claude,
    ClaudeApi,
    Consumer,
    Entra,
    Github,
    Google,
    GoogleCloud,
    OpenaiApi,
    Plain,
    Youtube,
}

impl Services {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, device_codes: vendor::entra::DeviceCodes::default() }
    }

    pub(crate) fn answer(&self, request: &Request) -> Response {
        if request.path() == "/__seen" {
            return self.seen(request);
        }
        if let Some(encoded) = request.path().strip_prefix("/__raw/") {
            return raw(encoded);
        }
        match Endpoint::of(&request.host) {
            Endpoint::AllowList(vendor) => vendor.answer(request),
            Endpoint::Chatgpt => vendor::chatgpt::answer(request),
            Endpoint::Claude => vendor::claude::answer(request),
            Endpoint::ClaudeApi => vendor::claude::answer_api(request),
            Endpoint::Consumer => vendor::consumer::answer(request),
            Endpoint::Entra => vendor::entra::answer(request, &self.device_codes),
            Endpoint::Github => vendor::github::answer(request),
            Endpoint::Google => vendor::google::answer(request),
            Endpoint::GoogleCloud => vendor::google_cloud::answer(request),
            Endpoint::OpenaiApi => vendor::openai::answer(request),
            Endpoint::Plain => plain::answer(request),
            Endpoint::Youtube => vendor::youtube::answer(request),
        }
    }

    fn seen(&self, request: &Request) -> Response {
        match request.method() {
            "GET" => Response::json(200, &self.record.seen(&request.host)).with("Cache-Control", "no-store"),
            "DELETE" => {
                self.record.forget(&request.host);
                Response::text(204, "")
            }
            _ => Response::json(405, &json!({ "error": { "code": "method_not_allowed" } })),
        }
    }
}

impl Endpoint {
    pub(crate) fn of(host: &str) -> Self {
        let exact = EXACT.iter().find(|(name, _)| *name == host);
        let below = || BELOW.iter().find(|(suffix, _)| host.ends_with(suffix));
        exact.or_else(below).map_or(Self::Plain, |(_, endpoint)| *endpoint)
    }
}

/// How a vendor answers a restriction header that it cannot read, or `None` when it can or was sent none.
pub(crate) fn unreadable<'a>(request: &'a Request, name: &str) -> Result<Option<&'a str>, &'static str> {
    match request.sent(name) {
        Sent::Absent => Ok(None),
        Sent::Duplicate => Err("it was sent more than once"),
        Sent::NotText => Err("it is not text"),
        Sent::Once(value) => Ok(Some(value)),
    }
}

fn raw(encoded: &str) -> Response {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    match URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')) {
        Ok(bytes) => Response::new(200, "", Content::Raw(bytes)).closing(),
        Err(_) => Response::json(400, &json!({ "error": { "code": "not_base64url" } })),
    }
}

const EXACT: &[(&str, Endpoint)] = &[
    ("anthropic.com", Endpoint::Claude),
    ("api.anthropic.com", Endpoint::ClaudeApi),
    ("api.github.com", Endpoint::Github),
    ("api.openai.com", Endpoint::OpenaiApi),
    ("app.asana.com", Endpoint::AllowList(&allow_list::ASANA)),
    ("chatgpt.com", Endpoint::Chatgpt),
    ("claude.ai", Endpoint::Claude),
    ("claude.com", Endpoint::Claude),
    ("cloud.ibm.com", Endpoint::AllowList(&allow_list::IBM_CLOUD)),
    ("cloudcode-pa.googleapis.com", Endpoint::AllowList(&allow_list::GEMINI_CODE_ASSIST)),
    ("dropbox.com", Endpoint::AllowList(&allow_list::DROPBOX)),
    ("github.com", Endpoint::Github),
    ("login.live.com", Endpoint::Consumer),
    ("login.microsoft.com", Endpoint::Entra),
    ("login.microsoftonline.com", Endpoint::Entra),
    ("login.windows.net", Endpoint::Entra),
    ("m.youtube.com", Endpoint::Youtube),
    ("notion.so", Endpoint::AllowList(&allow_list::NOTION)),
    ("slack.com", Endpoint::AllowList(&allow_list::SLACK)),
    ("www.youtube-nocookie.com", Endpoint::Youtube),
    ("www.youtube.com", Endpoint::Youtube),
    ("youtube.googleapis.com", Endpoint::Youtube),
    ("youtubei.googleapis.com", Endpoint::Youtube),
];

/// Tried after the exact names, in this order.
const BELOW: &[(&str, Endpoint)] = &[
    (".anthropic.com", Endpoint::Claude),
    (".chatgpt.com", Endpoint::Chatgpt),
    (".claude.ai", Endpoint::Claude),
    (".claude.com", Endpoint::Claude),
    (".cloud.ibm.com", Endpoint::AllowList(&allow_list::IBM_CLOUD)),
    (".dropbox.com", Endpoint::AllowList(&allow_list::DROPBOX)),
    (".gcr.io", Endpoint::GoogleCloud),
    (".githubcopilot.com", Endpoint::Github),
    (".google.com", Endpoint::Google),
    (".googleapis.com", Endpoint::GoogleCloud),
    (".notion.so", Endpoint::AllowList(&allow_list::NOTION)),
    (".pkg.dev", Endpoint::GoogleCloud),
    (".slack.com", Endpoint::AllowList(&allow_list::SLACK)),
    (".webex.com", Endpoint::AllowList(&allow_list::WEBEX)),
    (".wbx2.com", Endpoint::AllowList(&allow_list::WEBEX)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_find_their_endpoint_and_the_rest_is_plain() {
        assert_eq!(Endpoint::of("login.microsoftonline.com"), Endpoint::Entra);
        assert_eq!(Endpoint::of("device.login.microsoftonline.com"), Endpoint::Plain);
        assert_eq!(Endpoint::of("api.anthropic.com"), Endpoint::ClaudeApi);
        assert_eq!(Endpoint::of("console.anthropic.com"), Endpoint::Claude);
        assert_eq!(Endpoint::of("notclaude.ai"), Endpoint::Plain);
        assert_eq!(Endpoint::of("cloudcode-pa.googleapis.com"), Endpoint::AllowList(&allow_list::GEMINI_CODE_ASSIST));
        assert_eq!(Endpoint::of("storage.googleapis.com"), Endpoint::GoogleCloud);
        assert_eq!(Endpoint::of("contoso.slack.com"), Endpoint::AllowList(&allow_list::SLACK));
        assert_eq!(Endpoint::of("www.bank.example"), Endpoint::Plain);
    }

    #[test]
    fn every_host_shows_and_forgets_what_it_saw() {
        let services = Services::new(Record::new(None).unwrap());
        services.record.keep("claude.ai", 1, crate::seen::Kind::Head, b"GET / HTTP/1.1\r\nA: b\r\n\r\n").unwrap();
        let seen = services.answer(&Request::example("claude.ai", &["GET /__seen HTTP/1.1"], ""));
        assert_eq!(seen.body_json()["requests"][0]["headers"], json!(["A: b"]));
        assert_eq!(services.answer(&Request::example("claude.ai", &["DELETE /__seen HTTP/1.1"], "")).status, 204);
        let seen = services.answer(&Request::example("claude.ai", &["GET /__seen HTTP/1.1"], ""));
        assert_eq!(seen.body_json()["requests"], json!([]));
    }

    #[test]
    fn raw_bytes_are_answered_as_asked() {
        let services = Services::new(Record::new(None).unwrap());
        let answer = services.answer(&Request::example("a.example", &["GET /__raw/SFRUUA HTTP/1.1"], ""));
        assert_eq!(answer.content, Content::Raw(b"HTTP".to_vec()));
        assert_eq!(services.answer(&Request::example("a.example", &["GET /__raw/!! HTTP/1.1"], "")).status, 400);
    }
}
