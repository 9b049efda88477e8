//! Who uses the explicit proxy: `Basic` credentials against a file of users.
//!
//! Verifying a password is slow by design (Argon2), so it never happens on a shard: a shard asks its own memory of what was
//! verified lately, and else the workers, whose queue is bounded.
//!
//! ```text
//! flow ─▶ gate (one per shard: verified lately? too many failures?) ─▶ queue ─▶ worker ─▶ directory (the file, reloaded)
//! ```

mod directory;
mod failures;
mod gate;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use directory::{Directory, Who};
pub(crate) use gate::{Gate, Proof};
pub(crate) use workers::Workers;
