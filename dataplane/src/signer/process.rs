//! The signer's own end: keeps its memory to itself, then answers one request after the other until the data plane is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nix::sys::mman::{MlockAllFlags, mlockall};
use penstock_core::limits::SIGNER_MESSAGE_BYTES_MAX;
use penstock_core::signer::{Answer, Request};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Resource, Signal, getrlimit, set_parent_process_death_signal};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

use super::holder::Holder;
use super::identity;
use crate::boot;

/// Runs a signer on the socket that stands as standard input, with the key pair of `state_directory`.
pub(crate) fn run(state_directory: &Path) -> anyhow::Result<()> {
    boot::forbid_cores();
    // The end of the data plane shows as the end of the socket too, but not to a signer that has been stopped.
    set_parent_process_death_signal(Some(Signal::KILL)).context("the signer would outlive its data plane")?;
    rustix::thread::set_name(c"penstock-signer").context("the signer cannot be named")?;
    let holder = Holder::new(identity::load(state_directory)?);
    keep_to_itself();
    serve(io::stdin().as_fd(), holder).context("the signer's socket failed")
}

/// Says who it is, then answers until the other end closes.
pub(super) fn serve(socket: BorrowedFd<'_>, mut holder: Holder) -> io::Result<()> {
    say(socket, &Answer::Hello { sealing_key: holder.sealing_key().to_vec() })?;
    let mut packet = vec![0; SIGNER_MESSAGE_BYTES_MAX];
    loop {
        let count = match recv(socket, packet.as_mut_slice(), RecvFlags::empty()) {
            Ok((0, _)) => return Ok(()),
            Ok((count, _)) => count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        // Our data plane says nothing else: whatever this is, it has no business with the key.
        let request = Request::parse(packet.get(..count).unwrap_or_default()).ok_or(io::ErrorKind::InvalidData)?;
        say(socket, &holder.answer(request, unix_now()))?;
    }
}

fn say(socket: BorrowedFd<'_>, answer: &Answer) -> io::Result<()> {
    let packet = answer.encode();
    loop {
        match send(socket, &packet, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => return sent.map(|_| ()).map_err(io::Error::from),
        }
    }
}

/// Keeps keys out of swap where the system allows it for all that the process will ever have: to be allowed less would end in
/// memory that cannot be had. Gives up every capability but the one that this may stand on.
fn keep_to_itself() {
    let is_unlimited = getrlimit(Resource::Memlock).current.is_none();
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let kept = if is_unlimited { CapabilitySet::empty() } else { held & CapabilitySet::IPC_LOCK };
    if is_unlimited || !kept.is_empty() {
        let flags =
            MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(MCL_ONFAULT);
        if let Err(error) = mlockall(flags) {
            tracing::warn!(%error, "the issuer's key is not kept out of swap");
        }
    } else {
        tracing::info!("the issuer's key is not kept out of swap: that wants LimitMEMLOCK=infinity");
    }
    if held != kept {
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        let given_up = set_no_new_privs(true).and_then(|()| set_capabilities(None, sets));
        if let Err(error) = given_up {
            tracing::warn!(%error, "the signer keeps capabilities that it does not need");
        }
    }
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Only pages that are used, of mappings that are large.
const MCL_ONFAULT: i32 = 4;
