//! Style, scripts and the mark, as they are compiled in. Their addresses carry the version, so browsers may keep them.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::admin::Problem;

/// Name, media type, content. `style.css` is the product's own, with the chart library's behind it.
const ASSETS: [(&str, &str, &str); 5] = [
    ("console.js", JAVASCRIPT, include_str!("assets/console.js")),
    ("htmx.js", JAVASCRIPT, include_str!("vendor/htmx.min.js")),
    ("mark.svg", "image/svg+xml", include_str!("assets/mark.svg")),
    ("style.css", CSS, concat!(include_str!("assets/style.css"), include_str!("vendor/uplot.min.css"))),
    ("uplot.js", JAVASCRIPT, include_str!("vendor/uplot.iife.min.js")),
];
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// Changes with any of the contents.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut context = digest::Context::new(&digest::SHA256);
    ASSETS.iter().for_each(|(_, _, content)| context.update(content.as_bytes()));
    context.finish().as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// Where an asset is.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{name}?v={}", *VERSION)
}

pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|(asset, _, _)| *asset == name);
    let Some((_, kind, content)) = found else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such asset"));
    };
    let headers = [(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, *content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files are those of the npm packages named in `vendor/README.md`, byte for byte.
    #[test]
    fn what_came_from_others_is_as_they_published_it() {
        let listed = include_str!("vendor/README.md");
        for (file, content) in [
            ("htmx.min.js", include_str!("vendor/htmx.min.js")),
            ("uplot.iife.min.js", include_str!("vendor/uplot.iife.min.js")),
            ("uplot.min.css", include_str!("vendor/uplot.min.css")),
        ] {
            let sum = digest::digest(&digest::SHA256, content.as_bytes());
            let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(listed.contains(&format!("`{file}` | `{sum}`")), "{file}: {sum}");
        }
    }
}
