//! A descriptor and what waits on it, on either engine.

use std::cell::{Cell, OnceCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;

use super::engine::{self, IoEngine};
use super::epoll::Registration;
use super::poll;

/// An open socket with its waits. The fields drop in their order: the registration before the descriptor.
pub(super) struct Descriptor {
    /// Boxed: a flow on the ring has none.
    registration: OnceCell<Box<Registration>>,
    inner: OwnedFd,
    /// How often [`Self::cancel`] was called, so that a wait sees one that came while it was not looking.
    cancellations: Cell<u64>,
    #[cfg(test)]
    _open: super::chaos::Open,
}

impl Descriptor {
    pub(super) fn new(inner: OwnedFd) -> Self {
        Self {
            registration: OnceCell::new(),
            inner,
            cancellations: Cell::new(0),
            #[cfg(test)]
            _open: super::chaos::Open::count(),
        }
    }

    /// Runs `call`, a non-blocking one that moves what `interest` says.
    pub(super) fn attempt(&self, interest: PollFlags, call: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let outcome = call();
        match &outcome {
            #[cfg(test)]
            Ok(_) => super::chaos::note_move(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.note_blocked(interest),
            _ => {}
        }
        outcome
    }

    /// What was asked of the kernel just now would block: the next wait for `interest` need not ask that once more.
    pub(super) fn note_blocked(&self, interest: PollFlags) {
        if let Some(registration) = self.registration.get() {
            registration.note_blocked(interest);
        }
    }

    /// Waits until `interest`, an error or a hang-up shows. `ECANCELED` after [`Self::cancel`].
    pub(super) async fn ready(&self, interest: PollFlags) -> io::Result<()> {
        let cancellations = self.cancellations.get();
        let ended = match engine::current() {
            IoEngine::Epoll => None,
            IoEngine::Uring => match poll::ready(self.as_fd(), interest).await {
                // The ring ends every poll when the peer has shut down its writing side, asked for or not: a wait for
                // room would end at once again and again. Epoll waits for what it is asked.
                Ok(shown) if shown == PollFlags::RDHUP && !interest.contains(PollFlags::RDHUP) => None,
                ended => Some(ended.map(drop)),
            },
        };
        let ended = match ended {
            Some(ended) => ended,
            // Boxed: a flow on the ring need not have the room for it in each of its waits.
            None => Box::pin(self.ready_by_epoll(interest, cancellations)).await,
        };
        #[cfg(test)]
        super::chaos::late().await;
        ended
    }

    async fn ready_by_epoll(&self, interest: PollFlags, cancellations: u64) -> io::Result<()> {
        let is_cancelled = || self.cancellations.get() != cancellations;
        self.registration()?.ready(&self.inner, interest, is_cancelled).await
    }

    /// Ends every wait on the descriptor with `ECANCELED`; those that had already ended keep their result.
    pub(super) fn cancel(&self) {
        self.cancellations.set(self.cancellations.get() + 1);
        if let Some(registration) = self.registration.get() {
            registration.wake();
        }
        if engine::current() == IoEngine::Uring {
            poll::cancel(self.as_fd());
        }
    }

    /// Ends waits whose futures are gone: the kernel keeps a socket open for as long as one lasts.
    pub(super) async fn give_up(&self) {
        if engine::current() == IoEngine::Uring {
            poll::cancelled(self.as_fd()).await;
        }
    }

    /// Connects, or says why not. `ECANCELED` after [`Self::cancel`].
    pub(super) async fn connect(&self, address: std::net::SocketAddr) -> io::Result<()> {
        match engine::current() {
            IoEngine::Epoll => super::connect::connect_ready(self, address).await,
            IoEngine::Uring => super::connect::connect(self.as_fd(), address).await,
        }
    }

    pub(super) fn number(&self) -> i32 {
        self.inner.as_raw_fd()
    }

    fn registration(&self) -> io::Result<&Registration> {
        if self.registration.get().is_none() {
            let _ = self.registration.set(Box::new(Registration::new(&self.inner)?));
        }
        self.registration.get().map(|registration| &**registration).ok_or_else(|| io::ErrorKind::Other.into())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
