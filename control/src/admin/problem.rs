//! Errors of the API, all in one form: `application/problem+json` (RFC 9457).

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::mirror;
use crate::access::AccessError;
use crate::ca::CaError;
use crate::publish::PublishError;
use crate::store::StoreError;
use penstock_core::policy::Diagnostic;

/// One error, as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// What is wrong in a policy, place by place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<mirror::Diagnostic>)]
    diagnostics: Vec<Diagnostic>,
    /// Seconds until it makes sense to try again.
    #[serde(skip)]
    retry_seconds: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            diagnostics: Vec::new(),
            retry_seconds: None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry = self.retry_seconds.map(|seconds| (header::RETRY_AFTER, HeaderValue::from(seconds)));
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().extend(retry);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        response
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let detail = error.to_string();
        match error {
            PublishError::Invalid(diagnostics) => {
                Self { diagnostics, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
            }
            PublishError::EpochMoved { .. } => Self::new(StatusCode::PRECONDITION_FAILED, detail),
            PublishError::NoSuchEpoch(_)
            | PublishError::NoRollout
            | PublishError::NothingBefore
            | PublishError::NothingInForce => Self::not_found(detail),
            PublishError::RolloutRunning(_) => Self::new(StatusCode::CONFLICT, detail),
            PublishError::Store(error) => error.into(),
            // The document is well-formed, but no issuer can be constrained to its hosts.
            PublishError::Ca(CaError::Mint(_)) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            PublishError::Ca(CaError::Rotation(_)) => Self::new(StatusCode::CONFLICT, detail),
            PublishError::Ca(_) | PublishError::Compiler => {
                tracing::error!(error = detail, "a policy could not be published");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

impl From<CaError> for Problem {
    fn from(error: CaError) -> Self {
        PublishError::Ca(error).into()
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        match error {
            AccessError::Absent(_) => Self::not_found(detail),
            AccessError::Credentials => Self::new(StatusCode::UNAUTHORIZED, detail),
            AccessError::Elsewhere | AccessError::LastAdmin | AccessError::Taken => {
                Self::new(StatusCode::CONFLICT, detail)
            }
            AccessError::Days | AccessError::Name | AccessError::Password(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            AccessError::NoRole | AccessError::OtherPerson | AccessError::PasswordsOff => {
                Self::new(StatusCode::FORBIDDEN, detail)
            }
            AccessError::Randomness(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
            AccessError::Store(error) => error.into(),
            AccessError::Wait { seconds } => {
                Self { retry_seconds: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        // The log has the cause; paths and SQL are nothing for the network.
        match error {
            StoreError::EpochTaken { .. } | StoreError::RolloutMoved => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store failed; the log of penstock-control says why"),
        }
    }
}

/// Gives the framework's own errors (no such route, wrong method, body too large, bad JSON or query) the form of all
/// others. Their headers stay: `Allow` tells what a 405 would have taken.
pub(crate) async fn normalise(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == CONTENT_TYPE);
    let is_page = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "text/html; charset=utf-8");
    if is_problem || is_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let detail = to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    let problem = Problem::new(status, String::from_utf8_lossy(&detail)).into_response();
    let (problem_parts, problem_body) = problem.into_parts();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(&name);
        if let Some(value) = problem_parts.headers.get(&name) {
            parts.headers.insert(name, value.clone());
        }
    }
    Response::from_parts(parts, Body::new(problem_body))
}

pub(super) const CONTENT_TYPE: &str = "application/problem+json";
/// Longest text of the framework that becomes a detail.
const DETAIL_BYTES_MAX: usize = 16 * 1024;
