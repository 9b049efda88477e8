//! Google's sign-in and the rest of `google.com`: `X-GoogApps-Allowed-Domains` is an allow-list of sign-in.
//!
//! Domains with commas, and the words `consumer_accounts`, `visitor_accounts` and `gserviceaccounts.com`. Anonymous use
//! is untouched. Source: support.google.com/a/answer/1668854; the status of the refusal is not documented, 403 stands
//! here. The user is `Email=` in the query, or the cookie `SID=user@domain`.

use serde_json::json;

use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::{Response, escaped};

pub(crate) fn answer(request: &Request) -> Response {
    let allowed = match unreadable(request, HEADER) {
        Ok(allowed) => allowed,
        Err(what) => return bad_header(what),
    };
    if allowed.is_some_and(|list| !list.split(',').map(str::trim).all(is_entry)) {
        return bad_header("an entry is neither a domain nor a known word");
    }
    let user = request.query("Email").or_else(|| request.cookie("SID").map(str::to_owned));
    let Some(user) = user else {
        return Response::page(200, "Google", "<p>You are not signed in.</p>");
    };
    let user = escaped(&user);
    if allowed.is_none_or(|list| admits(list, &user)) {
        return Response::page(200, "Google", &format!("<p>You are signed in as {user}.</p>"));
    }
    let body = format!(
        "<p>This account ({user}) is not allowed to sign in within this network. Please talk to your network \
         administrator for more information.</p>"
    );
    Response::page(403, "Couldn't sign you in", &body)
}

fn admits(list: &str, user: &str) -> bool {
    let domain = user.rsplit('@').next().unwrap_or_default();
    let consumer = CONSUMER_DOMAINS.iter().any(|name| name.eq_ignore_ascii_case(domain));
    list.split(',').map(str::trim).any(|entry| {
        entry.eq_ignore_ascii_case(domain)
            || entry == "consumer_accounts" && consumer
            || entry == "gserviceaccounts.com" && domain.ends_with(".gserviceaccount.com")
    })
}

fn is_entry(entry: &str) -> bool {
    WORDS.contains(&entry)
        || entry.contains('.')
            && entry.split('.').all(|label| !label.is_empty())
            && entry.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn bad_header(what: &str) -> Response {
    Response::json(400, &json!({ "error": { "code": 400, "message": format!("{HEADER}: {what}.") } }))
}

const HEADER: &str = "X-GoogApps-Allowed-Domains";
const WORDS: [&str; 2] = ["consumer_accounts", "visitor_accounts"];
const CONSUMER_DOMAINS: [&str; 2] = ["gmail.com", "googlemail.com"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in(user: &str, headers: &[&str]) -> Response {
        let line = format!("GET /signin/v2/identifier?Email={user} HTTP/1.1");
        let mut lines = vec![line.as_str()];
        lines.extend(headers);
        answer(&Request::example("accounts.google.com", &lines, ""))
    }

    #[test]
    fn the_domain_of_the_account_decides() {
        let own = "X-GoogApps-Allowed-Domains: contoso.com, fabrikam.com";
        assert_eq!(sign_in("ann%40fabrikam.com", &[own]).status, 200);
        let refused = sign_in("ann%40evil.example", &[own]);
        assert_eq!(refused.status, 403);
        assert!(refused.body_text().contains("not allowed to sign in within this network"));
        assert_eq!(sign_in("ann%40evil.example", &[]).status, 200);
    }

    #[test]
    fn consumers_need_their_word() {
        assert_eq!(sign_in("bob%40gmail.com", &["X-GoogApps-Allowed-Domains: contoso.com"]).status, 403);
        let with = "X-GoogApps-Allowed-Domains: contoso.com,consumer_accounts";
        assert_eq!(sign_in("bob%40gmail.com", &[with]).status, 200);
    }

    #[test]
    fn copies_and_nonsense_are_a_400_and_anonymous_use_is_untouched() {
        let own = "X-GoogApps-Allowed-Domains: contoso.com";
        assert_eq!(sign_in("a%40contoso.com", &[own, own]).status, 400);
        assert_eq!(sign_in("a%40contoso.com", &["X-GoogApps-Allowed-Domains: a b.com"]).status, 400);
        assert_eq!(sign_in("a%40contoso.com", &["X-GoogApps-Allowed-Domains:"]).status, 400);
        let anonymous = Request::example("www.google.com", &["GET /search HTTP/1.1", own], "");
        assert_eq!(answer(&anonymous).status, 200);
    }
}
