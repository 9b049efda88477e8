//! Waiting by epoll, for hosts that refuse io_uring.
//!
//! A descriptor is registered at its first wait and stays registered until it closes. Tokio's readiness is
//! edge-triggered, our waits are not: a wait asks the descriptor with a zero-time `poll(2)` before it trusts in an edge,
//! unless the read or write before it has found out. A wait may end in vain.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// A descriptor's place in the thread's epoll set. Whoever owns the descriptor drops this first.
pub(super) struct Registration {
    edges: AsyncFd<Number>,
    cancelled: Notify,
    /// No edge came since a read found nothing, and since a write found no room, but those that are kept in `edges`.
    read_blocked: Cell<bool>,
    write_blocked: Cell<bool>,
}

struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

impl Registration {
    pub(super) fn new(descriptor: &OwnedFd) -> io::Result<Self> {
        // SAFETY: `Descriptor` owns both and drops the registration first, so the number names this open socket for as
        // long as it is registered.
        let edges = unsafe { AsyncFd::register(Number(descriptor.as_raw_fd())) }?;
        Ok(Self { edges, cancelled: Notify::new(), read_blocked: Cell::new(false), write_blocked: Cell::new(false) })
    }

    /// The descriptor was asked just now, and what `interest` means would block: forgets the edges that came before.
    pub(super) fn note_blocked(&self, interest: PollFlags) {
        let (edge, blocked) = self.of(interest);
        let _ = self.edges.try_io(edge, |_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        blocked.set(true);
    }

    const fn of(&self, interest: PollFlags) -> (Interest, &Cell<bool>) {
        if interest.contains(PollFlags::OUT) {
            (Interest::WRITABLE, &self.write_blocked)
        } else {
            (Interest::READABLE, &self.read_blocked)
        }
    }

    /// Waits until `interest`, an error or a hang-up shows. `ECANCELED` once `is_cancelled`, which is asked before each
    /// wait and after [`Self::wake`].
    pub(super) async fn ready(
        &self,
        descriptor: &OwnedFd,
        interest: PollFlags,
        is_cancelled: impl Fn() -> bool,
    ) -> io::Result<()> {
        let (edge, blocked) = self.of(interest);
        if !blocked.take() {
            self.note_blocked(interest);
            blocked.set(false);
            if shows(descriptor, interest)? {
                return Ok(());
            }
        }
        while !is_cancelled() {
            tokio::select! {
                guard = self.edges.ready(edge) => {
                    guard?.retain_ready();
                    return Ok(());
                }
                () = self.cancelled.notified() => {}
            }
        }
        Err(io::Error::from_raw_os_error(rustix::io::Errno::CANCELED.raw_os_error()))
    }

    /// Lets every wait on the descriptor look whether it was cancelled.
    pub(super) fn wake(&self) {
        self.cancelled.notify_waiters();
    }
}

fn shows(descriptor: &OwnedFd, interest: PollFlags) -> io::Result<bool> {
    let mut asked = [PollFd::from_borrowed_fd(descriptor.as_fd(), interest)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(rustix::event::poll(&mut asked, Some(&now))? > 0)
}
