//! TCP sockets: inline non-blocking calls, and waiting through the ring.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::{Domain, Protocol, SockRef, Type};

#[cfg(test)]
use super::chaos;
use super::descriptor::Descriptor;
use super::inherited::Heirloom;

/// A connected (or connecting) TCP socket, non-blocking.
pub(crate) struct Socket {
    descriptor: Descriptor,
}

impl Socket {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        #[cfg(test)]
        chaos::shrink(&descriptor);
        Self { descriptor: Descriptor::new(descriptor) }
    }

    /// A socket for the family of `address`, not connected yet.
    pub(crate) fn for_address(address: SocketAddr) -> io::Result<Self> {
        let socket = socket_for(address)?;
        socket.set_tcp_nodelay(true)?;
        Ok(Self::new(socket.into()))
    }

    /// Marks what it sends, for rules of the kernel. Needs CAP_NET_ADMIN.
    pub(crate) fn set_mark(&self, mark: NonZeroU32) -> io::Result<()> {
        SockRef::from(&self.descriptor).set_mark(mark.get())
    }

    /// Makes `source` its own address, be it another host's; for a socket that is not connected yet. Needs CAP_NET_ADMIN.
    pub(crate) fn bind_foreign(&self, source: IpAddr) -> io::Result<()> {
        let socket = SockRef::from(&self.descriptor);
        set_transparent(&socket, source)?;
        socket.bind(&SocketAddr::new(source, 0).into())
    }

    /// Where the client of an accepted connection wanted to go before the kernel redirected it, from connection tracking.
    /// A connection that nobody redirected has the socket's own address, or an error.
    pub(crate) fn original_destination(&self) -> io::Result<SocketAddr> {
        let socket = SockRef::from(&self.descriptor);
        let original = match socket.local_addr()?.as_socket() {
            Some(SocketAddr::V6(_)) => socket.original_dst_v6(),
            _ => socket.original_dst_v4(),
        };
        original?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// The address on this side: for a connection that came by TPROXY, where the client wanted to go.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&self.descriptor).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Connects, or says why not. `ECANCELED` after [`Self::cancel`].
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.descriptor.connect(address).await
    }

    /// Waits until there is something to read: bytes, the end of the stream or an error.
    pub(crate) fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.descriptor.ready(PollFlags::IN | PollFlags::RDHUP)
    }

    /// Waits until there is room to write, or an error.
    pub(crate) fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.descriptor.ready(PollFlags::OUT)
    }

    /// Ends every wait on this socket; they are still to be awaited.
    pub(crate) fn cancel(&self) {
        self.descriptor.cancel();
    }

    /// Ends waits whose futures a panic has dropped, so that the socket closes when it is dropped.
    pub(crate) async fn give_up(&self) {
        self.descriptor.give_up().await;
    }

    /// Reads what is there; `Ok(0)` is the end of the stream.
    pub(crate) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(test)]
        let buffer = {
            let bytes = chaos::cut(buffer.len())?;
            &mut buffer[..bytes]
        };
        self.descriptor.attempt(PollFlags::IN, || receive(self, buffer))
    }

    /// Reads what is there into the spare capacity of `buffer`, which must not be zero; `Ok(0)` is the end.
    pub(crate) fn try_recv_spare(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        #[cfg(test)]
        {
            let mut piece = vec![0; chaos::cut(buffer.capacity() - buffer.len())?];
            let received = self.descriptor.attempt(PollFlags::IN, || receive(self, &mut piece))?;
            buffer.extend_from_slice(&piece[..received]);
            Ok(received)
        }
        #[cfg(not(test))]
        self.descriptor.attempt(PollFlags::IN, || {
            Ok(rustix::net::recv(&self.descriptor, rustix::buffer::spare_capacity(buffer), RecvFlags::DONTWAIT)?.1)
        })
    }

    /// Looks at what is there and leaves it; `Ok(0)` is the end of the stream.
    pub(crate) fn try_peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let (seen, _truncated) = rustix::net::recv(&self.descriptor, buffer, RecvFlags::DONTWAIT | RecvFlags::PEEK)?;
        Ok(seen)
    }

    /// Writes what there is room for.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(test)]
        let bytes = &bytes[..chaos::cut(bytes.len())?];
        self.descriptor.attempt(PollFlags::OUT, || Ok(rustix::net::send(&self.descriptor, bytes, SEND_FLAGS)?))
    }

    /// Writes what there is room for of several pieces, in one call.
    pub(crate) fn try_send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        #[cfg(test)]
        {
            let bytes = pieces.iter().map(|piece| piece.len()).sum();
            let cut = chaos::cut(bytes)?;
            if cut < bytes {
                let joined: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
                let send = || Ok(rustix::net::send(&self.descriptor, &joined[..cut], SEND_FLAGS)?);
                return self.descriptor.attempt(PollFlags::OUT, send);
            }
        }
        let mut control = SendAncillaryBuffer::default();
        self.descriptor
            .attempt(PollFlags::OUT, || Ok(rustix::net::sendmsg(&self.descriptor, pieces, &mut control, SEND_FLAGS)?))
    }

    /// Says that no more will be written; the other direction stays open.
    pub(crate) fn shutdown_write(&self) {
        let _ = rustix::net::shutdown(&self.descriptor, rustix::net::Shutdown::Write);
    }

    /// Makes the coming close a reset, as the other leg was reset.
    pub(crate) fn reset_on_close(&self) {
        let _ = SockRef::from(&self.descriptor).set_linger(Some(Duration::ZERO));
    }

    /// Sends small writes at once.
    pub(crate) fn set_nodelay(&self) {
        let _ = SockRef::from(&self.descriptor).set_tcp_nodelay(true);
    }
}

