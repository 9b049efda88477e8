//! UDP sockets that stand in for other hosts (`IP_TRANSPARENT`): they take what the kernel leads here by TPROXY, and send under
//! addresses that are not this machine's.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::{libc, setsockopt_impl, sockopt_impl};
use penstock_core::limits::UDP_QUEUE_BYTES;
use rustix::event::PollFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::descriptor::Descriptor;
use super::inherited::Heirloom;

sockopt_impl!(
    /// Tells the mark of each datagram as rules of the kernel left it, as a control message `SO_MARK`; since Linux 5.19.
    ReceiveMark,
    SetOnly,
    libc::SOL_SOCKET,
    SO_RCVMARK,
    bool
);

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
    /// What the kernel's rules marked it with; 0 where the kernel does not tell.
    pub(crate) mark: u32,
}

impl DatagramListener {
    /// Takes datagrams that the kernel leads to `address`, beside the other shards (`SO_REUSEPORT`): all of one flow come to
    /// the same one. An IPv6 address takes IPv6 alone. Needs CAP_NET_ADMIN or CAP_NET_RAW.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = transparent(address)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        Self::adopt(socket.into())
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
        let (mut destination, mut mark) = (None, 0);
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::Ipv4OrigDstAddr(address) => {
                    destination = Some(SocketAddr::V4(SockaddrIn::from(address).into()));
                }
                ControlMessageOwned::Ipv6OrigDstAddr(address) => {
                    destination = Some(SocketAddr::V6(SockaddrIn6::from(address).into()));
                }
                // No other is asked for.
                ControlMessageOwned::Unknown(other) if other.cmsg_header.cmsg_type == libc::SO_MARK => {
                    mark = other.data_bytes.first_chunk().copied().map_or(0, u32::from_ne_bytes);
                }
                _ => {}
            }
        }
        let source = message.address.as_ref().and_then(socket_address);
        let (Some(source), Some(destination)) = (source, destination) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok(Received { bytes: message.bytes, source, destination, mark })
    }
}

impl Heirloom for DatagramListener {
    const NAME_PREFIX: &'static str = "udp_";

    fn is_kind(socket: &SockRef<'_>) -> bool {
        socket.r#type().is_ok_and(|kind| kind == Type::DGRAM)
    }

    fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        if SockRef::from(&descriptor).local_addr()?.is_ipv6() {
            setsockopt(&descriptor, sockopt::Ipv6OrigDstAddr, &true)?;
        } else {
            setsockopt(&descriptor, sockopt::Ipv4OrigDstAddr, &true)?;
        }
        // An older kernel does not tell: every mark is 0 then.
        let _ = setsockopt(&descriptor, ReceiveMark, &true);
        setsockopt(&descriptor, sockopt::RcvBufForce, &UDP_QUEUE_BYTES)?;
        let control = RefCell::new(nix::cmsg_space!(libc::sockaddr_in6, u32));
        Ok(Self { descriptor: Descriptor::new(descriptor), control })
    }
}

impl AsFd for DatagramListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
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

/// `asm-generic/socket.h`.
const SO_RCVMARK: libc::c_int = 75;
