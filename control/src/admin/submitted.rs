//! What a request brings when it is about a policy: the document, what it is called, and the epoch that it stands on.

use axum::http::{HeaderMap, StatusCode, header};
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;
use penstock_core::policy::Snapshot;
use serde::Deserialize;

use super::problem::Problem;
use crate::publish::check;

/// What diagnostics call a document.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct FileParameter {
    /// What diagnostics call the document.
    pub(super) file: Option<String>,
}

/// The document in a request's body, compiled.
pub(super) async fn candidate(headers: &HeaderMap, body: &[u8], file: Option<String>) -> Result<Snapshot, Problem> {
    let file = file.unwrap_or_else(|| DOCUMENT_NAME.to_owned());
    Ok(check(file, document(headers, body)?, None).await?)
}

/// The document in a request's body, as TOML whatever it came as.
pub(super) fn document(headers: &HeaderMap, body: &[u8]) -> Result<String, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let text = match media_type.as_str() {
        "application/toml" | "text/toml" | "text/plain" => std::str::from_utf8(body)
            .map_err(|error| Problem::bad_request(format!("the document is not UTF-8: {error}")))?
            .to_owned(),
        "application/json" => {
            let value: toml::Value = serde_json::from_slice(body)
                .map_err(|error| Problem::bad_request(format!("the document cannot be read as JSON: {error}")))?;
            toml::to_string(&value)
                .map_err(|error| Problem::bad_request(format!("the document cannot be written as TOML: {error}")))?
        }
        _ => {
            let detail = "send the policy as Content-Type: application/toml, or application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    };
    if text.len() > POLICY_DOCUMENT_BYTES_MAX {
        let detail = format!("a policy has at most {POLICY_DOCUMENT_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(text)
}

/// The header that keeps two changes apart.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `expected_epoch` reads")]
pub(super) struct IfMatch {
    /// The ETag of a policy: refuse unless that epoch is active.
    #[param(rename = "If-Match", nullable = false, pattern = r#"^(\*|[0-9]{1,19}|"[0-9]{1,19}")$"#)]
    if_match: Option<String>,
}

/// The epoch in `If-Match`: the change is refused when another one came in between.
pub(super) fn expected_epoch(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or("").trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.strip_prefix('"').map_or(Some(text), |rest| rest.strip_suffix('"'));
    let epoch =
        number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit())).and_then(|number| number.parse().ok());
    let wrong = || Problem::bad_request("If-Match: must be the ETag of a policy, such as \"7\"");
    epoch.map(Some).ok_or_else(wrong)
}

/// A document, for those who read the API's description.
pub(super) const EXAMPLE: &str = r#"[[restriction]]
name = "entra"
connector = "microsoft-entra"
permitted_tenants = ["contoso.com"]
context_tenant = "bbbbcccc-1111-dddd-2222-eeee3333ffff"

[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["entra"]

[[assignment]]
profile = "staff"
sources = ["10.0.0.0/8"]
"#;

/// What diagnostics call a document that came without a name.
pub(super) const DOCUMENT_NAME: &str = "policy.toml";
