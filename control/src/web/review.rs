//! Before a policy is applied: what it changes, in the text and for inside hosts; then the change itself.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::html;
use penstock_core::limits::POLICY_DOCUMENT_BYTES_MAX;
use penstock_core::policy::Snapshot;

use super::compared::{Compared, Version};
use super::form::Fields;
use super::frame;
use super::policy::{self, DOCUMENT, Draft, findings};
use crate::access::{Act, Identity};
use crate::admin::{Admin, Problem, Subject};
use crate::audit::moment;
use crate::publish::{self, Acknowledgement, Proposal, PublishError, Published};
use crate::store::RevisionSource;

/// A change as the editor sent it.
struct Change {
    text: String,
    comment: String,
    /// The epoch that the author took for the active one.
    base: Option<u64>,
}

impl Change {
    /// Browsers end lines with CR LF in a form; the document keeps its own way.
    fn new(mut fields: Fields) -> Self {
        let text = fields.take("text").replace("\r\n", "\n");
        Self { text, comment: fields.take("comment"), base: fields.take("base").parse().ok() }
    }

    fn draft(self) -> Draft {
        Draft { text: self.text, comment: self.comment, base: self.base, ..Draft::default() }
    }

    async fn check(&self) -> Result<Snapshot, PublishError> {
        publish::check(DOCUMENT.to_owned(), self.text.clone(), None).await
    }
}

pub(super) async fn review(
    State(admin): State<Admin>,
    identity: Identity,
    fields: Fields,
) -> Result<Response, Problem> {
    let change = Change::new(fields);
    if change.text.len() > POLICY_DOCUMENT_BYTES_MAX {
        let detail = format!("a policy has at most {POLICY_DOCUMENT_BYTES_MAX} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let snapshot = match change.check().await {
        Ok(snapshot) => snapshot,
        Err(error) => return refused(&identity, change, error),
    };
    let compared = admin.publisher.active().map(|active| {
        let name = format!("epoch {}", active.epoch());
        let old = Version { name: &name, text: &active.revision.text, snapshot: &active.snapshot };
        Compared::of(&old, &Version { name: "your change", text: &change.text, snapshot: &snapshot })
    });
    Ok(frame::page(
        &identity,
        "/policy",
        "Review the change",
        html! {
            @match &compared {
                Some(compared) => (compared.draw()),
                None => section class="card" { p { "There is no policy in force to compare with: this will be the first." } },
            }
            @let doubts = snapshot.findings(moment::now_ms());
            @if !doubts.is_empty() { section class="card findings" { h2 { "Warnings" } (findings(&doubts)) } }
            form class="card" method="post" action="/policy/apply" {
                (frame::csrf(&identity))
                input type="hidden" name="text" value=(change.text);
                input type="hidden" name="comment" value=(change.comment);
                input type="hidden" name="base" value=(change.base.map_or_else(String::new, |base| base.to_string()));
                div class="bar" {
                    @if identity.may(Act::ChangePolicy) { button class="main" { "Apply to every data plane" } }
                    button class="quiet" formaction="/policy/edit" { "Go on editing" }
                }
            }
        },
    ))
}

/// Back to the editor with the draft.
pub(super) async fn edit(identity: Identity, fields: Fields) -> Response {
    policy::show(&identity, Change::new(fields).draft())
}

pub(super) async fn apply(State(admin): State<Admin>, identity: Identity, fields: Fields) -> Result<Response, Problem> {
    let change = Change::new(fields);
    let proposal = Proposal {
        text: change.text.clone(),
        file: DOCUMENT.to_owned(),
        author: identity.author(None),
        comment: change.comment.clone(),
        source: RevisionSource::Api,
        expected: change.base,
    };
    match admin.publisher.publish(proposal).await {
        Ok(published) => Ok(applied(&identity, &published)),
        Err(error) => refused(&identity, change, error),
    }
}

/// Tells what the fleet did with a policy that was put in force.
pub(super) fn applied(identity: &Identity, published: &Published) -> Response {
    let epoch = published.active.epoch();
    let waiting: Vec<(&String, &Acknowledgement)> =
        published.nodes.iter().filter(|(_, answer)| **answer != Acknowledgement::Installed).collect();
    let told = match waiting.is_empty() {
        true => {
            frame::told("good", html! { "Epoch " (epoch) " is in force on " (published.nodes.len()) " data plane(s)." })
        }
        false => frame::told(
            "bad",
            html! {
                "Epoch " (epoch) " is stored and sent, and not in force everywhere: "
                @for (node, answer) in waiting {
                    (node) " ("
                    @match answer {
                        Acknowledgement::Away => "away",
                        Acknowledgement::Installed => "in force",
                        Acknowledgement::Late => "has not answered yet",
                        Acknowledgement::Refused(reason) => { "refused: " (reason) },
                    }
                    ") "
                }
            },
        ),
    };
    let findings = findings(&published.active.snapshot.findings(moment::now_ms()));
    let draft = Draft {
        text: published.active.revision.text.clone(),
        base: Some(epoch),
        told: Some(told),
        findings: Some(findings),
        ..Draft::default()
    };
    let subject = Extension(Subject(format!("epoch {epoch} published")));
    (subject, policy::show(identity, draft)).into_response()
}

/// The editor with the draft and what is wrong with it; what is not the draft's fault is a problem.
fn refused(identity: &Identity, change: Change, error: PublishError) -> Result<Response, Problem> {
    let told = match &error {
        PublishError::Invalid(_) | PublishError::EpochMoved { .. } => error.to_string(),
        _ => return Err(error.into()),
    };
    let told = Some(frame::told("bad", html! { "Not applied: " (told) "." }));
    let found = match &error {
        PublishError::Invalid(diagnostics) => Some(findings(diagnostics)),
        _ => None,
    };
    let status = Problem::from(error).status();
    let mut page = policy::show(identity, Draft { told, findings: found, ..change.draft() });
    *page.status_mut() = status;
    Ok(page)
}
