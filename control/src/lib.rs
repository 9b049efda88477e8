//! Penstock's control plane.

pub mod ca;
