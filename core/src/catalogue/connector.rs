//! One connector as data: what a vendor documents, where that stands, and how far it is trusted.
//!
//! Read by the policy compiler, by the header edit, and by whoever shows the catalogue. The tables are generated from
//! `data/*.toml` by `build.rs`, which mirrors these structs.

use serde::Serialize;

use super::{ConnectorId, DenialCode};

/// What one SaaS needs to restrict sign-in to an organisation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Connector {
    /// Its id.
    pub id: ConnectorId,
    /// The vendor's name for the feature.
    pub title: &'static str,
    /// Who enforces it.
    pub vendor: &'static str,
    /// The subscription that the operator needs at the vendor.
    pub plan: &'static str,
    /// What the header does and what a refused user sees.
    pub effect: &'static str,
    /// Hosts to inspect: a name, or `*.suffix` for every name below it (the suffix itself is listed apart).
    pub hosts: &'static [&'static str],
    /// Hosts that the vendor or others list but that are inspected only when the operator asks for them.
    pub optional_hosts: &'static [HostNote],
    /// Hosts that must never be inspected. They beat every inclusion, whether or not the connector is in use.
    pub never_inspect: &'static [HostNote],
    /// Hosts that the vendor would have blocked rather than inspected; policy warns when they are not.
    pub deny_advice: &'static [HostNote],
    /// Patterns that no inspection rule may use, because they would cover a host that must never be inspected.
    pub refused_rules: &'static [HostNote],
    /// Hosts that share certificate and address with inspected ones, so that a browser may coalesce onto them.
    pub siblings: &'static [HostNote],
    /// What the operator fills in.
    pub fields: &'static [Field],
    /// What is set on every request to every host of the connector.
    pub headers: &'static [Header],
    /// Whether its product needs WebSockets on the inspected hosts.
    pub websocket: bool,
    /// Connectors that may not stand beside this one in a profile.
    pub conflicts: &'static [Conflict],
    /// How the vendor's refusal is recognised.
    pub denials: &'static [Denial],
    /// Response headers that carry the vendor's id of the request, best first.
    pub request_id_headers: &'static [&'static str],
    /// Request paths that name the tenant that a sign-in aims at, with `{tenant}` for that segment.
    pub tenant_paths: &'static [&'static str],
    /// What an operator must know beside.
    pub notes: &'static [&'static str],
    /// Where the facts stand.
    pub source: &'static str,
    /// The date on which the source was read.
    pub checked: &'static str,
    /// How good the source is.
    pub confidence: Confidence,
    /// Why the connector is not confirmed. Such a one works only in a restriction that says `allow_unverified = true`.
    pub unverified: Option<&'static str>,
}

/// A host pattern and why it is listed.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HostNote {
    /// A name, or `*.suffix`.
    pub host: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// A key of `[[restriction]]` that the connector understands.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What its values look like.
    pub kind: FieldKind,
    /// Whether the key takes an array.
    pub list: bool,
    /// Whether the restriction is refused without it.
    pub required: bool,
    /// Most values of a list, where the vendor documents a number.
    pub count_max: Option<usize>,
    /// Most values of a list that another product was seen to send; the vendor may take more.
    pub count_seen: Option<usize>,
    /// What the operator should write, and where to find it.
    pub help: &'static str,
}

/// What a field's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Exactly one Entra directory id.
    Directory,
    /// A registered domain.
    Domain,
    /// A domain, or one of Google's tokens for a class of accounts.
    GoogleAudience,
    /// A GUID.
    Guid,
    /// The name of a header, for vendors that give it out to their customers alone.
    HeaderName,
    /// Decimal digits.
    Number,
    /// `org-` and letters or digits.
    OpenaiOrganization,
    /// `T` or `E` and upper-case letters or digits.
    SlackTeam,
    /// A registered domain, an onmicrosoft.com name or a directory id.
    Tenant,
    /// Visible ASCII and spaces: a value whose form is the vendor's secret.
    Text,
    /// Letters, digits, `.`, `_`, `-`: an id whose form the vendor does not document.
    Token,
}

/// A header that is set on every request to the connector's hosts.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Header {
    /// Its name as the vendor writes it; `{field}` where the operator supplies it.
    pub name: &'static str,
    /// Its value: literal text with `{field}` where the operator's values go, lists joined by commas without spaces.
    pub value: &'static str,
    /// How the values become text.
    pub encoding: Encoding,
}

/// How a header's values become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// URL-safe base64 of Google's JSON object of resources and options.
    GoogleResources,
    /// A list too long for one header continues in numbered ones: the first ends in `;n=K`, then `name1` .. `name{K-1}`.
    Numbered {
        /// Values in one header.
        values_per_header: usize,
        /// Largest K.
        headers_max: usize,
    },
    /// As it stands.
    Plain,
}

/// Two connectors that exclude each other.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Conflict {
    /// The other one.
    pub with: ConnectorId,
    /// What would happen.
    pub reason: &'static str,
}

/// How one kind of refusal by the vendor is recognised: status, and then header or body.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Denial {
    /// What it is called in metrics and audit.
    pub code: DenialCode,
    /// Response statuses that come into question; all when empty.
    pub statuses: &'static [u16],
    /// A response header that gives it away.
    pub header: Option<HeaderMark>,
    /// Texts, each of which gives it away in the body.
    pub body: &'static [&'static str],
}

/// Text inside a response header.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeaderMark {
    /// Header name, lower-case.
    pub name: &'static str,
    /// Text that its value contains.
    pub contains: &'static str,
}

/// How good a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Confidence {
    /// The vendor's own text was read.
    A,
    /// A second vendor's document, or public code.
    B,
    /// One weak source.
    C,
}

impl Connector {
    /// Every host pattern that a restriction on this connector may put its headers on without being asked why.
    pub fn known_hosts(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.hosts.iter().copied().chain(self.optional_hosts.iter().map(|note| note.host))
    }

    /// The field of that name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The connector that `id` names.
pub fn connector(id: ConnectorId) -> &'static Connector {
    generated::find(id)
}

/// Every connector, in the order of their ids.
pub fn connectors() -> impl Iterator<Item = &'static Connector> {
    ConnectorId::ALL.iter().map(|&id| connector(id))
}

/// Every host that is never inspected, whatever the policy says.
pub fn never_inspect() -> impl Iterator<Item = &'static HostNote> {
    generated::NEVER_INSPECT.iter().chain(connectors().flat_map(|connector| connector.never_inspect))
}

/// Outer names of Encrypted ClientHello under which a provider hides the hosts that it serves.
pub fn ech_public_names() -> impl Iterator<Item = &'static HostNote> {
    generated::ECH_PUBLIC_NAMES.iter()
}

mod generated {
    use super::{Confidence::*, Encoding::*, FieldKind::*, *};

    include!(concat!(env!("OUT_DIR"), "/connectors.rs"));
}
