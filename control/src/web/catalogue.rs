//! The catalogue: what each SaaS needs, where that stands, and how the operator finds the values.

use axum::extract::Path;
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::catalogue::{Confidence, Connector, ConnectorId, Field, FieldKind, HostNote, connector, connectors};

use super::frame;
use crate::access::Identity;
use crate::admin::Problem;

pub(super) async fn list(identity: Identity) -> Response {
    let headings = ["connector", "vendor", "hosts", "you fill in", "source", "read"];
    frame::page(
        &identity,
        "/catalogue",
        "Catalogue",
        html! {
            p class="muted" { "What each SaaS needs so that its sign-in refuses accounts of other organisations." }
            section class="card" {
                (frame::table("Connectors", &headings, html! {
                    @for connector in connectors() {
                        tr {
                            th scope="row" {
                                a href={ "/catalogue/" (connector.id.label()) } { (connector.title) }
                                div class="muted small mono" { (connector.id.label()) }
                            }
                            td { (connector.vendor) }
                            td class="number" { (connector.hosts.len()) }
                            td { @for field in connector.fields { div class="mono small" { (field.name) } } }
                            td { (confidence(connector)) }
                            td { (connector.checked) }
                        }
                    }
                }))
            }
        },
    )
}

pub(super) async fn show(identity: Identity, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = ConnectorId::parse(&id).ok_or_else(|| Problem::not_found("there is no connector of that id"))?;
    let connector = connector(id);
    Ok(frame::page(
        &identity,
        "/catalogue",
        connector.title,
        html! {
            p { a href="/catalogue" { "All connectors" } }
            section class="card" {
                dl class="facts" {
                    dt { "Id" } dd class="mono" { (connector.id.label()) }
                    dt { "Vendor" } dd { (connector.vendor) }
                    dt { "Plan" } dd { (connector.plan) }
                    dt { "Effect" } dd { (connector.effect) }
                    dt { "Source" } dd { (confidence(connector)) " " (source(connector.source)) ", read " (connector.checked) }
                    @if let Some(reason) = connector.unverified { dt { "Not confirmed" } dd { (reason) } }
                }
            }
            (values(connector))
            (hosts(connector))
            (answers(connector))
            @if !connector.notes.is_empty() {
                section class="card" { h2 { "To know beside" } ul { @for note in connector.notes { li { (note) } } } }
            }
        },
    ))
}

fn values(connector: &Connector) -> Markup {
    html! {
        section class="card" {
            h2 { "What you fill in" }
            @if connector.fields.is_empty() { p class="muted" { "Nothing." } } @else {
                (frame::table("Values", &["key", "form", "limit", "where to find it"], html! {
                    @for field in connector.fields {
                        tr {
                            th scope="row" class="mono" { (field.name) @if field.required { " " (frame::badge("plain", "required")) } }
                            td { (form(field)) }
                            td { (limit(field)) }
                            td class="long" { (field.help) }
                        }
                    }
                }))
            }
            @if !connector.headers.is_empty() {
                h3 { "Headers that are set" }
                @for header in connector.headers { p class="mono wrap" { (header.name) ": " (header.value) } }
            }
            @for conflict in connector.conflicts {
                p { "Not beside " a href={ "/catalogue/" (conflict.with.label()) } { (conflict.with.label()) } " in one profile: " (conflict.reason) }
            }
        }
    }
}

fn form(field: &Field) -> String {
    let form = match field.kind {
        FieldKind::Choice(words) => words.join(" or "),
        FieldKind::Directory => "directory id".to_owned(),
        FieldKind::Domain => "domain".to_owned(),
        FieldKind::GoogleAudience => "domain or class of accounts".to_owned(),
        FieldKind::Guid => "GUID".to_owned(),
        FieldKind::HeaderName => "header name".to_owned(),
        FieldKind::Number => "number".to_owned(),
        FieldKind::OpenaiOrganization => "org-...".to_owned(),
        FieldKind::SlackTeam => "T... or E...".to_owned(),
        FieldKind::Tenant => "domain or directory id".to_owned(),
        FieldKind::Text => "text".to_owned(),
        FieldKind::Token => "id".to_owned(),
    };
    if field.list { format!("list of: {form}") } else { form }
}

fn limit(field: &Field) -> String {
    match (field.count_max, field.count_seen) {
        (Some(count), _) => format!("{count} values"),
        (None, Some(count)) => format!("{count} were seen to work"),
        (None, None) if field.list => "none documented".to_owned(),
        (None, None) => "one value".to_owned(),
    }
}

fn hosts(connector: &Connector) -> Markup {
    let notes: [(&str, &[HostNote]); 4] = [
        ("Inspected when you ask for it", connector.optional_hosts),
        ("Never inspected", connector.never_inspect),
        ("Better denied", connector.deny_advice),
        ("Share certificate and address with them", connector.siblings),
    ];
    html! {
        section class="card" {
            h2 { "Hosts" }
            ul class="mono wrap" { @for host in connector.hosts { li { (host) } } }
            @for (title, notes) in notes {
                @if !notes.is_empty() {
                    h3 { (title) }
                    ul { @for note in notes { li { span class="mono" { (note.host) } ": " (note.reason) } } }
                }
            }
        }
    }
}

fn answers(connector: &Connector) -> Markup {
    html! {
        section class="card" {
            h2 { "How a refusal looks" }
            @if connector.denials.is_empty() { p class="muted" { "The vendor's refusal cannot be told from other answers." } }
            @for denial in connector.denials {
                div class="denial" {
                    p { (frame::badge("bad", denial.code.label())) }
                    dl class="facts" {
                        @if !denial.statuses.is_empty() {
                            dt { "Status" }
                            dd { (denial.statuses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                        }
                        @if let Some(mark) = denial.header { dt { "Header" } dd class="mono" { (mark.name) ": ..." (mark.contains) "..." } }
                        @for text in denial.body { dt { "Text" } dd { "“" (text) "”" } }
                    }
                }
            }
        }
    }
}

fn confidence(connector: &Connector) -> Markup {
    match connector.confidence {
        Confidence::A => frame::badge("good", "vendor's own text"),
        Confidence::B => frame::badge("warn", "second source"),
        Confidence::C => frame::badge("bad", "weak source"),
    }
}

/// An address where it is one.
fn source(source: &str) -> Markup {
    html! { @if source.starts_with("https://") { a href=(source) rel="noreferrer" { (source) } } @else { (source) } }
}
