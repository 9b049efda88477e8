//! Certificates that the appliance makes: profiles and their DER, byte for byte.
//!
//! Owns the profiles of RFC 5280 (root, issuer, leaf; control and node of the link) and a writer for the little ASN.1 they need. Does not own
//! keys, clocks or randomness: public keys, serial numbers, validity and the signature come in. `control::ca` makes
//! roots and issuers; the data plane's signer mints leaves from a [`LeafTemplate`], one signature each (`crate::signer`).
//!
//! ```text
//! root (10 years, key in control, pathlen 2: an issuer, and while it is succeeded its successor)
//!  └─ issuer (30 days, renewed at half; pathlen 0; may only name the inspected hosts)
//!      └─ leaf (7 days; exactly one name; one key per issuer)
//!
//! link authority (10 years, key in control; trusted by the fleet alone)
//!  ├─ control (30 days, its key in memory alone)
//!  └─ node (90 days, renewed after 30; its common name is who speaks)
//! ```

mod authority;
mod der;
mod facts;
mod names;
mod node;
mod signer;
mod template;
mod validity;

pub use authority::{AuthorityRequest, encode_cross, encode_issuer, encode_root};
pub use facts::{CertificateFacts, ForeignAuthority};
pub use names::PermittedNames;
pub use node::{NodeRequest, encode_control, encode_node, encode_node_request, is_node_name};
pub use signer::{MintError, SignError, SignatureAlgorithm, Signer};
pub use template::LeafTemplate;
pub use validity::Validity;
