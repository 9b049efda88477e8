//! TLS as far as it is read without keys: records, the ClientHello, alerts.
//!
//! Passed flows are watched with [`retry::RetryWatch`] until the server has answered.
//! Nothing here encrypts or decrypts; the data plane's engines do that. Sniffing reads through
//! [`client_hello::ClientHelloReader`], refusals are written with [`alert::record`].

pub mod alert;
pub mod client_hello;
pub mod record;
pub mod retry;
pub mod server_hello;

pub use alert::Alert;
pub use client_hello::{ClientHello, ClientHelloReader, Ech, HelloReject};
pub use retry::RetryWatch;
