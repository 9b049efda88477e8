//! The policy: a document, compiled into an immutable snapshot that decides flows.
//!
//! | module | owns |
//! |---|---|
//! | `document`, `findings`, `code` | the document as written, with the place of every value; what is wrong with it |
//! | `restriction`, `profile`, `host_rule`, `lint`, `reach`, `knowledge` | the checks |
//! | `evasion` | what is done about ECH, addresses of connectors' hosts, and clients that refuse the leaf |
//! | `exception` | who is free of which restrictions for a while |
//! | `compile` | the way from document to snapshot |
//! | `assemble`, `snapshot` | the snapshot and how it is put together |
//! | `named` | the names of sites and users by their networks |
//! | `engine` | the TLS engines of inspected hosts |
//! | `index` | which rules cover a host name |
//! | `decide` | the decision itself |
//! | `connect`, `plain` | what tunnels may go where beside TLS on 443; requests for plain HTTP |
//! | `pac` | the script that tells browsers what goes through the proxy |
//! | `header_edit` | what is done to requests |
//! | `explain` | a decision as it is shown |
//! | `migrate` | a document changed from Microsoft's first version to the second |
//! | `destination` | addresses that are never dialled |

mod assemble;
mod coalescing;
mod code;
mod compile;
mod connect;
mod decide;
pub mod destination;
mod diagnostic;
mod document;
mod engine;
mod evasion;
mod exception;
mod explain;
mod findings;
mod header_edit;
mod host_rule;
mod index;
mod inner;
mod knowledge;
mod lint;
mod migrate;
mod named;
mod pac;
mod pattern;
mod plain;
mod profile;
mod reach;
mod restriction;
mod snapshot;
mod source;
mod suggest;
mod verdict;

pub use code::FindingCode;
pub use compile::compile;
pub use decide::{Decision, FlowFacts};
pub use diagnostic::{Diagnostic, Severity};
pub use engine::{EngineKind, Engines, ShownEngines};
pub use evasion::{AddressMode, EchMode};
pub use exception::ShownException;
pub use explain::{Explanation, explain};
pub use header_edit::{ConnectorIds, HeaderEdit, SetHeader};
pub use migrate::{Migration, migrate_entra};
pub use snapshot::Snapshot;
pub use verdict::{Mode, Reason, Verdict};
