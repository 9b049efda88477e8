//! One signer process and the socket to it. It is started from the program file that this process runs, whatever stands in
//! its place on the disk by now, so both ends are always of one version.

use std::io;
use std::os::unix::net::UnixDatagram as Datagram;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use penstock_core::limits::SIGNER_MESSAGE_BYTES_MAX;
use penstock_core::signer::{Answer, Request};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use rustix::thread::clear_ambient_capability_set;
use socket2::SockRef;
use tokio::net::UnixDatagram;

/// Where a signer runs.
pub(crate) enum Place {
    /// In a process of its own.
    Process {
        /// Where its own key is.
        state_directory: PathBuf,
        /// The filter of its log.
        log: String,
    },
    /// On a thread of a test.
    #[cfg(test)]
    Thread {
        /// Where its own key is.
        state_directory: PathBuf,
    },
}

/// A signer that runs. It is killed when this is dropped.
pub(super) struct Child {
    /// `None` for a thread, which ends with its socket.
    process: Option<std::process::Child>,
    /// Of the kind that keeps packets apart and has an end; to the runtime that is a datagram socket.
    socket: UnixDatagram,
    packet: Vec<u8>,
}

impl Child {
    /// Starts one. To be called on a thread that lives as long as the signer is to live.
    pub(super) fn start(place: &Place) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let socket = SockRef::from(&ours);
        socket.set_nonblocking(true)?;
        // A packet must fit into it whole.
        socket.set_send_buffer_size(SIGNER_MESSAGE_BYTES_MAX)?;
        let process = match place {
            Place::Process { state_directory, log } => {
                // What this thread, and so the signer, would be given of the unit's capabilities when a program is started.
                clear_ambient_capability_set()?;
                let mut command = Command::new("/proc/self/exe");
                command.arg0("penstock-dataplane").arg("--signer").arg(state_directory).args(["--log", log]);
                for variable in ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
                    command.env_remove(variable);
                }
                // A group of its own keeps the terminal's Ctrl-C away from it: flows that drain may still need it.
                command.stdin(theirs).stdout(Stdio::null()).process_group(0);
                Some(command.spawn()?)
            }
            #[cfg(test)]
            Place::Thread { state_directory } => {
                super::tests::serve_on_thread(theirs, state_directory);
                None
            }
        };
        let socket = UnixDatagram::from_std(Datagram::from(ours))?;
        Ok(Self { process, socket, packet: vec![0; ANSWER_BYTES_MAX] })
    }

    /// Process id, where it has one.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(std::process::Child::id)
    }

    /// Its next answer; `None` at its end. May be dropped and called again.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Answer>> {
        let Self { socket, packet, .. } = self;
        let count = socket.recv(packet).await?;
        if count == 0 {
            return Ok(None);
        }
        let answer = Answer::parse(packet.get(..count).unwrap_or_default());
        answer.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Sends `request`; whether there was room for it.
    pub(super) fn send(&self, request: &Request) -> io::Result<bool> {
        match send(&self.socket, &request.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        // It may have ended already.
        let _ended = process.kill();
        let _status = process.wait();
    }
}

/// A leaf for the longest name is 2 KiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
