//! The host without restrictions, for passed flows and for bodies of every kind.

pub(crate) mod digest;
mod host;
pub(crate) mod pattern;
pub(crate) mod websocket;

pub(crate) use host::answer;
