//! Who is let in, and what each may do: roles, passwords, sessions, API tokens, the bound on guessing, the trail.
//!
//! Knows nothing of HTTP. Called by `admin` and `web`.

mod gate;
mod guess;
mod identity;
mod password;
mod role;
mod secret;
mod trail;

pub(crate) use gate::{AccessError, AccountView, Gate, NewToken, SignedIn, TokenView};
pub(crate) use identity::{Identity, Way};
pub(crate) use password::Password;
pub(crate) use role::{Act, Role};
pub(crate) use trail::{Outcome, Trail};
