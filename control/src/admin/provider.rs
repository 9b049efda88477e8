//! Signing in by the OpenID provider: the ticket's cookie, the bound on attempts, the trail.

use axum::http::{HeaderMap, HeaderValue, StatusCode};

use super::browser::{named_cookie, ticket_cookie_name};
use super::guard::Source;
use super::problem::Problem;
use super::router::Admin;
use crate::access::{AccessError, Act, Outcome, SignedIn};
use crate::oidc::{Answer, OidcError, Provider, Ticket};

/// Sends a browser to the provider: the place, and the cookie that it comes back with. `to` is where it goes afterwards.
pub(crate) async fn send_to_provider(admin: &Admin, to: &str) -> Result<(String, HeaderValue), Problem> {
    let ticket = Ticket::new().map_err(AccessError::from)?;
    let place = provider(admin)?.begin(&ticket).await.inspect_err(|error| tracing::warn!(%error, "signing in"))?;
    // What no cookie can hold is not worth coming back to.
    let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
    let to = if to.bytes().all(is_fit) { to } else { "/" };
    let cookie = ticket_cookie(&format!("{}.{to}", ticket.secret()), admin.is_secure)?;
    Ok((place, cookie))
}

/// Opens a session for whom the provider's answer is about, and says where that one wanted to go. The trail is told,
/// also of an attempt that fails.
pub(crate) async fn open_by_provider(
    admin: &Admin,
    Source(from): Source,
    headers: &HeaderMap,
    answer: Answer,
) -> Result<(SignedIn, String), Problem> {
    let provider = provider(admin)?;
    if let Err(wait) = admin.gate.attempt(from) {
        tracing::warn!(%from, "too many failed attempts to sign in");
        return Err(wait.into());
    }
    let kept = named_cookie(headers, ticket_cookie_name(admin.is_secure)).and_then(|value| value.split_once('.'));
    let ticket = kept.and_then(|(secret, _)| Ticket::read(secret));
    let to = kept.map_or_else(|| "/".to_owned(), |(_, to)| to.to_owned());
    let person = match provider.conclude(ticket.as_ref(), answer).await {
        Ok(person) => person,
        Err(error) => {
            let outcome = if error.is_fault() { Outcome::Failed } else { Outcome::Refused };
            tracing::warn!(%from, %error, "nobody signed in by the OpenID provider");
            admin.trail.tell_attempt("oidc", from, &error.to_string(), outcome).await;
            return Err(error.into());
        }
    };
    match admin.gate.sign_in_vouched(&person).await {
        Ok(opened) => {
            admin.gate.attempt_was_right(from);
            admin.trail.tell(&opened.identity, from, Act::SignIn, "by the OpenID provider", Outcome::Done).await;
            Ok((opened, to))
        }
        Err(error) => {
            let is_refusal = matches!(error, AccessError::NoRole | AccessError::OtherPerson | AccessError::LastAdmin);
            let outcome = if is_refusal { Outcome::Refused } else { Outcome::Failed };
            admin.trail.tell_attempt(person.name(), from, &error.to_string(), outcome).await;
            Err(error.into())
        }
    }
}

/// Gives the ticket's cookie, or takes it back when the value is empty. It is sent along when the provider sends the
/// browser back, which is another site.
pub(crate) fn ticket_cookie(value: &str, is_secure: bool) -> Result<HeaderValue, Problem> {
    let secure = if is_secure { "; Secure" } else { "" };
    let life = if value.is_empty() { 0 } else { TICKET_SECONDS };
    let name = ticket_cookie_name(is_secure);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}; Max-Age={life}");
    HeaderValue::from_str(&cookie).map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn provider(admin: &Admin) -> Result<&Provider, Problem> {
    admin.provider.as_deref().ok_or_else(|| Problem::not_found("no OpenID provider is configured"))
}

impl From<OidcError> for Problem {
    fn from(error: OidcError) -> Self {
        let status = if error.is_fault() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        Self::new(status, error.to_string())
    }
}

/// Within which one signs in at the provider.
const TICKET_SECONDS: u32 = 600;
