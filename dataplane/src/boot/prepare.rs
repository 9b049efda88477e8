//! What the process changes about itself.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// Takes as many descriptors as the system allows, and allows no core files. Neither is worth not starting for: what could
/// not be had shows in the report.
pub(crate) fn prepare() {
    let descriptors = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: descriptors.maximum, maximum: descriptors.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    forbid_cores();
}

/// Keeps what this process knows out of core files and away from other processes of its user.
pub(crate) fn forbid_cores() {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let no_core =
        setrlimit(Resource::Core, no_core).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = no_core {
        tracing::warn!(%error, "core files cannot be turned off: keys may reach the disk when the process crashes");
    }
}
