//! The certificate authority: the root that inside hosts trust, and the issuers that data planes sign leaves with.
//!
//! Owns the files of `DIR/ca` and every private key in control's memory. Does not own when an issuer is due (`publish`)
//! nor how certificates are encoded (`penstock_core::mint`).
//!
//! ```text
//! DIR/ca/             0700
//!   root.pem          the certificate that clients must trust
//!   root.key   0600   its key, which never leaves this process
//!   issuer.pem 0600   the issuer in force with its key, which goes to data planes
//! ```

mod authority;
mod error;
mod files;
mod issuer;
mod key;
mod pem;

pub use authority::{Authority, RootFacts};
pub use error::CaError;
pub use issuer::IssuerBundle;
