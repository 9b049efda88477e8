//! The vendors whose restriction is one list of accounts and no more: Slack, Asana, Dropbox, Webex, Notion, IBM Cloud,
//! Gemini Code Assist.
//!
//! Owns a table of what differs: header, form of an entry, whether a requester header must come with it, what the
//! refused user reads. The account is `account=` in the query, the cookie `account=`, or the bearer token; where the
//! entries are domains it is an address `user@domain`. Who names no account is not refused. The vendors' documents give
//! the texts in part and the status not at all: 403 stands here, 400 for what cannot be read.

use serde_json::json;

use crate::clock;
use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::{Response, escaped};

/// One vendor's list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AllowList {
    title: &'static str,
    header: &'static str,
    /// Must hold exactly one entry, and must come with the list.
    requester: Option<&'static str>,
    entry: Entry,
    refusal: &'static str,
    request_id: &'static str,
}

/// What an entry looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The account's domain is compared.
    Domain,
    Number,
    /// Starts with `T` or `E`.
    SlackTeam,
    Token,
}

impl AllowList {
    pub(crate) fn answer(&self, request: &Request) -> Response {
        let response = match self.allowed(request) {
            Err(what) => Response::json(400, &json!({ "ok": false, "error": "invalid_header", "message": what })),
            Ok(allowed) => self.judge(request, allowed.as_deref()),
        };
        response.with(self.request_id, clock::uuid())
    }

    fn judge(&self, request: &Request, allowed: Option<&[&str]>) -> Response {
        let account = request.query("account").or_else(|| request.cookie("account").map(str::to_owned));
        let Some(account) = account.or_else(|| request.bearer().map(str::to_owned)) else {
            return Response::page(200, self.title, "<p>Sign in.</p>");
        };
        let key = match self.entry {
            Entry::Domain => account.rsplit('@').next().unwrap_or_default(),
            _ => account.as_str(),
        };
        if allowed.is_none_or(|allowed| allowed.iter().any(|entry| entry.eq_ignore_ascii_case(key))) {
            return Response::page(200, self.title, &format!("<p>You are signed in to {}.</p>", escaped(&account)));
        }
        Response::page(403, self.title, &format!("<p>{}</p>", self.refusal))
    }

    fn allowed<'a>(&self, request: &'a Request) -> Result<Option<Vec<&'a str>>, String> {
        let read = |name: &str| unreadable(request, name).map_err(|what| format!("{name}: {what}"));
        let list = read(self.header)?;
        let requester = self.requester.map(|name| read(name).map(|value| (name, value))).transpose()?;
        match (list, requester) {
            (Some(_), Some((name, None))) => return Err(format!("{name}: it is missing")),
            (None, Some((_, Some(_)))) => return Err(format!("{}: it is missing", self.header)),
            (_, Some((name, Some(value)))) if !self.entry.is_well_formed(value) => {
                return Err(format!("{name}: it is not one id"));
            }
            _ => {}
        }
        let Some(list) = list else { return Ok(None) };
        let entries: Vec<&str> = list.split(',').map(str::trim).collect();
        match entries.iter().find(|entry| !self.entry.is_well_formed(entry)) {
            Some(entry) => Err(format!("{}: \"{entry}\" is no entry", self.header)),
            None => Ok(Some(entries)),
        }
    }
}

impl Entry {
    fn is_well_formed(self, entry: &str) -> bool {
        let word =
            |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match self {
            Self::Domain => entry.contains('.') && entry.split('.').all(word),
            Self::Number => !entry.is_empty() && entry.bytes().all(|byte| byte.is_ascii_digit()),
            Self::SlackTeam => entry.starts_with(['T', 'E']) && entry.len() > 1 && word(entry),
            Self::Token => word(entry),
        }
    }
}

pub(crate) static ASANA: AllowList = AllowList {
    title: "Asana",
    header: "Asana-Allowed-Domain-Ids",
    requester: Some("Asana-Allowed-Domains-Requester-Id"),
    entry: Entry::Number,
    refusal: "Your network administrator does not allow this Asana domain.",
    request_id: "x-request-id",
};

pub(crate) static DROPBOX: AllowList = AllowList {
    title: "Dropbox",
    header: "X-Dropbox-allowed-Team-Ids",
    requester: None,
    entry: Entry::Number,
    refusal: "Your company now manages Dropbox traffic. Sign in with your work account.",
    request_id: "x-dropbox-request-id",
};

