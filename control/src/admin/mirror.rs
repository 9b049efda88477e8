//! How answers of `core` look in the API's description. `core` knows nothing of OpenAPI, so its serialised types are
//! described here, field by field.
//!
//! A field that is added, removed or renamed there does not compile here.

use penstock_core::{audit, catalogue, policy};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! mirror {
    ($($(#[$meta:meta])* $name:ident = $($real:ident)::+ {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(ToSchema)]
        #[expect(dead_code, reason = "describes, and is never made")]
        pub(super) struct $name {
            $($(#[$field_meta])* $field: $type,)*
        }

        const _: fn($($real)::+) = |$($real)::+ { $($field: _,)* }| ();
    )*};
}

mirror! {
    /// One request on an inspected flow, or the end of a flow that was not inspected but matters. Absent facts are absent.
    Event = audit::Event {
        /// RFC 3339, UTC, milliseconds.
        time: String,
        /// Name of the data plane that saw it.
        node: String,
        /// Site that the source belongs to.
        #[schema(required = false)]
        site: String,
        /// Shard number.
        shard: u16,
        /// Flow id, unique on its node until the process restarts.
        flow: String,
        /// The inside host's address.
        source: String,
        /// User id, when the listener knows one.
        #[schema(required = false)]
        user: String,
        /// Human-readable user name, masked unless the operator turned it on.
        #[schema(required = false)]
        username: String,
        /// The vendor's application, as far as the request tells (an OAuth client id, a product name).
        #[schema(required = false)]
        application: String,
        /// The client software: product token of User-Agent, else the JA4 fingerprint of the ClientHello.
        #[schema(required = false)]
        client: String,
        /// Catalogue id.
        #[schema(required = false)]
        connector: String,
        /// Profile in force.
        #[schema(required = false)]
        profile: String,
        /// enforce, report-only or off.
        #[schema(required = false)]
        mode: String,
        /// Epoch of the snapshot in force.
        #[schema(required = false)]
        epoch: u64,
        /// The host name of the ClientHello, normalised.
        #[schema(required = false)]
        sni: String,
        /// "1.1" or "2".
        #[schema(required = false)]
        http: String,
        /// Request method.
        #[schema(required = false)]
        method: String,
        /// Request path without query.
        #[schema(required = false)]
        path: String,
        /// Tenant that the sign-in aims at, as the request names it.
        #[schema(required = false)]
        target_tenant: String,
        /// allowed, denied, fault or would_deny.
        status: String,
        /// The vendor's denial code, or the reason of a denial by policy.
        #[schema(required = false)]
        code: String,
        /// The vendor's own id of the request, for a support case.
        #[schema(required = false)]
        vendor_request_id: String,
        /// Names of the headers that were set.
        #[schema(required = false)]
        headers_set: Vec<String>,
        /// Names of the headers that the client had sent and that were removed.
        #[schema(required = false)]
        headers_stripped: Vec<String>,
        /// `leg/phase/kind`.
        #[schema(required = false)]
        fault: String,
    }

    /// A finding in a policy.
    Diagnostic = policy::Diagnostic {
        /// Name of the document.
        file: String,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        severity: Severity,
        /// The kind of finding, such as invented-name.
        code: String,
        message: String,
        /// What to write instead, where that is known.
        #[schema(required = false)]
        help: String,
    }

    /// A decision.
    Explanation = policy::Explanation {
        verdict: Verdict,
        reason: String,
        /// The `[[site]]` of the source.
        #[schema(required = false)]
        site: String,
        /// Who the user is: as asked, else the `[[user]]` of the source.
        #[schema(required = false)]
        user: String,
        /// The profile in force, if any.
        #[schema(required)]
        profile: Option<String>,
        mode: Mode,
        /// Null for a policy that was not published.
        #[schema(required)]
        epoch: Option<u64>,
        /// The connectors that cover the host.
        connectors: Vec<String>,
        /// What is set on each request.
        set: Vec<SetHeader>,
        /// Names of the headers that are removed when the client sends them.
        strip: Vec<String>,
        /// What report-only leaves unset.
        #[schema(required = false)]
        would_set: Vec<SetHeader>,
        /// What report-only leaves in place.
        #[schema(required = false)]
        would_strip: Vec<String>,
        /// What ends and begins TLS, where the policy says other than rustls on both legs.
        #[schema(required = false)]
        engines: Engines,
        /// Why the destination, where one was given, is not dialled even so.
        #[schema(required = false)]
        destination_refused: String,
        /// What lifts restrictions of the host for this flow, now.
        #[schema(required = false)]
        exception: Exception,
        /// For how long the client, whose fingerprint was given, is passed once it has refused the minted leaf.
        #[schema(required = false)]
        bypass_seconds: u32,
    }

    /// A header with its value, as it is set.
    SetHeader = policy::SetHeader {
        name: String,
        value: String,
    }

    /// What speaks TLS.
    Engines = policy::ShownEngines {
        upstream: String,
        downstream: String,
        /// Whether the origin may speak TLS 1.0 and 1.1, static RSA and CBC.
        legacy: bool,
    }

    /// An `[[exception]]` of a policy.
    Exception = policy::ShownException {
        /// Users, groups (`group:NAME`) and networks.
        who: Vec<String>,
        /// The operator's reason.
        why: String,
        /// RFC 3339: its first moment, where the document names one.
        #[schema(required = false)]
        from: String,
        /// RFC 3339: the first moment after it.
        until: String,
        /// Names of the restrictions that it lifts.
        restrictions: Vec<String>,
    }

    /// What one SaaS needs to restrict sign-in to an organisation.
    Connector = catalogue::Connector {
        id: String,
        /// The vendor's name for the feature.
        title: String,
        /// Who enforces it.
        vendor: String,
        /// The subscription that the operator needs at the vendor.
        plan: String,
        /// What the header does and what a refused user sees.
        effect: String,
        /// Hosts to inspect: a name, or `*.suffix` for every name below it.
        hosts: Vec<String>,
        /// Hosts that are inspected only when the operator asks for them.
        optional_hosts: Vec<HostNote>,
        /// Hosts that must never be inspected.
        never_inspect: Vec<HostNote>,
        /// Hosts that the vendor would have blocked rather than inspected.
        deny_advice: Vec<HostNote>,
        /// Patterns that no inspection rule may use.
        refused_rules: Vec<HostNote>,
        /// Hosts that share certificate and address with inspected ones.
        siblings: Vec<HostNote>,
        /// What the operator fills in.
        fields: Vec<Field>,
        /// What is set on every request to every host of the connector.
        headers: Vec<Header>,
        /// Whether its product needs WebSockets on the inspected hosts.
        websocket: bool,
        /// Connectors that may not stand beside this one in a profile.
        conflicts: Vec<Conflict>,
        /// How the vendor's refusal is recognised.
        denials: Vec<Denial>,
        /// Response headers that carry the vendor's id of the request, best first.
        request_id_headers: Vec<String>,
        /// Request paths that name the tenant that a sign-in aims at.
        tenant_paths: Vec<String>,
        /// What an operator must know beside.
        notes: Vec<String>,
        /// Where the facts stand.
        source: String,
        /// The date on which the source was read.
        checked: String,
        /// A: the vendor's own text was read; B: a second document, or public code; C: one weak source.
        confidence: String,
        /// Why the connector is not confirmed.
        #[schema(required)]
        unverified: Option<String>,
    }

    /// A host pattern and why it is listed.
    HostNote = catalogue::HostNote {
        host: String,
        reason: String,
    }

    /// A key of `[[restriction]]` that the connector understands.
    Field = catalogue::Field {
        name: String,
        /// What its values look like: a word, or an object of the word and its choices.
        #[schema(value_type = Value)]
        kind: (),
        /// Whether the key takes an array.
        list: bool,
        required: bool,
        /// Most values of a list, where the vendor documents a number.
        #[schema(required)]
        count_max: Option<usize>,
        /// Most values of a list that another product was seen to send.
        #[schema(required)]
        count_seen: Option<usize>,
        help: String,
    }

    /// A header that is set on every request to the connector's hosts.
    Header = catalogue::Header {
        /// As the vendor writes it; `{field}` where the operator supplies it.
        name: String,
        /// Literal text with `{field}` where the operator's values go.
        value: String,
        /// How the values become text: a word, or an object of the word and its bounds.
        #[schema(value_type = Value)]
        encoding: (),
    }

    /// A connector that excludes this one.
    Conflict = catalogue::Conflict {
        with: String,
        reason: String,
    }

    /// How one kind of refusal by the vendor is recognised.
    Denial = catalogue::Denial {
        /// What it is called in metrics and audit.
        code: String,
        /// Response statuses that come into question; all when empty.
        statuses: Vec<u16>,
        /// A response header that gives it away.
        #[schema(required)]
        header: Option<HeaderMark>,
        /// Texts, each of which gives it away in the body.
        body: Vec<String>,
    }

    /// Text inside a response header.
    HeaderMark = catalogue::HeaderMark {
        name: String,
        contains: String,
    }
}

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $real:ty;)*) => {$(
        $(#[$meta])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let labels = <$real>::ALL.iter().map(|word| word.label());
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(labels)).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

words! {
    /// Whether a policy is enforced.
    Mode = policy::Mode;
    /// Whether a policy can be used in spite of what was found.
    Severity = policy::Severity;
    /// What becomes of a flow.
    Verdict = policy::Verdict;
}
