//! The daemon's configuration. `daemon` has the file as a whole, `export` its `[[export]]` tables, `oidc` `[oidc]`, `push`
//! `[metrics_push]`, `store` `[store]`.
//!
//! Called by `main` and, to write a file, by `penstock up`.

mod daemon;
mod export;
mod oidc;
mod push;
mod store;

pub use daemon::{
    AdminTls, AuthoritySettings, Config, ConfigError, DEFAULT_LISTEN, OperatorFiles, RawAuthority, RawConfig, RawLink,
    check_socket_path,
};
pub use export::{CollectorSettings, Destination, ExportSettings, NatsSettings, Peer, RawExport};
pub(crate) use oidc::is_here;
pub use oidc::{CALLBACK, OidcSettings};
pub use push::{MetricsPush, RawMetricsPush};
pub use store::{
    ClientIdentity, ClientTls, EtcdSettings, PostgresSettings, RawEtcd, RawPostgres, RawStore, StoreSettings,
};
