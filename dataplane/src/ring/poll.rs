//! Readiness of a descriptor, and cancelling everything that waits on one.
//!
//! The kernel touches no memory of ours here. A poll holds a reference to the open file, so a socket is closed only
//! when its polls have completed: cancel first, await, then drop.

use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use io_uring::{opcode, types};
use rustix::event::PollFlags;

use super::operation::Operation;

/// Waits until `interest`, an error, a hang-up or the peer's end of writing shows on `descriptor`, and says what did.
/// `ECANCELED` after [`cancel`].
pub(super) fn ready(descriptor: BorrowedFd<'_>, interest: PollFlags) -> Ready {
    let entry = opcode::PollAdd::new(types::Fd(descriptor.as_raw_fd()), u32::from(interest.bits())).build();
    Ready(Operation::submit(entry, ()))
}

/// See [`ready`]. No `async` block: such a one would hold the operation twice, in each wait of each flow.
pub(super) struct Ready(Operation<()>);

impl Future for Ready {
    type Output = io::Result<PollFlags>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (shown, ()) = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(shown.map(|shown| PollFlags::from_bits_truncate(shown as u16)))
    }
}

/// Completes every operation that waits on `descriptor` with `ECANCELED`; those that had already completed keep their
/// result. Returns at once; the cancellation itself is awaited in the background.
pub(super) fn cancel(descriptor: BorrowedFd<'_>) {
    super::spawn(cancelled(descriptor));
}

/// The same, and done with when the future is.
pub(super) fn cancelled(descriptor: BorrowedFd<'_>) -> impl Future<Output = ()> + use<> {
    let target = types::CancelBuilder::fd(types::Fd(descriptor.as_raw_fd())).all();
    let operation = Operation::submit(opcode::AsyncCancel2::new(target).build(), ());
    async move {
        // ENOENT says that nothing was waiting, which is as good.
        let _ = operation.await;
    }
}
