//! "What would happen to this flow?": a question as users put it, answered by the same function that the data plane
//! decides with.
//!
//! Called by the admin API and by `penstock explain`.

use std::net::{IpAddr, Ipv4Addr};

use penstock_core::policy::{Explanation, FlowFacts, Snapshot, explain};
use penstock_core::sni::Sni;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};

/// A flow, as far as the asker knows it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[schema(examples(json!({ "sni": "login.microsoftonline.com", "source": "10.1.2.3" })))]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Host name in the ClientHello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The inside host; 127.0.0.1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = address)]
    pub source: Option<IpAddr>,
    /// User id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Groups of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Where the flow goes, when that is an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = address)]
    pub destination: Option<IpAddr>,
    /// Host name in the CONNECT request, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// A host whose address the destination is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_host: Option<String>,
    /// The ClientHello offers Encrypted ClientHello; `sni` is then its outer name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ech: bool,
    /// JA4 fingerprint of the client: says whether a bypass would cover it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// A policy document to ask instead of the one in force. Only the admin API reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// How an address is written, or null.
fn address() -> Schema {
    let one = |format| ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::KnownFormat(format)));
    let null = ObjectBuilder::new().schema_type(Type::Null);
    OneOfBuilder::new().item(one(KnownFormat::Ipv4)).item(one(KnownFormat::Ipv6)).item(null).build().into()
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The name can be no host name.
    #[error("sni: {name:?} is no host name that a ClientHello may carry: {reason}")]
    Sni {
        /// As given.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Nothing to decide on.
    #[error("give a host name (sni), a destination, or both")]
    Empty,
}

impl Question {
    /// Asks the snapshot, about a flow at that moment (Unix time, milliseconds).
    pub fn answer(&self, snapshot: &Snapshot, unix_ms: u64) -> Result<Explanation, QuestionError> {
        if self.sni.is_none() && self.destination.is_none() && self.destination_host.is_none() {
            return Err(QuestionError::Empty);
        }
        let sni = self.sni.as_deref().map(parse_sni).transpose()?;
        let authority = self.authority.as_deref().map(parse_sni).transpose()?;
        let destination_host = self.destination_host.as_deref().map(parse_sni).transpose()?;
        let facts = FlowFacts {
            user: self.user.as_deref(),
            groups: &self.groups,
            sni: sni.as_ref(),
            authority: authority.as_ref(),
            destination: self.destination,
            destination_hosts: destination_host.as_slice(),
            ech: self.ech,
            unix_ms: Some(unix_ms),
            ..FlowFacts::of(self.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        };
        let explanation = explain(snapshot, &facts);
        Ok(match &self.ja4 {
            Some(ja4) => explanation.with_client(snapshot, &facts, ja4),
            None => explanation,
        })
    }
}

fn parse_sni(name: &str) -> Result<Sni, QuestionError> {
    Sni::parse(name.as_bytes())
        .map_err(|reject| QuestionError::Sni { name: name.to_owned(), reason: reject.label().replace('_', " ") })
}
