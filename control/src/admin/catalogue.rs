//! `/catalogue`: the connectors, as data.

use axum::Json;
use axum::extract::Path;
use penstock_core::catalogue::{Connector, ConnectorId, connector, connectors};
use serde::Serialize;
use utoipa::ToSchema;

use super::mirror;
use super::problem::Problem;

#[derive(Serialize, ToSchema)]
#[schema(as = Catalogue)]
pub(super) struct CatalogueView {
    #[schema(value_type = Vec<mirror::Connector>)]
    connectors: Vec<&'static Connector>,
}

/// Every connector
#[utoipa::path(get, path = "/catalogue", operation_id = "catalogue", responses(
    (status = 200, description = "The connectors", body = CatalogueView),
))]
pub(super) async fn list() -> Json<CatalogueView> {
    Json(CatalogueView { connectors: connectors().collect() })
}

/// One connector
#[utoipa::path(get, path = "/catalogue/{id}", operation_id = "connector",
    params(("id" = String, Path, description = "Its id", example = "slack")), responses(
    (status = 200, description = "The connector", body = mirror::Connector),
    (status = 404, description = "There is no connector of that id"),
))]
pub(super) async fn show(Path(id): Path<String>) -> Result<Json<&'static Connector>, Problem> {
    let id = ConnectorId::parse(&id).ok_or_else(|| Problem::not_found("there is no connector of that id"))?;
    Ok(Json(connector(id)))
}
