//! What a panic ends: the one task that it struck, or the process where that cannot do without the task.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

/// What was running panicked. The standard hook has written where and why to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs `task` to its end or its panic. Whoever pinned it drops what it held.
pub(crate) async fn caught<T>(mut task: Pin<&mut impl Future<Output = T>>) -> Result<T, Panicked> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
        Ok(progress) => progress.map(Ok),
        Err(_told) => Poll::Ready(Err(Panicked)),
    })
    .await
}

/// Runs a task without which the process is of no use: its panic ends the process, and the supervisor starts another.
pub(crate) async fn vital<T>(task: impl Future<Output = T>) -> T {
    caught(pin!(task)).await.unwrap_or_else(|Panicked| std::process::abort())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "it is what is looked at")]

    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn a_panic_gives_up_what_was_held_and_goes_no_further() {
        let held = Rc::new(());
        let inside = Rc::clone(&held);
        let task = async move {
            let _held = inside;
            tokio::task::yield_now().await;
            panic!("a test wants it");
        };
        assert_eq!(caught::<()>(pin!(task)).await, Err(Panicked));
        assert_eq!(Rc::strong_count(&held), 1);
        assert_eq!(caught(pin!(async { 7 })).await, Ok(7));
    }
}
