//! The certificate authority: the root that inside hosts trust, and the issuers that data planes sign leaves with.
//!
//! Owns the files of `DIR/ca` and every private key in control's memory. Does not own when an issuer is due (`publish`)
//! nor how certificates are encoded (`penstock_core::mint`).
//!
//! ```text
//! DIR/ca/             0700
//!   root.pem          the certificate that clients must trust; two of them while a root follows another
//!   root.key   0600   the key of the one that signs, which never leaves this process
//!   next.pem   0600   the next root with its key, between its announcement and its first signature
//!   cross.pem         the old root's certificate for the new one
//!   issuer.pem 0600   the issuer in force with its key, which goes to the signers of data planes
//! DIR/ca-operator/    the same without keys of roots, when the operator brings an authority of his own
//! DIR/link-authority.pem   0600   another authority, by which controls and data planes know each other, with its key;
//!                              while one of these follows another both, the one that signs first
//! ```

mod authority;
mod bundle;
mod error;
mod files;
mod issuer;
mod key;
mod link;
mod operator;
mod root;
mod rotation;
mod store;

pub use crate::config::{AuthoritySettings, OperatorFiles};
pub use authority::Authority;
pub use bundle::trust_bundle;
pub use error::CaError;
pub use issuer::IssuerBundle;
pub use link::{
    Asked, ControlIdentity, LinkAuthority, LinkAuthorityFacts, LinkCertificateFacts, NodeCertificate, SignedForNode,
};
pub use root::RootFacts;
pub use rotation::{RotationFacts, RotationStep};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
