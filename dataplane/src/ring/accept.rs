//! Taking a connection from a listener.
//!
//! The kernel writes the peer's address into the boxed [`RawAddress`], which the operation owns until it completes. A
//! completed accept is always awaited, so its descriptor is never lost.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use io_uring::{opcode, types};
use rustix::event::PollFlags;
use rustix::net::SocketFlags;

use super::address::RawAddress;
use super::engine::{self, IoEngine};
use super::operation::Operation;
use super::socket::{Listener, Socket};

/// Waits for the next connection. The socket is non-blocking and closed on exec.
pub(crate) async fn accept(listener: &Listener) -> io::Result<(Socket, SocketAddr)> {
    match engine::current() {
        IoEngine::Epoll => accept_ready(listener).await,
        IoEngine::Uring => accept_ring(listener).await,
    }
}

async fn accept_ring(listener: &Listener) -> io::Result<(Socket, SocketAddr)> {
    let mut address = RawAddress::boxed();
    let (address_pointer, len_pointer) = address.as_mut_ptrs();
    let entry = opcode::Accept::new(types::Fd(listener.descriptor.number()), address_pointer, len_pointer)
        .flags(FLAGS.bits().cast_signed())
        .build();
    let (result, address) = Operation::submit(entry, address).await;
    let descriptor = result?.cast_signed();
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let peer = address.decode().ok_or(io::ErrorKind::Unsupported)?;
    Ok((Socket::new(descriptor), peer))
}

async fn accept_ready(listener: &Listener) -> io::Result<(Socket, SocketAddr)> {
    loop {
        match rustix::net::acceptfrom_with(listener.descriptor.as_fd(), FLAGS) {
            Ok((descriptor, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).ok_or(io::ErrorKind::Unsupported)?;
                return Ok((Socket::new(descriptor), SocketAddr::new(peer.ip().to_canonical(), peer.port())));
            }
            Err(rustix::io::Errno::AGAIN) => {
                listener.descriptor.note_blocked(PollFlags::IN);
                listener.descriptor.ready(PollFlags::IN).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
