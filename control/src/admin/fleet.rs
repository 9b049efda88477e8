//! `/nodes`, and `/exports`: who reports to control, and to whom it hands on.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::router::Admin;
use crate::export::Status;
use crate::publish::NodeView;

#[derive(Serialize)]
pub(super) struct NodesView {
    /// The active epoch; null when no policy is in force.
    epoch: Option<u64>,
    nodes: Vec<NodeView>,
}

pub(super) async fn nodes(State(admin): State<Admin>) -> Json<NodesView> {
    let epoch = admin.publisher.active().map(|active| active.epoch());
    Json(NodesView { epoch, nodes: admin.publisher.fleet().view() })
}

#[derive(Serialize)]
pub(super) struct ExportsView {
    exports: Vec<Status>,
}

pub(super) async fn exports(State(admin): State<Admin>) -> Json<ExportsView> {
    Json(ExportsView { exports: admin.exports.status() })
}
