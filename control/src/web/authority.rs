//! The authority: what clients must trust, until when, and how it gets there.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use penstock_core::audit::timestamp;

use super::frame;
use crate::access::Identity;
use crate::admin::Admin;
use crate::ca::{RootFacts, RotationFacts};

/// Where the root goes on one kind of client: what it is, the commands, what to know beside.
struct Recipe {
    title: &'static str,
    commands: &'static str,
    note: &'static str,
}

const RECIPES: [Recipe; 9] = [
    Recipe {
        title: "Windows",
        commands: "certutil -addstore -f Root penstock-root.crt",
        note: "For a fleet: Group Policy, Computer Configuration, Public Key Policies, Trusted Root Certification Authorities; \
               or an Intune trusted-certificate profile. Edge and Chrome use this store.",
    },
    Recipe {
        title: "macOS",
        commands: "sudo security add-trusted-cert -d -r trustRoot \\\n  -k /Library/Keychains/System.keychain penstock-root.pem",
        note: "For a fleet: a configuration profile with the certificate, from the device management. Safari and Chrome use it.",
    },
    Recipe {
        title: "Debian, Ubuntu",
        commands: "sudo cp penstock-root.pem /usr/local/share/ca-certificates/penstock-root.crt\nsudo update-ca-certificates",
        note: "The file must end in .crt there. curl, wget, git and Go programs use it.",
    },
    Recipe {
        title: "Fedora, RHEL",
        commands: "sudo cp penstock-root.pem /etc/pki/ca-trust/source/anchors/\nsudo update-ca-trust",
        note: "",
    },
    Recipe {
        title: "Firefox",
        commands: "{ \"policies\": { \"Certificates\": { \"ImportEnterpriseRoots\": true } } }",
        note: "In policies.json, so that Firefox takes the system's roots on Windows and macOS. On Linux name the file instead: \
               \"Certificates\": { \"Install\": [\"/usr/local/share/ca-certificates/penstock-root.crt\"] }.",
    },
    Recipe {
        title: "Chrome on Linux",
        commands: "certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n penstock -i penstock-root.pem",
        note: "certutil is in the package libnss3-tools.",
    },
    Recipe {
        title: "Java",
        commands: "keytool -importcert -noprompt -cacerts -alias penstock \\\n  -file penstock-root.pem -storepass changeit",
        note: "Once for each runtime. Or start with -Djavax.net.ssl.trustStoreType=Windows-ROOT (KeychainStore on macOS).",
    },
    Recipe {
        title: "Node.js",
        commands: "export NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/penstock-root.crt",
        note: "Node 22.15 and later also take the system's roots with --use-system-ca.",
    },
    Recipe {
        title: "Python",
        commands: "export REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\nexport SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        note: "requests, httpx and pip carry roots of their own. The file named here is the system's bundle, with the root in it; \
               the package truststore uses the system's store on every OS.",
    },
];

pub(super) async fn page(State(admin): State<Admin>, identity: Identity) -> Response {
    let active = admin.publisher.active();
    frame::page(
        &identity,
        "/authority",
        "Authority",
        html! {
            section class="card" {
                h2 { "Root" }
                (root(&admin.authority.root()))
                div class="bar" {
                    a class="button main" href="/ca/root.pem" download="penstock-root.pem" { "Download PEM" }
                    a class="button" href="/ca/root.crt" download="penstock-root.crt" { "Download DER (.crt)" }
                }
                p class="muted small" {
                    "Compare the fingerprint with what the machine itself says: " code { "penstock ca show" } ". "
                    "The same addresses serve clients without signing in."
                }
                @if admin.authority.operator_file().is_some() { p { "It is an authority of your own: clients trust it, or one above it." } }
            }
            @if let Some(rotation) = admin.authority.rotation() { (rotating(&rotation)) }
            section class="card" {
                h2 { "Issuer" }
                @match &active {
                    Some(active) => {
                        dl class="facts" {
                            dt { "Serial" } dd class="mono" { (active.issuer.serial) }
                            dt { "Valid" } dd { (moment(active.issuer.not_before)) " to " (moment(active.issuer.not_after)) }
                        }
                        details {
                            summary { "It can vouch for these names only (" (active.hosts.len()) ")" }
                            ul class="mono wrap" { @for host in &active.hosts { li { (host) } } }
                        }
                    },
                    None => p class="muted" { "None: no policy is in force." },
                }
            }
            section class="card" {
                h2 { "Bring the root to clients" }
                @for recipe in RECIPES {
                    details {
                        summary { (recipe.title) }
                        pre class="document" tabindex="0" role="region" aria-label={ "Commands for " (recipe.title) } { (recipe.commands) }
                        @if !recipe.note.is_empty() { p { (recipe.note) } }
                    }
                }
            }
        },
    )
}

fn root(facts: &RootFacts) -> Markup {
    html! {
        dl class="facts" {
            dt { "Name" } dd { (facts.common_name) }
            dt { "SHA-256" } dd class="mono fingerprint" { (pairs(&facts.sha256)) }
            dt { "Valid" } dd { (moment(facts.not_before)) " to " (moment(facts.not_after)) }
        }
    }
}

fn rotating(rotation: &RotationFacts) -> Markup {
    let (title, facts, cross, text) = match rotation {
        RotationFacts::Announced { next, switches_at, is_cross_signed } => (
            "Next root",
            next,
            *is_cross_signed,
            html! { "It signs from " (moment(*switches_at)) ": bring it to every client before." },
        ),
        RotationFacts::Switched { old, is_cross_signed } => (
            "Old root",
            old,
            *is_cross_signed,
            html! { "It signs no more and is still served; " code { "penstock ca rotate --finish" } " takes it away." },
        ),
    };
    html! {
        section class="card" {
            h2 { (title) }
            (root(facts))
            p { (text) }
            @if !cross { p { "The roots have no word for each other: clients that have one alone refuse the other." } }
        }
    }
}

/// As certificate viewers show it.
fn pairs(hex: &str) -> String {
    let characters: Vec<char> = hex.chars().collect();
    characters.chunks(2).map(|pair| pair.iter().collect::<String>().to_uppercase()).collect::<Vec<_>>().join(":")
}

fn moment(unix_seconds: i64) -> Markup {
    frame::moment(&timestamp(u64::try_from(unix_seconds).unwrap_or(0).saturating_mul(1000)))
}
