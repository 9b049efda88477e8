//! A descriptor and what waits on it, on either engine.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;

use super::engine::{self, IoEngine};
use super::epoll::Registration;
use super::poll;

/// An open socket with its waits. The fields drop in their order: the registration before the descriptor.
pub(super) struct Descriptor {
    registration: OnceCell<Registration>,
    inner: OwnedFd,
    #[cfg(test)]
    _open: super::chaos::Open,
}

impl Descriptor {
    pub(super) fn new(inner: OwnedFd) -> Self {
        Self {
            registration: OnceCell::new(),
            inner,
            #[cfg(test)]
            _open: super::chaos::Open::count(),
        }
    }

    /// Waits until `interest`, an error or a hang-up shows. `ECANCELED` after [`Self::cancel`].
    pub(super) async fn ready(&self, interest: PollFlags) -> io::Result<()> {
        let ended = match engine::current() {
            IoEngine::Epoll => self.registration()?.ready(&self.inner, interest).await,
            IoEngine::Uring => poll::ready(self.as_fd(), interest).await,
        };
        #[cfg(test)]
        super::chaos::late().await;
        ended
    }

    /// Ends every wait on the descriptor with `ECANCELED`; those that had already ended keep their result.
    pub(super) fn cancel(&self) {
        match engine::current() {
            IoEngine::Epoll => {
                if let Some(registration) = self.registration.get() {
                    registration.cancel();
                }
            }
            IoEngine::Uring => poll::cancel(self.as_fd()),
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
            let _ = self.registration.set(Registration::new(&self.inner)?);
        }
        self.registration.get().ok_or_else(|| io::ErrorKind::Other.into())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
