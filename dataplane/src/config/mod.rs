//! The data plane's configuration file: as written (`raw`), as checked and typed (`typed`, and `listener` for
//! `[[listener]]`, `flow_limits` for `[limits]`), the table of hosts that it and the command line fill (`hosts`), where control is (`link`), whose PROXY protocol headers a listener
//! believes (`proxy_protocol`), the proxy through which origins are reached (`parent`), how a mistake is told (`error`), and
//! mistakes made on purpose (`faults`).
//!
//! Read once, at start, by `main`. Policy is not here: it comes over the link.

mod error;
#[cfg(debug_assertions)]
mod faults;
mod flow_limits;
mod hosts;
mod link;
mod listener;
mod parent;
mod proxy_protocol;
mod quic;
mod raw;
mod typed;

pub(crate) use flow_limits::{FlowLimits, MintLimits};
pub(crate) use link::{ControlAddress, Link};
pub(crate) use listener::{Steering, TransparentListener};
pub(crate) use parent::{HeaderRule, ParentProxy};
pub(crate) use proxy_protocol::{HeaderUser, ProxyProtocol, ProxyProtocolMode};
pub(crate) use quic::{Quic, QuicRefusal};
pub(crate) use typed::{Config, Deadlines, IoEngineSetting};
