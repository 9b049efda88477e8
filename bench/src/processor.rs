//! Pins a process to one CPU and raises its descriptor limit, so that a measurement is not disturbed by either.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

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
