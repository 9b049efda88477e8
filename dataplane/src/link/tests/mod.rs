//! The link against a control that runs in this process, on a Unix socket in a temporary folder.

mod audit;
mod control;
mod install;
mod node;
mod session;
