//! How far the content of requests has come, in portions: a client that lets it trickle reaches none in time.
//!
//! Owns the count alone. The deadline for each portion is the data plane's, which has a clock.

use crate::limits::REQUEST_BODY_BYTES_MIN;

/// The content of one connection's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    bytes: u64,
}

impl Pace {
    /// Content has come.
    pub(crate) const fn advance(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// A request is whole: that is as good as a portion, however short its content was.
    pub(crate) const fn end_body(&mut self) {
        self.bytes = self.portions().saturating_add(1).saturating_mul(REQUEST_BODY_BYTES_MIN);
    }

    /// Whole portions so far.
    pub(crate) const fn portions(self) -> u64 {
        self.bytes / REQUEST_BODY_BYTES_MIN
    }
}
