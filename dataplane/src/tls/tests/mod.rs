//! Tests of the TLS room.

mod corpus;
mod limbo;
