//! The harness of Penstock's end-to-end tests: it starts the real binaries on free loopback ports, speaks to them with
//! bytes of its own choosing, and stands behind them as an upstream that keeps every byte and checks the header
//! invariant.
//!
//! It knows the product by its command lines, its wire and the schemas of `penstock_core`; it links none of the daemons.
//!
//! | module | owns |
//! |---|---|
//! | [`admin`] | the admin listener: policy, events, metrics |
//! | [`appliance`] | one `penstock up` in a temporary directory |
//! | [`certificate`] | certificates of the tests' own authority, good and bad |
//! | [`chromium`] | a browser |
//! | [`client`] | a TLS client through the appliance, speaking HTTP/1.1 as told |
//! | [`etcd`] | an etcd server |
//! | [`forwarder`] | a plain port into the appliance, for clients that cannot speak CONNECT |
//! | [`haproxy`] | HAProxy in front of the appliance |
//! | [`http`] | a strict reader of HTTP/1.1 messages, for both ends |
//! | [`http2`] | a client through the appliance that speaks HTTP/2 |
//! | [`names`] | a name server outside |
//! | [`network`] | namespaces of inside hosts, appliance and outside hosts |
//! | [`openssl`] | OpenSSL's own server and client |
//! | [`place`] | where binaries, corpora and interpreters are |
//! | [`plain`] | an origin in the clear |
//! | [`postgres`] | a PostgreSQL server |
//! | [`process`] | a child process that announces itself by a line of JSON and dies with its owner |
//! | [`saas`] | `penstock-saas` |
//! | [`squid`] | Squid as a parent proxy |
//! | `streams` | the upstream's HTTP/2 |
//! | [`tripwire`] | the header invariant |
//! | [`tunnel`] | CONNECT, then raw bytes |
//! | [`upstream`] | a TLS upstream that keeps raw bytes and answers as told |
//! | [`wait`] | waiting for a condition with a generous limit |
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a harness that cannot go on ends the test, and says what it left out"
)]

pub mod admin;
pub mod appliance;
pub mod certificate;
pub mod chromium;
pub mod client;
pub mod etcd;
pub mod forwarder;
pub mod haproxy;
pub mod http;
pub mod http2;
pub mod names;
pub mod nats;
pub mod network;
pub mod openssl;
pub mod place;
pub mod plain;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod saas;
pub mod squid;
mod streams;
pub mod tripwire;
pub mod tunnel;
pub mod upstream;
pub mod wait;
