//! The users as the file has them now. A file that turns wrong changes nothing: the users of before stay.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use argon2::password_hash::PasswordHash;
use argon2::{Algorithm, Params};
use penstock_core::limits;
use penstock_core::users::{self, User};
use tokio::signal::unix::{SignalKind, signal};

/// A user who has proven to be the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// As the file spells it.
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// The file and what was read of it last.
pub(crate) struct Directory {
    path: PathBuf,
    users: ArcSwap<Users>,
}

/// One reading of the file.
pub(crate) struct Users {
    /// By name in lower case.
    by_name: HashMap<String, (String, Arc<Who>)>,
    /// How many readings came before.
    pub(super) generation: u64,
    stamp: Option<Stamp>,
}

/// Tells one state of the file from another.
type Stamp = (i64, i64, u64, u64);

impl Directory {
    /// Reads the file; the error names it, and the line.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let users = Users::read(path, 0)?;
        Ok(Self { path: path.to_owned(), users: ArcSwap::from_pointee(users) })
    }

    pub(super) fn users(&self) -> Arc<Users> {
        self.users.load_full()
    }

    /// Which reading is in force.
    pub(super) fn generation(&self) -> u64 {
        self.users.load().generation
    }

    /// Reads the file again if it has changed; `None` when it has not.
    pub(super) fn reload(&self) -> Option<Result<usize, String>> {
        let before = self.users.load();
        if stamp(&self.path).ok() == before.stamp {
            return None;
        }
        let read = Users::read(&self.path, before.generation + 1);
        Some(read.map(|users| {
            let count = users.by_name.len();
            self.users.store(Arc::new(users));
            count
        }))
    }

    /// Looks at the file every few seconds, and at once on SIGHUP, for as long as the runtime lives.
    pub(crate) async fn watch(self: Arc<Self>) {
        let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
        let mut told = None;
        loop {
            tokio::select! {
                _ = hangup.recv() => told = None,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.reload() {
                None => told = None,
                Some(Ok(count)) => {
                    told = None;
                    tracing::info!(count, file = %self.path.display(), "users read again");
                }
                Some(Err(reason)) => {
                    if told.as_ref() != Some(&reason) {
                        tracing::error!("{reason}; the users of before stay");
                    }
                    told = Some(reason);
                }
            }
        }
    }
}

impl Users {
    fn read(path: &Path, generation: u64) -> Result<Self, String> {
        let file = path.display();
        // The stamp is from before the text: a change in between is seen at the next look.
        let stamp = stamp(path).ok();
        let text = fs::read_to_string(path).map_err(|error| format!("{file}: error: cannot be read: {error}"))?;
        let listed = users::parse(&text).map_err(|error| format!("{file}:{}: error: {}", error.line, error.reason))?;
        let mut by_name = HashMap::new();
        for user in listed {
            check(&user).map_err(|reason| format!("{file}:{}: error: {reason}", user.line))?;
            let who = Arc::new(Who { user: user.name.clone(), groups: user.groups });
            by_name.insert(user.name.to_ascii_lowercase(), (user.hash, who));
        }
        Ok(Self { by_name, generation, stamp })
    }

    /// The hash of a user's password, and who that is.
    pub(super) fn find(&self, name: &str) -> Option<(&str, &Arc<Who>)> {
        self.by_name.get(&name.to_ascii_lowercase()).map(|(hash, who)| (hash.as_str(), who))
    }
}

/// Refuses a hash that nobody could verify, or only at the cost of everybody else.
fn check(user: &User) -> Result<(), String> {
    let name = &user.name;
    let hash = PasswordHash::new(&user.hash).map_err(|error| format!("the hash of {name:?} is malformed: {error}"))?;
    let is_argon2id = Algorithm::try_from(hash.algorithm).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
    let params =
        Params::try_from(&hash).map_err(|error| format!("the hash of {name:?} has odd parameters: {error}"))?;
    if !is_argon2id || hash.hash.is_none() || hash.salt.is_none() {
        return Err(format!("the hash of {name:?} has no salt or no value"));
    }
    for (what, value, max) in [
        ("m", params.m_cost(), limits::AUTH_HASH_KIB_MAX),
        ("t", params.t_cost(), limits::AUTH_HASH_ROUNDS_MAX),
        ("p", params.p_cost(), limits::AUTH_HASH_LANES_MAX),
    ] {
        if value > max {
            return Err(format!("the hash of {name:?} asks for {what}={value}; {max} is the most"));
        }
    }
    Ok(())
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    fs::metadata(path).map(|found| (found.mtime(), found.mtime_nsec(), found.size(), found.ino()))
}

/// How soon a changed file is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
