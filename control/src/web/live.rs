//! Events as they happen, by server-sent events.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use maud::html;
use penstock_core::audit::Event;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::ReceiverStream;

use super::frame;
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem, Source, unmasking};
use crate::audit::mask;
use crate::store::{EventQuery, Order};

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    unmask: bool,
}

const HEADINGS: [&str; 8] = ["time", "status", "source", "user", "connector", "host", "target tenant", "code"];

pub(super) async fn page(identity: Identity, Query(wanted): Query<Wanted>) -> Response {
    let stream = if wanted.unmask { "/live/stream?unmask=true" } else { "/live/stream" };
    frame::page(
        &identity,
        "/live",
        "Live events",
        html! {
            section class="card" {
                div class="bar" {
                    p id="live-state" role="status" class="muted" { "Connecting" }
                    button type="button" id="live-pause" class="quiet" aria-pressed="false" { "Pause" }
                    @if identity.may(Act::Unmask) && !wanted.unmask {
                        a class="button quiet" href="/live?unmask=true" { "Show names of people (told in the trail)" }
                    }
                }
                div class="table" role="region" aria-label="Live events" tabindex="0" {
                    table id="live" data-stream=(stream) {
                        thead { tr { @for heading in HEADINGS { th scope="col" { (heading) } } } }
                        tbody {}
                    }
                }
                p class="muted small" { "Newest first; the newest 200 are shown. The report has all." }
            }
        },
    )
}

pub(super) async fn stream(
    State(admin): State<Admin>,
    identity: Identity,
    Source(from): Source,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    if wanted.unmask {
        unmasking(&admin, &identity, Source(from), None).await?;
    }
    let Ok(place) = std::sync::Arc::clone(&admin.streams).try_acquire_owned() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages follow the events already"));
    };
    let (messages, stream) = mpsc::channel(MESSAGES_WAITING_MAX);
    tokio::spawn(follow(admin, from, wanted.unmask, messages, place));
    Ok(Sse::new(ReceiverStream::new(stream)).keep_alive(KeepAlive::default()).into_response())
}

/// Sends what comes, until the page is gone, the daemon stops, or it is time that the browser signs in anew.
async fn follow(
    mut admin: Admin,
    from: IpAddr,
    is_clear: bool,
    messages: mpsc::Sender<Result<Message, Infallible>>,
    _place: OwnedSemaphorePermit,
) {
    let deadline = Instant::now() + STREAM_LIFE;
    let mut query = EventQuery { count_max: EVENTS_AT_ONCE, ..EventQuery::default() };
    while Instant::now() < deadline {
        let page = match admin.events.events(query.clone()).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, %from, "a page that follows the events is let go");
                return;
            }
        };
        // The first look goes back from now, and later ones on from there.
        let is_first = query.order == Order::NewestFirst;
        let newest = if is_first { page.first } else { page.last };
        let mut events = page.events;
        if is_first {
            events.reverse();
        }
        for event in events {
            let Some(message) = message(event, is_clear) else { continue };
            if messages.send(Ok(message)).await.is_err() {
                return;
            }
        }
        query = EventQuery { cursor: newest.or(query.cursor).or(Some(0)), order: Order::OldestFirst, ..query };
        tokio::select! {
            () = sleep(if page.more && !is_first { Duration::ZERO } else { PAUSE }) => {}
            () = messages.closed() => return,
            _ = admin.stopping.changed() => return,
        }
    }
}

fn message(mut event: Event, is_clear: bool) -> Option<Message> {
    if !is_clear {
        mask(&mut event);
    }
    serde_json::to_string(&event).ok().map(|json| Message::default().data(json))
}

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(1);
const EVENTS_AT_ONCE: usize = 50;
const MESSAGES_WAITING_MAX: usize = 64;
/// The browser connects again, and is asked who it is.
const STREAM_LIFE: Duration = Duration::from_secs(5 * 60);
