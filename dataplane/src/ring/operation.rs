//! One operation that the kernel holds: submitted, counted, awaited to its completion.
//!
//! An operation in flight is never dropped: a dropped poll keeps its socket open, a dropped accept loses a descriptor.
//! It is cancelled by descriptor (see `poll::cancel`) and then awaited. The count of operations in flight shows a
//! breach: it is back at zero when a shard has closed its flows, and the shard's tests assert it. A panic alone drops
//! operations; what it leaves is given up by descriptor (see `poll::cancelled`).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use io_uring::{cqueue, squeue};
use tokio_uring::{InFlightOneshot, OneshotOutputTransform, UnsubmittedOneshot};

thread_local! {
    static IN_FLIGHT: Cell<u64> = const { Cell::new(0) };
}

/// Operations of this thread's ring that the kernel holds.
pub(crate) fn in_flight() -> u64 {
    IN_FLIGHT.get()
}

/// An operation in flight. `D` is memory that the kernel may read or write until the operation completes; it is kept
/// alive by the ring even if this future were dropped.
pub(super) struct Operation<D: Unpin + 'static> {
    inner: InFlightOneshot<D, Raw<D>>,
    is_done: bool,
}

impl<D: Unpin + 'static> Operation<D> {
    /// Puts `entry` into the submission queue. Pointers in `entry` must point into what `data` owns on the heap.
    pub(super) fn submit(entry: squeue::Entry, data: D) -> Self {
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        Self { inner: UnsubmittedOneshot::new(data, Raw(std::marker::PhantomData), entry).submit(), is_done: false }
    }
}

impl<D: Unpin + 'static> Future for Operation<D> {
    /// The non-negative result, or the error, and the memory given back.
    type Output = (io::Result<u32>, D);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let output = ready!(Pin::new(&mut self.inner).poll(context));
        IN_FLIGHT.set(IN_FLIGHT.get().saturating_sub(1));
        self.is_done = true;
        Poll::Ready(output)
    }
}

impl<D: Unpin + 'static> Drop for Operation<D> {
    fn drop(&mut self) {
        if !self.is_done && std::thread::panicking() {
            IN_FLIGHT.set(IN_FLIGHT.get().saturating_sub(1));
        }
    }
}

/// Hands the completion over as it is.
struct Raw<D>(std::marker::PhantomData<D>);

impl<D: 'static> OneshotOutputTransform for Raw<D> {
    type Output = (io::Result<u32>, D);
    type StoredData = D;

    fn transform_oneshot_output(self, data: D, completion: cqueue::Entry) -> Self::Output {
        let result = completion.result();
        (u32::try_from(result).map_err(|_negative| io::Error::from_raw_os_error(-result)), data)
    }
}
