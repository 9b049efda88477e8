//! `/policy/rollout`: a policy on its way through the fleet, wave by wave.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::{ChangedView, PublishedView, published};
use super::problem::Problem;
use super::router::Admin;
use crate::access::Identity;
use crate::publish::{Acknowledgement, Rollout};

#[derive(Serialize, ToSchema)]
#[schema(as = Rollout)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(super) enum RolloutView {
    Halted(UnderWay),
    None,
    Running(UnderWay),
}

#[derive(Serialize, ToSchema)]
pub(super) struct UnderWay {
    epoch: u64,
    /// What is in force on the nodes that are not released yet.
    stable_epoch: u64,
    author: String,
    waves: Vec<String>,
    /// Counted from 1.
    wave: usize,
    soak_seconds: u64,
    faults_percent_max: f64,
    /// Why it is halted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    why: Option<String>,
    nodes: Vec<NodeAnswer>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RolloutNode)]
struct NodeAnswer {
    node: String,
    /// Whether it has, or gets, the candidate.
    released: bool,
    #[serde(flatten)]
    answer: Acknowledgement,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RolloutRequest {
    action: Action,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[schema(as = RolloutAction)]
#[serde(rename_all = "snake_case")]
enum Action {
    Halt,
    Resume,
    RollBack,
}

/// The policy on its way through the fleet
#[utoipa::path(get, path = "/policy/rollout", operation_id = "rollout", responses(
    (status = 200, description = "Its state", body = RolloutView),
))]
pub(super) async fn show(State(admin): State<Admin>) -> Json<RolloutView> {
    Json(view(&admin, admin.publisher.rollout().as_deref()))
}

/// Halt a rollout, resume it, or give every node what was in force before
#[utoipa::path(post, path = "/policy/rollout", operation_id = "actOnRollout",
    request_body = RolloutRequest, responses(
    (status = 200, description = "Its state; after roll_back, what nodes did with the new epoch", body = ChangedView),
    (status = 202, description = "After roll_back: not in force everywhere yet", body = PublishedView),
    (status = 404, description = "No rollout is under way"),
))]
pub(super) async fn act(
    State(admin): State<Admin>,
    identity: Identity,
    Json(request): Json<RolloutRequest>,
) -> Result<Response, Problem> {
    let author = identity.author(None);
    let rollout = match request.action {
        Action::Halt => admin.publisher.halt_rollout(format!("halted by {author}")).await?,
        Action::Resume => admin.publisher.resume_rollout().await?,
        Action::RollBack => return Ok(published(admin.publisher.abandon_rollout(author).await?)),
    };
    Ok(Json(ChangedView::Rollout(view(&admin, Some(&rollout)))).into_response())
}

pub(super) fn view(admin: &Admin, rollout: Option<&Rollout>) -> RolloutView {
    let Some(rollout) = rollout else { return RolloutView::None };
    let answers = admin.publisher.fleet().answers(&rollout.candidate);
    let answer =
        |(node, answer): (String, Acknowledgement)| NodeAnswer { released: rollout.covers(&node), node, answer };
    let state = &rollout.state;
    let under_way = UnderWay {
        epoch: state.epoch,
        stable_epoch: state.stable_epoch,
        author: state.author.clone(),
        waves: state.plan.waves().iter().map(ToString::to_string).collect(),
        wave: state.wave + 1,
        soak_seconds: state.plan.soak_seconds,
        faults_percent_max: state.plan.faults_percent_max,
        why: state.halted.clone(),
        nodes: answers.into_iter().map(answer).collect(),
    };
    if state.halted.is_some() { RolloutView::Halted(under_way) } else { RolloutView::Running(under_way) }
}