pub(crate) static GEMINI_CODE_ASSIST: AllowList = AllowList {
    title: "Gemini Code Assist",
    header: "X-GeminiCodeAssist-Allowed-Domains",
    requester: None,
    entry: Entry::Domain,
    refusal: "Your network administrator does not allow this account to use Gemini Code Assist.",
    request_id: "x-request-id",
};

pub(crate) static IBM_CLOUD: AllowList = AllowList {
    title: "IBM Cloud",
    header: "IBM-Cloud-Tenant",
    requester: None,
    entry: Entry::Token,
    refusal: "Your network administrator does not allow this account.",
    request_id: "x-request-id",
};

pub(crate) static NOTION: AllowList = AllowList {
    title: "Notion",
    header: "X-Notion-Allowed-Workspaces",
    requester: None,
    entry: Entry::Token,
    refusal: "Your network administrator does not allow this workspace.",
    request_id: "x-notion-request-id",
};

pub(crate) static SLACK: AllowList = AllowList {
    title: "Slack",
    header: "X-Slack-Allowed-Workspaces",
    requester: Some("X-Slack-Allowed-Workspaces-Requester"),
    entry: Entry::SlackTeam,
    refusal: "Your network administrator does not allow you to sign in to this workspace.",
    request_id: "x-slack-req-id",
};

pub(crate) static WEBEX: AllowList = AllowList {
    title: "Webex",
    header: "CiscoSpark-Allowed-Domains",
    requester: None,
    entry: Entry::Domain,
    refusal: "Your network administrator does not allow you to sign in with this e-mail address.",
    request_id: "trackingid",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(vendor: &AllowList, account: &str, headers: &[&str]) -> u16 {
        let line = format!("GET /signin?account={account} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        vendor.answer(&Request::example("host.example", &lines, "")).status
    }

    #[test]
    fn the_list_decides() {
        for (vendor, own, foreign, headers) in [
            (&DROPBOX, "123", "999", &["X-Dropbox-allowed-Team-Ids: 123,456"][..]),
            (&IBM_CLOUD, "abc", "xyz", &["IBM-Cloud-Tenant: abc"]),
            (&NOTION, "0f0f", "e0e0", &["X-Notion-Allowed-Workspaces: 0f0f"]),
            (&WEBEX, "a%40contoso.com", "a%40evil.example", &["CiscoSpark-Allowed-Domains: contoso.com"]),
            (&GEMINI_CODE_ASSIST, "a%40contoso.com", "a%40b.c", &["X-GeminiCodeAssist-Allowed-Domains: contoso.com"]),
            (&SLACK, "T1", "T9", &["X-Slack-Allowed-Workspaces: T1,E2", "X-Slack-Allowed-Workspaces-Requester: E2"]),
            (&ASANA, "1", "9", &["Asana-Allowed-Domain-Ids: 1,2", "Asana-Allowed-Domains-Requester-Id: 1"]),
        ] {
            assert_eq!(sign_in(vendor, own, headers), 200, "{}", vendor.title);
            assert_eq!(sign_in(vendor, foreign, headers), 403, "{}", vendor.title);
            assert_eq!(sign_in(vendor, foreign, &[]), 200, "{}", vendor.title);
            let copied: Vec<&str> = headers.iter().chain(headers).copied().collect();
            assert_eq!(sign_in(vendor, own, &copied), 400, "{}", vendor.title);
        }
    }

    #[test]
    fn the_requester_is_one_id_and_must_be_there() {
        let list = "X-Slack-Allowed-Workspaces: T1";
        assert_eq!(sign_in(&SLACK, "T1", &[list]), 400);
        assert_eq!(sign_in(&SLACK, "T1", &["X-Slack-Allowed-Workspaces-Requester: E2"]), 400);
        assert_eq!(sign_in(&SLACK, "T1", &[list, "X-Slack-Allowed-Workspaces-Requester: E2,E3"]), 400);
        assert_eq!(sign_in(&SLACK, "T1", &["X-Slack-Allowed-Workspaces: everyone"]), 400);
    }

    #[test]
    fn the_refused_user_reads_the_vendors_words() {
        let lines = ["GET /?account=9 HTTP/1.1", "X-Dropbox-allowed-Team-Ids: 1"];
        let refused = DROPBOX.answer(&Request::example("www.dropbox.com", &lines, ""));
        assert!(refused.body_text().contains("Your company now manages Dropbox traffic"));
    }
}
