//! What was told lately, so that it is told once: flows that the audit wants to know of, but not each of thousands.

use std::collections::HashMap;
use std::hash::Hash;

/// A bounded set of keys, each with the moment until which it counts. When it is full of keys that count it is emptied:
/// telling something twice is better than not at all.
pub(crate) struct Recent<K> {
    until_ms: HashMap<K, u64>,
    entries_max: usize,
    span_ms: u64,
}

impl<K: Eq + Hash> Recent<K> {
    pub(crate) fn new(entries_max: usize, span_ms: u64) -> Self {
        Self { until_ms: HashMap::new(), entries_max, span_ms }
    }

    /// Whether `key` was not told within the span; it is now.
    pub(crate) fn is_new(&mut self, key: K, now_ms: u64) -> bool {
        if self.until_ms.get(&key).is_some_and(|until_ms| now_ms < *until_ms) {
            return false;
        }
        if self.until_ms.len() >= self.entries_max {
            self.until_ms.retain(|_, until_ms| now_ms < *until_ms);
        }
        if self.until_ms.len() >= self.entries_max {
            self.until_ms.clear();
        }
        self.until_ms.insert(key, now_ms.saturating_add(self.span_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_in_its_span() {
        let mut recent = Recent::new(2, 100);
        assert!(recent.is_new("a", 0));
        assert!(!recent.is_new("a", 99));
        assert!(recent.is_new("a", 100));
        assert!(recent.is_new("b", 150) && recent.is_new("c", 150));
        assert!(recent.until_ms.len() <= 2);
        assert!(!recent.is_new("c", 151));
    }
}
