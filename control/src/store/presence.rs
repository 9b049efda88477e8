//! Which daemon of a fleet holds which data planes now: said again and again, and forgotten with whoever stops saying it.

use std::collections::BTreeMap;

use super::Answer;

/// What a daemon says of a data plane that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PresenceRecord {
    /// The daemon's name.
    pub(crate) control: String,
    pub(crate) node: String,
    /// In the words of `publish`.
    pub(crate) said: String,
}

/// Keeps what the daemons of a fleet say.
pub(crate) trait PresenceStore: Send + Sync {
    /// Says which data planes this daemon holds, in the place of what it said last. To be repeated every few seconds: what is
    /// not is over after [`PRESENCE_SECONDS`].
    fn announce(&self, nodes: BTreeMap<String, String>) -> Answer<'_, ()>;
    /// What every daemon says now, this one too.
    fn present(&self) -> Answer<'_, Vec<PresenceRecord>>;
    /// Takes back what this daemon said: it is about to end.
    fn withdraw(&self) -> Answer<'_, ()>;
}

/// For so long what a daemon said is believed without its saying more.
pub(crate) const PRESENCE_SECONDS: i64 = 10;
