//! Which ways to sign in are open, and for how long a session of each lives.

/// The ways.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    /// By password.
    pub(crate) passwords: bool,
    /// By an OpenID provider: the longest life of a session, milliseconds. `None` where there is no provider.
    pub(crate) vouched_ms: Option<u64>,
}

impl Default for Doors {
    fn default() -> Self {
        Self { passwords: true, vouched_ms: None }
    }
}

impl Doors {
    /// How long a session of this user may live; `None` where the way by which it was opened has been closed since.
    pub(super) fn life_ms(self, user: &str) -> Option<u64> {
        let life_ms = if is_vouched(user) { self.vouched_ms } else { self.passwords.then_some(SESSION_LIFE_MS) };
        life_ms.map(|life_ms| life_ms.min(SESSION_LIFE_MS))
    }
}

/// Whether a user is known by an OpenID provider. No name of the appliance's own has a colon.
pub(crate) fn is_vouched(user: &str) -> bool {
    user.starts_with(VOUCHED)
}

/// Begins the names of those whom an OpenID provider knows.
pub(super) const VOUCHED: &str = "oidc:";
/// A session is over after so long, used or not.
const SESSION_LIFE_MS: u64 = 12 * 3_600_000;
