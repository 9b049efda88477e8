//! UDP sockets that stand in for other hosts (`IP_TRANSPARENT`): they take what the kernel leads here by TPROXY, and send under
//! addresses that are not this machine's.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::num::NonZeroU32;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg};
use rustix::event::PollFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::descriptor::Descriptor;

/// A socket of one shard that takes datagrams for any address.
pub(crate) struct DatagramListener {
    descriptor: Descriptor,
    /// Room for the control message with the destination, cleared by each call.
    control: RefCell<Vec<u8>>,
}

/// Where a datagram came from and where it was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) bytes: usize,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl DatagramListener {
    /// Takes datagrams that the kernel leads to `address`, beside the other shards (`SO_REUSEPORT`): all of one flow come to
    /// the same one. An IPv6 address takes IPv6 alone. Needs CAP_NET_ADMIN or CAP_NET_RAW.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = transparent(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6OrigDstAddr, &true)?;
        } else {
            nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv4OrigDstAddr, &true)?;
        }
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        let control = RefCell::new(nix::cmsg_space!(nix::libc::sockaddr_in6));
        Ok(Self { descriptor: Descriptor::new(socket.into()), control })
    }

    /// The address as bound: with the port that the kernel chose for port 0.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&self.descriptor).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Waits until a datagram is there.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.descriptor.ready(PollFlags::IN).await
    }

    /// Ends every wait on this socket; they are still to be awaited.
    pub(crate) fn cancel(&self) {
        self.descriptor.cancel();
    }

    /// Takes one datagram, which must fit into `buffer`. An error other than `WouldBlock` is that of one datagram.
    pub(crate) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut pieces = [IoSliceMut::new(buffer)];
        let mut control = self.control.borrow_mut();
        let message = recvmsg::<SockaddrStorage>(
            self.descriptor.number(),
            &mut pieces,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC,
        )?;
        let destination = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4OrigDstAddr(address) => Some(SocketAddr::V4(SockaddrIn::from(address).into())),
            ControlMessageOwned::Ipv6OrigDstAddr(address) => Some(SocketAddr::V6(SockaddrIn6::from(address).into())),
            _ => None,
        });
        let source = message.address.as_ref().and_then(socket_address);
        let (Some(source), Some(destination)) = (source, destination) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok(Received { bytes: message.bytes, source, destination })
    }
}

/// A socket that sends under an address of another host.
pub(crate) struct DatagramSender {
    socket: Socket,
}

impl DatagramSender {
    /// Sends as `source`, with `mark` for rules of the kernel. Needs CAP_NET_ADMIN, and CAP_NET_BIND_SERVICE for ports below
    /// 1024.
    pub(crate) fn bind(source: SocketAddr, mark: Option<NonZeroU32>) -> io::Result<Self> {
        let socket = transparent(source)?;
        if let Some(mark) = mark {
            socket.set_mark(mark.get())?;
        }
        socket.bind(&source.into())?;
        Ok(Self { socket })
    }

    /// Sends one datagram, or loses it: the kernel has no room, or no way.
    pub(crate) fn try_send(&self, datagram: &[u8], destination: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(datagram, &destination.into())
    }
}

fn transparent(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_ip_transparent_v6(true)?;
    } else {
        socket.set_ip_transparent_v4(true)?;
    }
    Ok(socket)
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
