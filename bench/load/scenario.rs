//! What one operation is. Both sides of a pass and of an inspected flow look the same from here; the difference lies in
//! the roots that the client is given, and in what the report calls it.

use clap::ValueEnum;

/// The kinds of work that the bars of the product name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// One request on an inspected connection that stays.
    InspectKeepAlive,
    /// A new inspected connection with one request.
    InspectNew,
    /// A new passed connection with one large answer.
    PassBulk,
    /// A new passed connection with one request.
    PassNew,
}

impl Scenario {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::InspectKeepAlive => "inspect-keep-alive",
            Self::InspectNew => "inspect-new",
            Self::PassBulk => "pass-bulk",
            Self::PassNew => "pass-new",
        }
    }

    /// Whether an operation opens its own connection.
    pub(crate) const fn is_new(self) -> bool {
        !matches!(self, Self::InspectKeepAlive)
    }

    pub(crate) const fn default_bytes(self) -> u64 {
        match self {
            Self::PassBulk => 64 * 1024 * 1024,
            Self::InspectKeepAlive | Self::InspectNew | Self::PassNew => 1_024,
        }
    }
}
