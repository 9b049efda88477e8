//! How a shard's thread shares its CPU: in short turns.
//!
//! The kernel lets a thread that wakes in at once when its turns are shorter than those of whoever runs (EEVDF with custom
//! slices, since Linux 6.12; before that what it asks for is ignored). Its share of the CPU stays the same, and so do its
//! rights: nothing is asked for that an ordinary process may not have.

use std::io;

use nix::libc::{self, sched_attr};

/// Has this thread run in turns of [`TURN_NANOSECONDS`]: what else runs on its CPU, such as the compiler of policies, no
/// longer keeps its flows waiting for turns of milliseconds.
pub(crate) fn take_short_turns() -> io::Result<()> {
    let mut attributes = attributes()?;
    attributes.sched_runtime = TURN_NANOSECONDS;
    // SAFETY: the kernel reads as many bytes as `size` in them says, which are all initialised, and keeps no pointer.
    let status = unsafe { libc::syscall(libc::SYS_sched_setattr, THIS_THREAD, &raw const attributes, NO_FLAGS) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel holds of this thread, priority included.
fn attributes() -> io::Result<sched_attr> {
    let mut attributes = sched_attr {
        size: SIZE,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `SIZE` bytes into what is ours and as large, of integers that may have any value.
    let status = unsafe { libc::syscall(libc::SYS_sched_getattr, THIS_THREAD, &raw mut attributes, SIZE, NO_FLAGS) };
    if status == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

const THIS_THREAD: libc::pid_t = 0;
const NO_FLAGS: libc::c_uint = 0;
const SIZE: u32 = size_of::<sched_attr>() as u32;
/// The shortest that the kernel takes.
const TURN_NANOSECONDS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_takes_short_turns_keeps_its_priority() {
        let outcome = std::thread::spawn(|| {
            rustix::process::setpriority_process(None, 7).unwrap();
            take_short_turns().unwrap();
            attributes().unwrap()
        });
        let attributes = outcome.join().unwrap();
        assert_eq!((attributes.sched_policy, attributes.sched_nice), (libc::SCHED_OTHER.cast_unsigned(), 7));
        // An older kernel tells of no turns.
        assert!([0, TURN_NANOSECONDS].contains(&attributes.sched_runtime), "{}", attributes.sched_runtime);
    }
}
