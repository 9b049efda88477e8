//! What is done to every request of an inspected flow: which headers go, which are set.
//!
//! Built once for each profile and set of host rules when a policy is compiled, and shared from then on: a flow that
//! keeps its edit keeps one policy version's whole header set, whatever is installed meanwhile. Applied by the HTTP
//! editors, which own the wire.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use serde::Serialize;
use smallvec::SmallVec;

use super::Mode;
use crate::catalogue::denial::DenialSignatures;
use crate::catalogue::{ConnectorId, DenialScanner, StripNames, connector};
use crate::http2::hpack::literal;

/// A header with its value, as it is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetHeader {
    /// Name as the vendor writes it: a token (RFC 9110 section 5.6.2).
    pub name: Box<str>,
    /// Value: visible ASCII and spaces, at most [`HEADER_VALUE_BYTES_MAX`](crate::limits::HEADER_VALUE_BYTES_MAX).
    pub value: Box<str>,
}

/// Connectors in one decision: nearly always one or two.
pub type ConnectorIds = SmallVec<[ConnectorId; 4]>;

/// The edit of one profile for the hosts that a given set of restrictions covers.
#[derive(Debug)]
pub struct HeaderEdit {
    profile: Option<Arc<str>>,
    mode: Mode,
    connectors: ConnectorIds,
    /// What enforcing means; in report-only it is what would have been set.
    headers: Vec<SetHeader>,
    /// The lines of `headers` that are set, each ended by CR LF; empty unless enforcing.
    http1_block: Bytes,
    /// The same as header fields of HTTP/2; empty unless enforcing.
    http2_block: Bytes,
    websocket: bool,
    names: Arc<StripNames>,
    denials: Arc<DenialSignatures>,
    request_id_headers: SmallVec<[&'static str; 4]>,
}

impl HeaderEdit {
    /// An edit that knows the catalogue's header names alone. Snapshots share one table of names over all their edits.
    pub fn new(mode: Mode, connectors: &[ConnectorId], headers: Vec<SetHeader>) -> Self {
        Self::with_names(Arc::new(StripNames::new([])), mode, connectors, headers)
    }

    /// An edit that shares `names`, the table of headers that are restriction headers.
    pub(super) fn with_names(
        names: Arc<StripNames>,
        mode: Mode,
        connectors: &[ConnectorId],
        headers: Vec<SetHeader>,
    ) -> Self {
        let (mut block, mut http2_block) = (Vec::new(), Vec::new());
        if mode == Mode::Enforce {
            for header in &headers {
                for part in [header.name.as_bytes(), b": ", header.value.as_bytes(), b"\r\n"] {
                    block.extend_from_slice(part);
                }
                literal(header.name.to_ascii_lowercase().as_bytes(), header.value.as_bytes(), false, &mut http2_block);
            }
        }
        Self {
            profile: None,
            mode,
            connectors: connectors.into(),
            headers,
            http1_block: block.into(),
            http2_block: http2_block.into(),
            websocket: connectors.iter().any(|&id| connector(id).websocket),
            names,
            denials: Arc::new(DenialSignatures::new(connectors)),
            request_id_headers: connectors.iter().flat_map(|&id| connector(id).request_id_headers).copied().collect(),
        }
    }

    /// The same edit, with WebSockets allowed or not whatever the connectors' default is.
    #[must_use]
    pub fn with_websocket(self, websocket: bool) -> Self {
        Self { websocket, ..self }
    }

    /// The same edit as part of a profile.
    pub(super) fn of_profile(self, name: &Arc<str>) -> Self {
        Self { profile: Some(Arc::clone(name)), ..self }
    }

    /// The profile that it belongs to.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The mode of the profile.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The connectors whose restrictions cover the host.
    pub fn connectors(&self) -> &[ConnectorId] {
        &self.connectors
    }

    /// What is set on each request: nothing in report-only.
    pub fn set(&self) -> &[SetHeader] {
        if self.mode == Mode::Enforce { &self.headers } else { &[] }
    }

    /// What report-only leaves unset; empty when enforcing.
    pub fn would_set(&self) -> &[SetHeader] {
        if self.mode == Mode::ReportOnly { &self.headers } else { &[] }
    }

    /// [`Self::set`] as HTTP/1.1 header lines, each ended by CR LF.
    pub const fn http1_block(&self) -> &Bytes {
        &self.http1_block
    }

    /// [`Self::set`] as header fields of HTTP/2: names in lower case, literals that touch no dynamic table, so that they are
    /// right in any header block.
    pub const fn http2_block(&self) -> &Bytes {
        &self.http2_block
    }

    /// Whether a request may turn its connection (HTTP/1.1) or stream (HTTP/2) into a WebSocket, which is not read any more.
    pub const fn websocket(&self) -> bool {
        self.websocket
    }

    /// Whether a header that the client sent is removed: any restriction header of the catalogue, not of this host's
    /// connectors alone, in any spelling. Always false in report-only, where requests go unchanged.
    pub fn strips(&self, name: &[u8]) -> bool {
        self.mode == Mode::Enforce && self.names.contains(name)
    }

    /// The connector that a client-sent header belongs to, in any mode; one of this host's own where several share the
    /// name. `None` for headers that are no restriction headers.
    pub fn connector_of(&self, name: &[u8]) -> Option<ConnectorId> {
        let all = self.names.connectors_of(name);
        all.iter().copied().find(|id| self.connectors.contains(id)).or_else(|| all.first().copied())
    }

    /// The names that are removed, without numbered continuations; also what report-only would remove.
    pub fn strip_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter()
    }

    /// A scanner for the refusals of this host's vendors, good for one response at a time.
    pub fn scanner(&self) -> DenialScanner {
        DenialScanner::shared(Arc::clone(&self.denials))
    }

    /// Response headers that carry the vendor's id of the request, best first, lower-case.
    pub fn request_id_headers(&self) -> &[&'static str] {
        &self.request_id_headers
    }
}
