//! Moving bytes between the two legs of a flow.
//!
//! | file | owns |
//! |---|---|
//! | `splice` | a passed flow: copies at first, in the kernel once it is busy |
//! | `plain` | a request for plain HTTP: the header editor between two sockets |
//! | `transport` | one leg's TLS engine on its socket: handshake, flush, close |
//! | `edit` | an inspected flow: both engines and the header editor between them |
//! | `exchange` | the header editor of either version of HTTP |
//! | `patience` | the deadlines of an inspected flow |

pub(crate) mod edit;
pub(crate) mod exchange;
mod patience;
pub(crate) mod plain;
pub(crate) mod splice;
pub(crate) mod transport;
