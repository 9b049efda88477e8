//! `/policy`, `/policy/check`, `/policy/explain`: read, publish, try out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use penstock_core::policy::{Diagnostic, Mode, ShownException, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::guard::Subject;
use super::mirror;
use super::problem::Problem;
use super::rollout::{self, RolloutView};
use super::router::Admin;
use super::submitted::{DOCUMENT_NAME, EXAMPLE, FileParameter, IfMatch, candidate, document, expected_epoch};
use crate::access::Identity;
use crate::audit::moment;
use crate::difference::{Difference, difference};
use crate::explain::{Question, QuestionError};
use crate::publish::{
    Acknowledgement, FAULTS_PERCENT_DEFAULT, Plan, Proposal, Published, SOAK_SECONDS_DEFAULT, check as check_policy,
};
use crate::store::RevisionSource;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    /// An earlier revision than the active one.
    epoch: Option<u64>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishQuery {
    /// For the history.
    author: Option<String>,
    /// For the history.
    comment: Option<String>,
    /// What diagnostics call the document.
    file: Option<String>,
    /// `canary,25%`: in waves, by label or percentage; everybody comes last. All at once unless given.
    waves: Option<String>,
    /// Time for which a wave is watched; 600 unless said.
    soak_seconds: Option<u64>,
    /// Faults in a hundred flows at which it halts; 5 unless said.
    #[param(minimum = 0, maximum = 100)]
    faults_percent_max: Option<f64>,
}

/// Answer to a change of policy.
#[derive(Serialize, ToSchema)]
#[schema(as = Published)]
pub(super) struct PublishedView {
    epoch: u64,
    digest: String,
    /// What each data plane did with it.
    nodes: Vec<NodeAnswer>,
    #[schema(value_type = Vec<mirror::Diagnostic>)]
    warnings: Vec<Diagnostic>,
}

/// Answer to a change that may go out in waves.
#[derive(Serialize, ToSchema)]
#[schema(as = Changed)]
#[serde(untagged)]
pub(super) enum ChangedView {
    Published(PublishedView),
    Rollout(RolloutView),
}

#[derive(Serialize, ToSchema)]
#[schema(as = PublishedNode)]
struct NodeAnswer {
    node: String,
    #[serde(flatten)]
    answer: Acknowledgement,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Checked)]
struct CheckedView {
    valid: bool,
    digest: String,
    #[schema(value_type = Vec<mirror::Diagnostic>)]
    warnings: Vec<Diagnostic>,
}

/// The policy in force, or an earlier one
#[utoipa::path(get, path = "/policy", operation_id = "readPolicy", params(ReadQuery), responses(
    (status = 200, description = "The document", content((String = "application/toml"), (Object = "application/json")),
        headers(("ETag" = String, description = "Its epoch, for If-Match"))),
    (status = 404, description = "There is no such epoch, or no policy is in force"),
))]
pub(super) async fn read(
    State(admin): State<Admin>,
    Query(query): Query<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let revision = match query.epoch {
        Some(epoch) => admin.revisions.revision(epoch).await?,
        None => admin.publisher.active().map(|active| active.revision.as_ref().clone()),
    };
    let Some(revision) = revision else {
        return Err(Problem::not_found(
            query
                .epoch
                .map_or_else(|| "no policy is in force".to_owned(), |epoch| format!("there is no epoch {epoch}")),
        ));
    };
    let etag = [(header::ETAG, format!("\"{}\"", revision.epoch))];
    if accepts_json(&headers) {
        let document: serde_json::Value = toml::from_str(&revision.text)
            .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        return Ok((etag, Json(document)).into_response());
    }
    Ok((etag, [(header::CONTENT_TYPE, "application/toml")], revision.text).into_response())
}

