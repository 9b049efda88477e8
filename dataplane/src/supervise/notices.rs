//! What data planes say: datagrams by the protocol of sd_notify(3), their sender vouched for by the kernel.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as Datagram};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// One message.
#[derive(Debug, Default)]
pub(super) struct Notice {
    /// Process id of the sender.
    pub(super) pid: u32,
    pub(super) is_listening: bool,
    pub(super) is_ready: bool,
    pub(super) is_alive: bool,
    /// Another should take its place.
    pub(super) is_worn: bool,
    pub(super) status: Option<String>,
    /// Sockets to keep, and what they are called.
    pub(super) store: Vec<(String, OwnedFd)>,
    /// Sockets to keep no longer.
    pub(super) forget: Option<String>,
}

/// The socket that they come to.
pub(super) struct Notices {
    socket: UnixDatagram,
    address: String,
}

impl Notices {
    pub(super) fn open() -> io::Result<Self> {
        // An abstract name needs no file that could be left behind. Whoever guesses it is seen by its process id.
        let name = format!("penstock-{:016x}", getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?);
        let socket = Datagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        sockopt::set_socket_passcred(&socket, true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UnixDatagram::from_std(socket)?, address: format!("@{name}") })
    }

    /// For `NOTIFY_SOCKET`.
    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// The next one. May be dropped and called again.
    pub(super) async fn receive(&self) -> io::Result<Notice> {
        self.socket.async_io(Interest::READABLE, || self.try_receive()).await
    }

    fn try_receive(&self) -> io::Result<Notice> {
        let mut text = [0; TEXT_BYTES_MAX];
        let mut space =
            [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX), ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(self.socket.as_fd(), &mut [IoSliceMut::new(&mut text)], &mut ancillary, flags)?;
        let (mut pid, mut sockets) = (0, Vec::new());
        for message in ancillary.drain() {
            match message {
                RecvAncillaryMessage::ScmRights(descriptors) => sockets.extend(descriptors),
                RecvAncillaryMessage::ScmCredentials(sender) => {
                    pid = u32::try_from(sender.pid.as_raw_nonzero().get()).unwrap_or(0);
                }
                _ => {}
            }
        }
        let text = text.get(..received.bytes).unwrap_or_default();
        Ok(read(pid, &String::from_utf8_lossy(text), sockets))
    }
}

/// Reads the assignments; those that are not known are for others.
fn read(pid: u32, text: &str, sockets: Vec<OwnedFd>) -> Notice {
    let mut notice = Notice { pid, ..Notice::default() };
    let (mut name, mut stores, mut forgets) = (String::new(), false, false);
    for line in text.lines() {
        match line.split_once('=') {
            Some(("READY", "1")) => notice.is_ready = true,
            Some(("X_LISTENING", "1")) => notice.is_listening = true,
            Some(("X_WORN", "1")) => notice.is_worn = true,
            Some(("WATCHDOG", "1")) => notice.is_alive = true,
            Some(("STATUS", status)) => notice.status = Some(status.to_owned()),
            Some(("FDSTORE", "1")) => stores = true,
            Some(("FDSTOREREMOVE", "1")) => forgets = true,
            Some(("FDNAME", called)) => called.clone_into(&mut name),
            _ => {}
        }
    }
    if stores {
        notice.store = sockets.into_iter().map(|socket| (name.clone(), socket)).collect();
    }
    if forgets {
        notice.forget = Some(name);
    }
    notice
}

/// Our own messages have less.
const TEXT_BYTES_MAX: usize = 4_096;
/// In one message.
const SOCKETS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_others_left_alone() {
        let notice = read(7, "READY=1\nSTATUS=serves = well\nX_WORN=1\nX_OTHER=1\nnonsense\nWATCHDOG=0", Vec::new());
        assert!(notice.is_ready && notice.is_worn && !notice.is_alive && !notice.is_listening);
        assert_eq!((notice.pid, notice.status.as_deref()), (7, Some("serves = well")));
        assert_eq!(read(7, "FDSTOREREMOVE=1\nFDNAME=a", Vec::new()).forget.as_deref(), Some("a"));
        assert_eq!(read(7, "FDNAME=a", Vec::new()).forget, None);
    }

    #[tokio::test]
    async fn the_sender_and_its_sockets_arrive() {
        let notices = Notices::open().unwrap();
        let sender = Datagram::unbound().unwrap();
        let name = notices.address();
        sender.connect_addr(&SocketAddr::from_abstract_name(name.strip_prefix('@').unwrap()).unwrap()).unwrap();
        sender.send(b"X_LISTENING=1").unwrap();
        let notice = notices.receive().await.unwrap();
        assert!(notice.is_listening);
        assert_eq!(notice.pid, std::process::id());
    }
}
