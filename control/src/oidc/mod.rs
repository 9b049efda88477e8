//! Signing in by an OpenID provider: OpenID Connect Core 1.0, authorization code flow with PKCE (RFC 7636), state and nonce.
//!
//! | file | owns |
//! |---|---|
//! | `provider` | the way there and back: discovery, keys, the code's exchange, the ID token's checks |
//! | `ticket` | what ties an answer of the provider to the browser that asked |
//! | `person` | from the ID token's claims to a name and a role |
//! | `http` | how the provider is spoken to |
//! | `error` | how signing in comes to nothing |
//!
//! Knows nothing of the admin listener. Called by `daemon` (start), `admin` and `web`.

mod error;
mod http;
mod person;
mod provider;
mod ticket;

pub(crate) use error::OidcError;
pub(crate) use provider::{Answer, Provider};
pub(crate) use ticket::Ticket;
