//! YouTube: `YouTube-Restrict` sets the level of content, whoever is signed in.
//!
//! `Strict` or `Moderate`. A value that is neither is ignored, as no document says otherwise. Sources: F5's rule, PAN.

use crate::endpoint::unreadable;
use crate::request::Request;
use crate::response::Response;

pub(crate) fn answer(request: &Request) -> Response {
    match unreadable(request, "YouTube-Restrict") {
        Err(what) => Response::text(400, format!("YouTube-Restrict: {what}.\n")),
        Ok(level) => {
            let level = level.filter(|level| ["Strict", "Moderate"].contains(level)).unwrap_or("none");
            Response::page(200, "YouTube", &format!("<p>Restricted mode: {level}.</p>"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_the_header() {
        let page = |lines: &[&str]| answer(&Request::example("www.youtube.com", lines, ""));
        assert!(page(&["GET / HTTP/1.1", "YouTube-Restrict: Strict"]).body_text().contains("mode: Strict"));
        assert!(page(&["GET / HTTP/1.1"]).body_text().contains("mode: none"));
        assert_eq!(page(&["GET / HTTP/1.1", "YouTube-Restrict: Strict", "youtube-restrict: Strict"]).status, 400);
    }
}
