//! The PROXY protocol, versions 1 and 2: what a load balancer says of a connection ahead of its bytes.
//!
//! Owns the header's form (`doc/proxy-protocol.txt` of HAProxy), read strictly and written. Does not own who may send one:
//! the data plane's listeners know the sources that they trust. A header that another receiver could read otherwise is
//! refused whole.
//!
//! ```text
//! v1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
//!
//! v2   signature (12) | version, command | family, transport | length (2) | addresses | TLV | TLV | ...
//! ```

mod crc32c;
mod header;
mod tlv;
mod v1;
mod v2;

pub use header::{Endpoints, Header, HeaderReject, Version, begins_like_header, parse};
pub use tlv::{Ssl, TlvKind, TlvReject, Tlvs};
