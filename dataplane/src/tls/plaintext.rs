//! Decrypted bytes that were not taken yet, of either engine.

/// `bytes[start..]`. Bounded by its engine, which reads no ciphertext while some wait: at most what one read and the record
/// begun before it hold. Owns no memory while nothing waits.
#[derive(Debug, Default)]
pub(super) struct Plaintext {
    bytes: Vec<u8>,
    start: usize,
}

impl Plaintext {
    /// Where more is added, at the end.
    pub(super) const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Moves what fits into `out`; how many bytes that are.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        let count = waiting.len().min(out.len());
        out[..count].copy_from_slice(&waiting[..count]);
        self.start += count;
        if self.is_empty() {
            *self = Self::default();
        }
        count
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }
}
