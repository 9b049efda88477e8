//! End to end: the real binaries, real sockets, real clients. Each file is one part of what the product promises;
//! `hostile_*` and `evasion_*` are the numbered cases of `tests/HOSTILE.md`.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod audit;
mod ca;
mod ca_life;
mod clients;
mod clients_http2;
mod clients_peers;
mod connect;
mod daemons;
mod deny;
mod deploy_package;
mod engines;
mod evasion_address;
mod evasion_ech;
mod evasion_pinned;
mod evasion_retry;
mod explain;
mod explicit_auth;
mod explicit_pac;
mod explicit_plain;
mod hostile_certificate;
mod hostile_connect;
mod hostile_framing;
mod hostile_header;
mod hostile_hello;
mod hostile_http2;
mod hostile_http2_stall;
mod hostile_name;
mod hostile_upstream;
mod http2;
mod inspect;
mod metrics;
mod oracle;
mod overlap;
mod parent;
mod pass;
mod policy;
mod proxy_protocol;
mod resilience;
mod transparent;
mod transparent_down;
mod transparent_quic;
mod transparent_redirect;
mod transparent_script;
mod transparent_tproxy;
