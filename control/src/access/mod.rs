//! Who is let in, and what each may do: passwords, sessions, API tokens, the bound on guessing, the trail.
//!
//! Knows nothing of HTTP. Called by `admin` and `web`.

mod doors;
mod gate;
mod guess;
mod identity;
mod password;
mod secret;
mod trail;
mod vouched;

pub(crate) use crate::role::{Act, Role};
pub(crate) use doors::{Doors, is_vouched};
pub(crate) use gate::{AccessError, AccountView, Gate, NewToken, SignedIn, TokenView};
pub(crate) use identity::{Identity, Way};
pub(crate) use password::Password;
pub(crate) use secret::{hash as hash_secret, random as random_secret};
pub(crate) use trail::{Outcome, Trail};
pub(crate) use vouched::Person;
