//! The configuration as it is written: strings and numbers, defaults not yet applied, unknown keys refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[cfg(debug_assertions)]
use super::faults::Faults;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) node: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) labels: Vec<Spanned<String>>,
    pub(super) shards: Option<Spanned<u64>>,
    pub(super) io_engine: Option<Spanned<String>>,
    pub(super) state_directory: Spanned<String>,
    pub(super) listen: RawListen,
    #[serde(default)]
    pub(super) listener: Vec<RawListener>,
    pub(super) link: Spanned<RawLink>,
    pub(super) auth: Option<RawAuth>,
    pub(super) quic: Option<RawQuic>,
    #[serde(default)]
    pub(super) upstream: RawUpstream,
    #[serde(default)]
    pub(super) limits: RawFlowLimits,
    #[serde(default)]
    pub(super) deadlines: RawDeadlines,
    #[cfg(debug_assertions)]
    #[serde(default)]
    pub(super) faults: Faults,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFlowLimits {
    pub(super) flows_max: Option<Spanned<u64>>,
    pub(super) flows_per_source_max: Option<Spanned<u64>>,
    pub(super) memory_mib_max: Option<Spanned<u64>>,
    pub(super) mints_per_second_max: Option<Spanned<u64>>,
    pub(super) mints_per_second_and_source_max: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListen {
    pub(super) proxy: Spanned<String>,
    pub(super) proxy_protocol: Option<Spanned<String>>,
    pub(super) trusted: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) proxy_protocol_user: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    pub(super) kind: Spanned<String>,
    pub(super) address: Spanned<String>,
    pub(super) port: Option<Spanned<u64>>,
    pub(super) keep_source: Option<Spanned<bool>>,
    pub(super) proxy_protocol: Option<Spanned<String>>,
    pub(super) trusted: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) proxy_protocol_user: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    pub(super) socket: Option<Spanned<String>>,
    pub(super) controls: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    pub(super) users_file: Spanned<String>,
    pub(super) realm: Option<Spanned<String>>,
    pub(super) usernames: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuic {
    pub(super) listen: Spanned<Vec<Spanned<String>>>,
    pub(super) refuse: Option<Spanned<String>>,
    pub(super) mark: Option<Spanned<u64>>,
    pub(super) flows_per_second_and_source_max: Option<Spanned<u64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstream {
    #[serde(default)]
    pub(super) ca_files: Vec<Spanned<String>>,
    pub(super) native_roots: Option<bool>,
    pub(super) mark: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) name_servers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) hosts: BTreeMap<String, Spanned<String>>,
    pub(super) proxy: Option<RawParent>,
    #[serde(default)]
    pub(super) proxy_header: Vec<RawHeaderRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawParent {
    pub(super) address: Spanned<String>,
    pub(super) credentials_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) no_proxy: Vec<Spanned<String>>,
    pub(super) proxy_header: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeaderRule {
    pub(super) hosts: Vec<Spanned<String>>,
    pub(super) version: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeadlines {
    pub(super) proxy_header_ms: Option<Spanned<u64>>,
    pub(super) connect_head_ms: Option<Spanned<u64>>,
    pub(super) sniff_ms: Option<Spanned<u64>>,
    pub(super) dial_ms: Option<Spanned<u64>>,
    pub(super) handshake_ms: Option<Spanned<u64>>,
    /// `http1_head_ms` was its name before HTTP/2.
    #[serde(alias = "http1_head_ms")]
    pub(super) request_head_ms: Option<Spanned<u64>>,
    pub(super) request_body_ms: Option<Spanned<u64>>,
    pub(super) stall_ms: Option<Spanned<u64>>,
    pub(super) idle_ms: Option<Spanned<u64>>,
    pub(super) half_close_ms: Option<Spanned<u64>>,
    pub(super) drain_ms: Option<Spanned<u64>>,
}
