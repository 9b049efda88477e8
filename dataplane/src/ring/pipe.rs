//! A pipe and `splice(2)`: bytes move between two sockets without entering user space.
//!
//! All calls are inline and non-blocking. `SPLICE_F_MORE` is never set: it holds small answers back for 200 ms.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags};

#[cfg(test)]
use super::chaos;
use super::socket::Socket;

/// A pipe that holds bytes between two sockets.
pub(crate) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held_bytes: usize,
    #[cfg(test)]
    _open: chaos::Open,
}

impl Pipe {
    /// A pipe as near to `capacity_bytes` as the system allows an unprivileged user.
    pub(crate) fn open(capacity_bytes: usize) -> io::Result<Self> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Past fs.pipe-user-pages-soft the kernel refuses more; the default capacity works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, capacity_bytes);
        Ok(Self {
            read,
            write,
            held_bytes: 0,
            #[cfg(test)]
            _open: chaos::Open::count(),
        })
    }

    /// Bytes in the pipe.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Moves up to `bytes_max` from the socket; `Ok(0)` is its end of stream, `WouldBlock` that it has none now (or
    /// that the pipe is full: fill only an empty pipe).
    pub(crate) fn fill_from(&mut self, socket: &Socket, bytes_max: usize) -> io::Result<usize> {
        #[cfg(test)]
        let bytes_max = chaos::cut(bytes_max)?;
        let moved = rustix::pipe::splice(socket.as_fd(), None, &self.write, None, bytes_max, FLAGS)?;
        #[cfg(test)]
        chaos::note_move();
        self.held_bytes += moved;
        Ok(moved)
    }

    /// Moves what it can to the socket.
    pub(crate) fn drain_to(&mut self, socket: &Socket) -> io::Result<usize> {
        let bytes = self.held_bytes;
        #[cfg(test)]
        let bytes = chaos::cut(bytes)?;
        let moved = rustix::pipe::splice(self.read.as_fd(), None, socket.as_fd(), None, bytes, FLAGS)?;
        #[cfg(test)]
        chaos::note_move();
        self.held_bytes = self.held_bytes.saturating_sub(moved);
        Ok(moved)
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