/// Publish a policy and wait for the fleet
#[utoipa::path(put, path = "/policy", operation_id = "publishPolicy", params(PublishQuery, IfMatch),
    request_body(description = "The document", content(
        (String = "application/toml", example = json!(EXAMPLE)),
        (Object = "application/json"),
    )),
    responses(
        (status = 200, description = "In force on every data plane that is known", body = PublishedView,
            headers(("ETag" = String, description = "The new epoch"))),
        (status = 202, description = "Stored and sent, and not in force everywhere: `nodes` says where not, and why. With \
            `waves`: it is on its way", body = ChangedView,
            headers(("ETag" = String, description = "The new epoch, without `waves`"))),
        (status = 404, description = "With `waves`: no policy is in force that the others could keep"),
        (status = 409, description = "A rollout is under way"),
        (status = 412, description = "Another epoch is active than If-Match says"),
        (status = 422, description = "Refused; `diagnostics` says where and why"),
    ))]
pub(super) async fn publish(
    State(admin): State<Admin>,
    identity: Identity,
    Query(query): Query<PublishQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let plan = plan(&query)?;
    let proposal = Proposal {
        text: document(&headers, &body)?,
        file: query.file.unwrap_or_else(|| DOCUMENT_NAME.to_owned()),
        author: identity.author(query.author),
        comment: query.comment.unwrap_or_default(),
        source: RevisionSource::Api,
        expected: expected_epoch(&headers)?,
    };
    let Some(plan) = plan else { return Ok(published(admin.publisher.publish(proposal).await?)) };
    let rollout = admin.publisher.roll_out(proposal, plan).await?;
    let subject = Extension(Subject(format!("epoch {} begins its way", rollout.state.epoch)));
    Ok((StatusCode::ACCEPTED, subject, Json(ChangedView::Rollout(rollout::view(&admin, Some(&rollout)))))
        .into_response())
}

/// The waves that the query asks for.
fn plan(query: &PublishQuery) -> Result<Option<Plan>, Problem> {
    let Some(waves) = &query.waves else {
        return match query.soak_seconds.is_some() || query.faults_percent_max.is_some() {
            true => Err(Problem::bad_request("soak_seconds and faults_percent_max go with waves")),
            false => Ok(None),
        };
    };
    let soak_seconds = query.soak_seconds.unwrap_or(SOAK_SECONDS_DEFAULT);
    let faults_percent_max = query.faults_percent_max.unwrap_or(FAULTS_PERCENT_DEFAULT);
    let plan = Plan::parse(waves, soak_seconds, faults_percent_max);
    plan.map(Some).map_err(|error| Problem::bad_request(format!("waves: {error}")))
}

/// 200 once every data plane that is known has it; 202 when it is stored and sent, and some have not: they are named.
pub(super) fn published(published: Published) -> Response {
    let nodes: Vec<NodeAnswer> =
        published.nodes.into_iter().map(|(node, answer)| NodeAnswer { node, answer }).collect();
    let complete = nodes.iter().all(|node| node.answer == Acknowledgement::Installed);
    let active = published.active;
    let view = PublishedView {
        epoch: active.epoch(),
        digest: active.revision.digest.clone(),
        nodes,
        warnings: active.snapshot.findings(moment::now_ms()),
    };
    let status = if complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    let subject = Extension(Subject(format!("epoch {} published", view.epoch)));
    (status, [(header::ETAG, format!("\"{}\"", view.epoch))], subject, Json(ChangedView::Published(view)))
        .into_response()
}

/// Check a policy, changing nothing
#[utoipa::path(post, path = "/policy/check", operation_id = "checkPolicy", params(FileParameter),
    request_body(description = "The document", content(
        (String = "application/toml", example = json!(EXAMPLE)),
        (Object = "application/json"),
    )),
    responses(
        (status = 200, description = "It can be published", body = CheckedView),
        (status = 422, description = "Refused; `diagnostics` says where and why"),
    ))]
pub(super) async fn check(
    Query(query): Query<FileParameter>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let snapshot = candidate(&headers, &body, query.file).await?;
    let (digest, warnings) = (snapshot.digest().to_string(), snapshot.findings(moment::now_ms()));
    Ok(Json(CheckedView { valid: true, digest, warnings }).into_response())
}

#[derive(Serialize, ToSchema)]
#[schema(as = DifferenceAnswer)]
pub(super) struct DifferenceView {
    /// Null while no policy is in force: then the empty one is compared.
    #[schema(required)]
    epoch: Option<u64>,
    #[serde(flatten)]
    difference: Difference,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Exceptions)]
