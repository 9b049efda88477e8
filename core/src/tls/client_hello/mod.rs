//! The first message of a TLS connection, read from plain bytes before anything is decided (RFC 8446 section 4.1.2).
//!
//! Strict where two readers might see different host names (framing, duplicates, `server_name`), lenient where the endpoints
//! judge for themselves (bodies of other extensions). Called by the data plane's sniffing and, for QUIC, over CRYPTO frames.
//!
//! | file | owns |
//! |---|---|
//! | `reader` | records to one message, over any segmentation |
//! | `hello` | the message and its extensions |
//! | `server_name` | the `server_name` extension |
//! | `ja4` | the client's fingerprint |
//! | `reject` | why a hello is refused |

mod hello;
mod ja4;
mod reader;
mod reject;
mod server_name;

pub use hello::{ClientHello, Ech, Extensions};
pub use reader::ClientHelloReader;
pub use reject::HelloReject;
