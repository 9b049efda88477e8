//! The API's own description, OpenAPI 3.1: what stands beside the handlers, and what holds for all of them.
//!
//! Handlers say what is theirs alone. Who may call, how one is refused and what an error looks like is added here, from the
//! table that the guard goes by.

use axum::http::Method;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::acts::{self, Asked};
use super::problem::{self, Problem};
use crate::access::{Act, Role};

/// What stands before the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Penstock admin API",
        version = "1",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        description = "Policies, data planes, audit events and the authority. Every error is application/problem+json \
            (RFC 9457)."
    ),
    servers((url = "/api/v1")),
    security(("token" = []), ("session" = [])),
    components(schemas(Problem)),
    modifiers(&Schemes)
)]
pub(super) struct Head;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut token = Http::new(HttpAuthScheme::Bearer);
        token.description = Some("What the admin token file holds, or an API token".to_owned());
        let about = "From POST /session; `__Host-penstock` over TLS. Changes need the header Penstock-Csrf";
        let session = ApiKey::Cookie(ApiKeyValue::with_description("penstock", about));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    }
}

/// Adds to each operation what all have in common.
pub(super) fn complete(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            finish(path, &method, operation);
        }
    }
}

/// The operations of one path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];
    let all = methods.into_iter().zip([get, put, post, delete, patch]);
    all.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn finish(path: &str, method: &Method, operation: &mut Operation) {
    operation.tags = path.split('/').nth(1).map(|first| vec![first.to_owned()]);
    let mut common = vec![("503", "The store failed")];
    match acts::asked(&format!("{BASE}{path}"), method) {
        Asked::Act(act) => {
            common.push(("401", "Nobody signed in, or a wrong token"));
            let is_for_all = tell_roles(act, operation);
            match *method == Method::GET {
                true if is_for_all => {}
                true => common.push(("403", "The role may not")),
                false => common.push(("403", "The role may not, or a page of another site asks")),
            }
        }
        // Nobody has signed in yet.
        Asked::Method { .. } | Asked::Unlisted => operation.security = Some(Vec::new()),
    }
    let has_body = operation.request_body.is_some();
    if has_body || operation.parameters.is_some() {
        common.push(("400", "Malformed"));
    }
    if has_body {
        common.push(("413", "Too large"));
        common.push(("415", "Of another content type than is taken"));
        common.push(("422", "Well-formed, and not what is asked for"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        let response = || ResponseBuilder::new().description(description).build().into();
        responses.entry(status.to_owned()).or_insert_with(response);
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && status.as_str() >= "400"
        {
            describe_problem(response);
        }
    }
}

/// Says who may; answers whether all may.
fn tell_roles(act: Act, operation: &mut Operation) -> bool {
    let may: Vec<&str> = Role::ALL.iter().filter(|role| role.may(act)).map(|role| role.label()).collect();
    let roles = format!("Roles: {}.", may.join(", "));
    let told = operation.description.take().filter(|told| !told.is_empty());
    operation.description = Some(told.map_or_else(|| roles.clone(), |told| format!("{told}\n\n{roles}")));
    may.len() == Role::ALL.len()
}

fn describe_problem(response: &mut Response) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    response.content.insert(problem::CONTENT_TYPE.to_owned(), problem.into());
}

/// Where the API is routed.
pub(super) const BASE: &str = "/api/v1";
