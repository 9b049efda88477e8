//! Gives refusals the form of a page where a browser asked for one.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;
use serde_json::Value;

use super::frame;

/// Wraps every route: the answer of one that is no page stays as it is.
pub(crate) fn dress(router: Router) -> Router {
    router.layer(from_fn(as_page))
}

async fn as_page(request: Request, next: Next) -> Response {
    let is_fragment = request.headers().contains_key("hx-request");
    let is_page = is_fragment || wants_page(request.headers());
    let target = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let is_read = request.method().is_safe();
    let response = next.run(request).await;
    let is_problem =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if !is_page || !is_problem {
        return response;
    }
    if response.status() == StatusCode::UNAUTHORIZED && !target.starts_with("/api/") {
        return to_sign_in(if is_read && !is_fragment { &target } else { "/" }, is_fragment);
    }
    page_of(response).await
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

/// A fragment's page is left as a whole: what was asked for would otherwise be the sign-in form inside it.
fn to_sign_in(target: &str, is_fragment: bool) -> Response {
    let place = if target == "/" { "/sign-in".to_owned() } else { format!("/sign-in?to={}", frame::escaped(target)) };
    if !is_fragment {
        return Redirect::to(&place).into_response();
    }
    let redirect = HeaderValue::from_str(&place).map(|place| [(HeaderName::from_static("hx-redirect"), place)]);
    (StatusCode::UNAUTHORIZED, redirect.unwrap_or([(header::VARY, HeaderValue::from_static("cookie"))])).into_response()
}

async fn page_of(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let problem: Value = match to_bytes(body, PROBLEM_BYTES_MAX).await {
        Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
        Err(_) => Value::Null,
    };
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (title, detail) = (text("title"), text("detail"));
    let body = html! {
        main class="alone" {
            section class="card" {
                h1 { (title) }
                p { (detail) }
                p { a href="/" { "Overview" } }
            }
        }
    };
    let mut page = (parts.status, frame::bare(&title, body)).into_response();
    let kept = [header::RETRY_AFTER, header::ALLOW];
    page.headers_mut()
        .extend(kept.into_iter().filter_map(|name| Some((name.clone(), parts.headers.get(&name)?.clone()))));
    page
}

const PROBLEM_BYTES_MAX: usize = 64 * 1024;
