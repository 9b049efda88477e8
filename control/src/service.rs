//! The daemon's side of a service manager: the link's listener where the manager holds it (sd_listen_fds(3)), and the
//! words that tell it of the daemon's life (sd_notify(3)).
//!
//! Called by `main` and `daemon`. Without a service manager nothing happens.

use std::io;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// Why what the service manager passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Not a listening Unix socket.
    #[error("the service manager passed a descriptor that is no Unix socket for the link: {0}")]
    Listener(io::Error),
    /// More than the link's socket.
    #[error("the service manager passed {0} sockets; only the link's is taken, as a Unix socket")]
    Sockets(usize),
}

/// The link's listener, where the service manager holds it. Its file belongs to the manager: it stays over a restart, so
/// that data planes wait in its queue, and its owner and mode are the manager's.
///
/// To be called before any thread is started, since it takes the variables out of the environment.
pub fn link_listener() -> Result<Option<UnixListener>, ServiceError> {
    let mut passed = ListenFd::from_env();
    if passed.len() > 1 {
        return Err(ServiceError::Sockets(passed.len()));
    }
    let listener = passed.take_unix_listener(0).map_err(ServiceError::Listener)?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true).map_err(ServiceError::Listener)?;
    }
    Ok(listener)
}

/// Whether what is written to standard error is kept by systemd's journal (systemd.exec(5), JOURNAL_STREAM).
pub fn is_kept_in_journal() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// Both listeners are open and the stored policy is in force.
pub(crate) fn ready(admin: impl std::fmt::Display) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("Serving, admin API on {admin}"))]);
}

/// The last requests are finished.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the watchdog for ever that tasks are still run: twice as often as it asks for.
pub(crate) async fn keep_alive() {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(patience / 2);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// A manager that does not listen any more is no reason to stop serving.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
