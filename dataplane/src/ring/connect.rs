//! Connecting a prepared socket.
//!
//! The kernel reads the address from the boxed [`RawAddress`], which the operation owns until it completes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use io_uring::{opcode, types};

use rustix::event::PollFlags;

use super::address::RawAddress;
use super::descriptor::Descriptor;
use super::operation::Operation;

/// Connects, or says why not. `ECANCELED` after `cancel` on the same descriptor.
pub(super) async fn connect(descriptor: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let address = RawAddress::encode(address);
    let entry = opcode::Connect::new(types::Fd(descriptor.as_raw_fd()), address.as_ptr(), address.len()).build();
    Operation::submit(entry, address).await.0.map(drop)
}

/// The same without a ring: starts the connect, waits, and asks how it went.
pub(super) async fn connect_ready(descriptor: &Descriptor, address: SocketAddr) -> io::Result<()> {
    match rustix::net::connect(descriptor.as_fd(), &address) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    descriptor.ready(PollFlags::OUT).await?;
    rustix::net::sockopt::socket_error(descriptor.as_fd())??;
    Ok(())
}
