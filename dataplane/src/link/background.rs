//! The background thread: one single-threaded Tokio runtime for everything that is not a flow, and the threads beside it for
//! what blocks or takes long.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread and its runtime. Link, audit delivery and DNS run on it; cells of the process have it as their writer.
pub(crate) struct Background {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        let runtime =
            builder.enable_all().thread_name("penstock-blocking").max_blocking_threads(BLOCKING_THREADS_MAX).build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("penstock-background".to_owned()).spawn(move || {
            // Ends by a word, or with the end of whoever could give it.
            let _stopped = runtime.block_on(stopped);
            runtime.shutdown_timeout(BLOCKING_GRACE);
        })?;
        Ok(Self { handle, stop, thread })
    }

    /// The runtime, to spawn on.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends all tasks and waits for the thread.
    pub(crate) fn stop(self) {
        let _running = self.stop.send(());
        // A panicked thread has nothing left to say.
        let _ended = self.thread.join();
    }
}

/// Runs `work` off the runtime's thread; `None` when the runtime is ending.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Runs `work`, which takes long and is in no hurry, on a thread of its own that yields the CPU to whoever serves; `None`
/// when there is no thread to be had, or it panicked.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("penstock-compile".to_owned()).spawn(move || {
        // Of this thread alone. Where it is refused, the work is done all the same.
        let _ = rustix::process::setpriority_process(None, LOW_PRIORITY);
        // Nobody waits any more when the node is ending.
        let _ = done.send(work());
    });
    thread.ok()?;
    outcome.await.ok()
}

/// Threads for what blocks: the spool, the kept policy, the names of controls. Each keeps what it once took from the allocator.
const BLOCKING_THREADS_MAX: usize = 4;
/// How long a write to disk may go on after the end.
const BLOCKING_GRACE: Duration = Duration::from_secs(2);
/// The lowest. Where a flood leaves no CPU idle, a large policy takes its time.
const LOW_PRIORITY: i32 = 19;
