//! The pool of connections, and the server's certificate.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::told;
use crate::config::PostgresSettings;
use crate::peer;
use crate::store::StoreError;

/// A pool that dials when it is asked. Password and authorities are read now.
pub(super) fn pool(settings: &PostgresSettings) -> Result<Pool, StoreError> {
    let failed = |error: std::io::Error| StoreError::Away(error.to_string());
    let mut config = settings.config.clone();
    config.application_name("penstock").connect_timeout(PATIENCE).tcp_user_timeout(PATIENCE);
    if let Some(path) = &settings.password_file {
        config.password(peer::read_private(path).map_err(failed)?.trim_end().as_bytes());
    }
    // A connection that broke while nobody used it is found out before it is handed on.
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
    let manager = match &settings.tls {
        Some(files) => {
            let tls = peer::tls_config(files).map_err(failed)?;
            Manager::from_config(config, MakeRustlsConnect::new(rustls::ClientConfig::clone(&tls)), recycling)
        }
        None => Manager::from_config(config, NoTls, recycling),
    };
    let timeouts = Timeouts { wait: Some(PATIENCE), create: Some(PATIENCE), recycle: Some(PATIENCE) };
    let pool = Pool::builder(manager).max_size(CONNECTIONS_MAX).runtime(Runtime::Tokio1).timeouts(timeouts);
    pool.build().map_err(|error| StoreError::Away(told(&error)))
}

/// The writer's, and those of readers.
const CONNECTIONS_MAX: usize = 8;
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
