//! Pins a process to one CPU, raises its descriptor limit, and reads the CPU time of a thread, so that a measurement is
//! disturbed neither by these nor by what else the machine does.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Binds the calling thread, and every thread that it starts later, to CPU `index`.
pub fn pin(index: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if index >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {index}")));
    }
    set.set(index);
    sched_setaffinity(None, &set).map_err(io::Error::from)
}

/// Raises the soft limit of open descriptors to the hard one; answers the limit in force.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// CPU time that the calling thread has used; a system call of some 0.2 us.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_cannot_exist_is_refused() {
        assert!(pin(usize::MAX).is_err());
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_the_hard_one() {
        assert!(raise_descriptor_limit().unwrap() >= 1024);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