fn receive(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)?.0)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A listening TCP socket of one shard.
pub(crate) struct Listener {
    pub(super) descriptor: Descriptor,
}

impl Listener {
    /// Listens on `address` beside the other shards (`SO_REUSEPORT`).
    pub(crate) fn bind(address: SocketAddr, backlog: i32) -> io::Result<Self> {
        Self::listen(socket_for(address)?, address, backlog)
    }

    /// Listens for what the kernel leads here: by TPROXY where `is_foreign`, which takes connections to addresses of other
    /// hosts and needs CAP_NET_ADMIN or CAP_NET_RAW. An IPv6 address takes IPv6 alone.
    pub(crate) fn bind_transparent(address: SocketAddr, is_foreign: bool, backlog: i32) -> io::Result<Self> {
        let socket = socket_for(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if is_foreign {
            set_transparent(&socket, address.ip())?;
        }
        Self::listen(socket, address, backlog)
    }

    fn listen(socket: socket2::Socket, address: SocketAddr, backlog: i32) -> io::Result<Self> {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(Self { descriptor: Descriptor::new(socket.into()) })
    }

    /// Another handle on the same queue of connections.
    pub(crate) fn share(&self) -> io::Result<Self> {
        let descriptor = self.descriptor.as_fd().try_clone_to_owned()?;
        Ok(Self { descriptor: Descriptor::new(descriptor) })
    }

    /// Ends every wait on this listener; they are still to be awaited.
    pub(crate) fn cancel(&self) {
        self.descriptor.cancel();
    }
}

impl Heirloom for Listener {
    const NAME_PREFIX: &'static str = "";

    fn is_kind(socket: &SockRef<'_>) -> bool {
        socket.is_listener().unwrap_or(false)
    }

    fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self { descriptor: Descriptor::new(descriptor) })
    }
}

fn socket_for(address: SocketAddr) -> io::Result<socket2::Socket> {
    socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
}

fn set_transparent(socket: &socket2::Socket, family: IpAddr) -> io::Result<()> {
    match family {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true),
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}

/// Whether `address` is one of this machine's: the kernel would answer it from itself. Nothing is sent.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source_for = |socket: UdpSocket| {
        socket.connect(SocketAddr::new(address, DISCARD_PORT))?;
        socket.local_addr()
    };
    UdpSocket::bind(SocketAddr::new(any, 0)).and_then(source_for).is_ok_and(|source| source.ip() == address)
}

/// Any port will do: RFC 863.
const DISCARD_PORT: u16 = 9;

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
