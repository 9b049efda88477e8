//! The ring of one shard: how it is set up, and whether this host allows one.

use std::future::Future;
use std::io;

use super::engine::{self, IoEngine};

/// Runs `main` on this thread until it is done, its waits carried by `engine`.
///
/// `SINGLE_ISSUER` and `COOP_TASKRUN` tell the kernel that one thread submits and that it need not be interrupted for
/// completions. Deferred task work would be better still, but tokio-uring waits on the ring's descriptor and then never
/// sees a completion.
pub(crate) fn start<F: Future>(engine: IoEngine, main: F) -> io::Result<F::Output> {
    engine::choose(engine);
    match engine {
        IoEngine::Epoll => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(tokio::task::LocalSet::new().block_on(&runtime, main))
        }
        IoEngine::Uring => {
            let mut ring = tokio_uring::uring_builder();
            ring.setup_cqsize(SUBMISSION_ENTRIES * 4).setup_clamp().setup_single_issuer().setup_coop_taskrun();
            let mut builder = tokio_uring::builder();
            builder.entries(SUBMISSION_ENTRIES).uring_builder(&ring);
            Ok(tokio_uring::Runtime::new(&builder)?.block_on(main))
        }
    }
}

/// Runs `task` beside the others on this thread.
pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(task));
}

/// Sets up a small ring with the same flags and drops it: what the shards need, or why the host refuses.
pub(crate) fn probe() -> io::Result<()> {
    let ring: io_uring::IoUring = io_uring::IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(8)?;
    let mut supported = io_uring::Probe::new();
    ring.submitter().register_probe(&mut supported)?;
    let needed = [
        io_uring::opcode::Accept::CODE,
        io_uring::opcode::AsyncCancel2::CODE,
        io_uring::opcode::Connect::CODE,
        io_uring::opcode::PollAdd::CODE,
    ];
    if needed.iter().all(|code| supported.is_supported(*code)) {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

const SUBMISSION_ENTRIES: u32 = 2048;