pub(super) struct ExceptionsView {
    #[schema(value_type = Vec<mirror::Exception>)]
    exceptions: Vec<ShownException>,
}

/// What a policy would change, changing nothing
///
/// Compares the document in the body with the policy in force, for all ranges of sources and all users that either names.
#[utoipa::path(post, path = "/policy/diff", operation_id = "comparePolicy", params(FileParameter),
    request_body(description = "The document", content(
        (String = "application/toml", example = json!(EXAMPLE)),
        (Object = "application/json"),
    )),
    responses(
        (status = 200, description = "The difference", body = DifferenceView),
        (status = 422, description = "Refused; `diagnostics` says where and why"),
    ))]
pub(super) async fn compare(
    State(admin): State<Admin>,
    Query(query): Query<FileParameter>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<DifferenceView>, Problem> {
    let after = candidate(&headers, &body, query.file).await?;
    let active = admin.publisher.active();
    let before = match &active {
        Some(active) => Arc::clone(&active.snapshot),
        None => Arc::new(check_policy(DOCUMENT_NAME.to_owned(), String::new(), None).await?),
    };
    let epoch = active.map(|active| active.epoch());
    let compared = spawn_blocking(move || difference(&before, &after, &[], moment::now_ms())).await;
    let difference = compared.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(Json(DifferenceView { epoch, difference }))
}

/// The exceptions of the policy in force
#[utoipa::path(get, path = "/policy/exceptions", operation_id = "policyExceptions", responses(
    (status = 200, description = "In the document's order, past and future ones too", body = ExceptionsView),
))]
pub(super) async fn exceptions(State(admin): State<Admin>) -> Json<ExceptionsView> {
    let active = admin.publisher.active();
    let exceptions = active.map(|active| active.snapshot.exceptions().cloned().collect()).unwrap_or_default();
    Json(ExceptionsView { exceptions })
}

/// The policy in force as it would be if its report-only profiles were enforced.
pub(super) async fn enforced(admin: &Admin) -> Result<Snapshot, Problem> {
    let active = admin.publisher.active().ok_or_else(|| Problem::not_found("no policy is in force"))?;
    let internal = |error: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    let mut document: toml::Table =
        toml::from_str(&active.revision.text).map_err(|error| internal(error.to_string()))?;
    let profiles = document.get_mut("profile").and_then(toml::Value::as_array_mut);
    for profile in profiles.into_iter().flatten().filter_map(toml::Value::as_table_mut) {
        let mode = profile.get_mut("mode").filter(|mode| mode.as_str() == Some(Mode::ReportOnly.label()));
        if let Some(mode) = mode {
            *mode = Mode::Enforce.label().into();
        }
    }
    let text = toml::to_string(&document).map_err(|error| internal(error.to_string()))?;
    Ok(check_policy(DOCUMENT_NAME.to_owned(), text, None).await?)
}

/// What would happen to a flow, and why
///
/// Asks the policy in force, or one that the question brings along.
#[utoipa::path(post, path = "/policy/explain", operation_id = "explain", request_body = Question, responses(
    (status = 200, description = "The decision", body = mirror::Explanation),
    (status = 404, description = "No policy is in force"),
    (status = 422, description = "No flow can be so, or the policy is refused: then `diagnostics` says where and why"),
))]
pub(super) async fn explain(
    State(admin): State<Admin>,
    Json(mut question): Json<Question>,
) -> Result<Response, Problem> {
    let wrong = |error: QuestionError| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    let explanation = match question.policy.take() {
        Some(text) => {
            let snapshot = check_policy(DOCUMENT_NAME.to_owned(), text, None).await?;
            question.answer(&snapshot, moment::now_ms()).map_err(wrong)?
        }
        None => {
            let active = admin.publisher.active().ok_or_else(|| Problem::not_found("no policy is in force"))?;
            question.answer(&active.snapshot, moment::now_ms()).map_err(wrong)?
        }
    };
    Ok(Json(explanation).into_response())
}

fn accepts_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|range| range.split(';').next().is_some_and(|range| range.trim() == "application/json"))
}
