//! `/catalogue`: the connectors, as data.

use axum::Json;
use axum::extract::Path;
use penstock_core::catalogue::{Connector, ConnectorId, connector, connectors};
use serde::Serialize;

use super::problem::Problem;

#[derive(Serialize)]
pub(super) struct CatalogueView {
    connectors: Vec<&'static Connector>,
}

pub(super) async fn list() -> Json<CatalogueView> {
    Json(CatalogueView { connectors: connectors().collect() })
}

pub(super) async fn show(Path(id): Path<String>) -> Result<Json<&'static Connector>, Problem> {
    let id = ConnectorId::parse(&id).ok_or_else(|| Problem::not_found("there is no connector of that id"))?;
    Ok(Json(connector(id)))
}
