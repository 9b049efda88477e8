//! What stands before every route: who asks, whether that one may, and the trail of what was done.

use std::net::{IpAddr, Ipv4Addr};

use axum::Extension;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::acts::{self, Asked};
use super::browser;
use super::listener::Peer;
use super::problem::Problem;
use super::router::Admin;
use crate::access::{Act, Identity, Outcome, Way};

/// What a handler adds to the trail's entry, as an extension of its response: on what it acted, in words.
#[derive(Clone, Debug)]
pub(crate) struct Subject(pub(crate) String);

/// A handler's answer with what the trail is to say.
pub(super) type Told<T> = (Extension<Subject>, T);

pub(super) fn told<T>(subject: String, answer: T) -> Told<T> {
    (Extension(Subject(subject)), answer)
}

/// The address that a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source(pub(crate) IpAddr);

/// Lets a request through to its handler when the one who asks may do what the route is for.
pub(super) async fn require(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let from = address(request.extensions());
    let identity = match identify(&admin, request.headers().clone()).await {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let act = match requested(&request) {
        Ok(act) => act,
        Err(refusal) => return *refusal,
    };
    let Some(act) = act else { return next.run(request).await };
    let place = format!("{} {}", request.method(), request.uri().path());
    let response = admit(&identity, act, request, next).await;
    if act.is_recorded() {
        let subject = response.extensions().get::<Subject>().map_or(place, |subject| subject.0.clone());
        admin.trail.tell(&identity, from, act, &subject, outcome(response.status())).await;
    }
    response
}

async fn admit(identity: &Identity, act: Act, request: Request, next: Next) -> Response {
    if !identity.may(act) {
        let detail = format!("the role {} may not: {}", identity.role.label(), act.label());
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    let checked = match identity.way {
        Way::Session { .. } if is_change => browser::check_form(identity, request).await,
        _ => Ok(request),
    };
    match checked {
        Ok(mut request) => {
            request.extensions_mut().insert(identity.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// What is asked for; none where the path is not routed, so that nothing can be done there.
fn requested(request: &Request) -> Result<Option<Act>, Box<Response>> {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Ok(None) };
    match acts::asked(path.as_str(), request.method()) {
        Asked::Act(act) => Ok(Some(act)),
        Asked::Method { allowed } => {
            let mut refusal = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "").into_response();
            refusal.headers_mut().extend(HeaderValue::from_str(&allowed).ok().map(|allowed| (header::ALLOW, allowed)));
            Err(Box::new(refusal))
        }
        Asked::Unlisted => Err(Box::new(Problem::new(StatusCode::FORBIDDEN, "nobody may do this").into_response())),
    }
}

async fn identify(admin: &Admin, headers: HeaderMap) -> Result<Identity, Response> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
    });
    let cookie = browser::cookie(&headers, admin.is_secure);
    let found = match (bearer, cookie) {
        (Some(token), _) if admin.token.accepts(token) => return Ok(Identity::file()),
        (Some(token), _) => admin.gate.token(token).await,
        (None, Some(cookie)) => admin.gate.session(cookie).await,
        (None, None) => Ok(None),
    };
    let detail = match (&found, bearer) {
        (Err(_), _) => "",
        (_, Some(_)) => "the token is neither the one in the admin token file nor an API token that is valid now",
        (_, None) => "sign in, or send a token as: Authorization: Bearer TOKEN",
    };
    match found {
        Ok(Some(identity)) => Ok(identity),
        Ok(None) => Err(unauthorised(detail)),
        Err(error) => Err(Problem::from(error).into_response()),
    }
}

fn unauthorised(detail: &str) -> Response {
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    let challenge = HeaderValue::from_static("Bearer realm=\"penstock\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

pub(crate) fn outcome(status: StatusCode) -> Outcome {
    match status.as_u16() {
        0..400 => Outcome::Done,
        400..500 => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn address(extensions: &axum::http::Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<Peer>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(Peer(address))| address.ip().to_canonical())
}

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let nobody = || Problem::new(StatusCode::UNAUTHORIZED, "sign in first");
        parts.extensions.get::<Self>().cloned().ok_or_else(nobody)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Source {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(address(&parts.extensions)))
    }
}
