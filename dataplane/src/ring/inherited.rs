//! Sockets that a service manager opened or kept and this process was started with: systemd's socket activation, and its
//! store of descriptors. Our own supervisor speaks the same protocol (sd_listen_fds(3)).

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;
use socket2::SockRef;

/// What was inherited and nobody has claimed yet, each socket under its name.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<(String, OwnedFd)>,
}

/// A kind of socket that is used on by the next process.
pub(crate) trait Heirloom: AsFd + Sized {
    /// What its names in the manager's store begin with.
    const NAME_PREFIX: &'static str;

    /// Whether `socket` is one of these.
    fn is_kind(socket: &SockRef<'_>) -> bool;

    /// Takes one over from the process before.
    fn adopt(descriptor: OwnedFd) -> io::Result<Self>;

    /// The address as bound: with the port that the kernel chose for port 0.
    fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(self).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// Whose word counts that `LISTEN_FDS` is meant for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    /// systemd, which writes this process's id beside it.
    System,
    /// Our supervisor, which cannot know the id: it starts nothing else.
    Supervisor,
}

impl Inherited {
    /// Takes over what `LISTEN_FDS` speaks of. Only the first call in a process finds anything.
    pub(crate) fn take(manager: Manager) -> io::Result<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let variable = |name| std::env::var(name).ok();
        let is_ours = match variable("LISTEN_PID") {
            Some(id) => id == std::process::id().to_string(),
            None => manager == Manager::Supervisor,
        };
        let count: RawFd = variable("LISTEN_FDS").and_then(|count| count.parse().ok()).unwrap_or(0);
        if !is_ours || TAKEN.swap(true, Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for number in FIRST..FIRST.saturating_add(count.min(COUNT_MAX)) {
            // SAFETY: the protocol makes these numbers ours alone, nothing of this process has opened any yet or learns of
            // them otherwise, and the flag above lets this line see each of them once.
            let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
            if let Err(error) = rustix::io::fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
                // Not open: there is nothing to close.
                let _number = descriptor.into_raw_fd();
                return Err(error.into());
            }
            sockets.push((names.next().unwrap_or_default().to_owned(), descriptor));
        }
        Ok(Self { sockets })
    }

    /// The sockets of one kind on `address` (port 0: any), whatever they are called.
    pub(crate) fn claim<S: Heirloom>(&mut self, address: SocketAddr) -> io::Result<Vec<S>> {
        let mut claimed = Vec::new();
        for (name, descriptor) in std::mem::take(&mut self.sockets) {
            if bound::<S>(&descriptor).is_some_and(|bound| is_at(bound, address)) {
                SockRef::from(&descriptor).set_nonblocking(true)?;
                claimed.push(S::adopt(descriptor)?);
            } else {
                self.sockets.push((name, descriptor));
            }
        }
        Ok(claimed)
    }

    /// What is left, with the names.
    pub(crate) fn into_rest(self) -> Vec<(String, OwnedFd)> {
        self.sockets
    }
}

fn bound<S: Heirloom>(descriptor: &OwnedFd) -> Option<SocketAddr> {
    let socket = SockRef::from(descriptor);
    if S::is_kind(&socket) { socket.local_addr().ok()?.as_socket() } else { None }
}

fn is_at(bound: SocketAddr, wanted: SocketAddr) -> bool {
    bound.ip() == wanted.ip() && (wanted.port() == 0 || wanted.port() == bound.port())
}

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
/// More than any configuration asks for.
const COUNT_MAX: RawFd = 4_096;
