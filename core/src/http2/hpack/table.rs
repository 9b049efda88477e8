//! The dynamic table (RFC 7541 section 2.3.2): fields of the past, the youngest first.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A dynamic table. Names and values stand one behind the other in one buffer, so that a field costs no allocation:
/// ```text
/// bytes    | evicted ....... | name value | name value | name value |
///          ^ base            ^ oldest                  ^ youngest
/// ```
/// The evicted part is cut off when the buffer reaches one and a half of the table's size, so that each byte is moved
/// twice at most, on the average.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The position of the first byte of `bytes`; positions wrap, and only their differences count.
    base: usize,
    /// The oldest in front.
    entries: VecDeque<Entry>,
    /// Names and values, with [`ENTRY_OVERHEAD`] for each entry; never over `size_max`.
    size: usize,
    size_max: usize,
}

/// One field, in positions.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    name_bytes: usize,
    value_bytes: usize,
}

impl Entry {
    const fn size(self) -> usize {
        entry_size(self.name_bytes, self.value_bytes)
    }
}

/// What an entry counts beside its name and value (RFC 7541 section 4.1).
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// What a field counts in a table, and in a list of fields.
pub(super) const fn entry_size(name_bytes: usize, value_bytes: usize) -> usize {
    name_bytes.saturating_add(value_bytes).saturating_add(ENTRY_OVERHEAD)
}

impl Table {
    pub(super) const fn new(size_max: usize) -> Self {
        Self { bytes: Vec::new(), base: 0, entries: VecDeque::new(), size: 0, size_max }
    }

    pub(super) const fn size_max(&self) -> usize {
        self.size_max
    }

    /// Changes the size, evicting what does not fit.
    pub(super) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.evict_to(size_max);
    }

    /// The field that was entered `age` fields ago.
    pub(super) fn at(&self, age: usize) -> Option<(&[u8], &[u8])> {
        let place = self.entries.len().checked_sub(1)?.checked_sub(age)?;
        self.field(*self.entries.get(place)?)
    }

    /// The age of the youngest field with this name and value, else of the youngest with this name; and whether the value
    /// is the same.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> Option<(usize, bool)> {
        let mut found = None;
        for (age, entry) in self.entries.iter().rev().enumerate() {
            let is_same_value = entry.value_bytes == value.len();
            if entry.name_bytes != name.len() || (found.is_some() && !is_same_value) {
                continue;
            }
            let Some((entry_name, entry_value)) = self.field(*entry) else { continue };
            if entry_name == name {
                if entry_value == value {
                    return Some((age, true));
                }
                found = found.or(Some((age, false)));
            }
        }
        found
    }

    /// Enters a field, evicting the oldest until it fits. One that can never fit empties the table (section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let entry_bytes = entry_size(name.len(), value.len());
        let Some(room) = self.size_max.checked_sub(entry_bytes) else {
            self.evict_to(0);
            return;
        };
        self.evict_to(room);
        self.make_room(name.len() + value.len());
        let start = self.base.wrapping_add(self.bytes.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_back(Entry { start, name_bytes: name.len(), value_bytes: value.len() });
        self.size += entry_bytes;
    }

    fn field(&self, entry: Entry) -> Option<(&[u8], &[u8])> {
        let (_, from) = self.bytes.split_at_checked(entry.start.wrapping_sub(self.base))?;
        let (name, from) = from.split_at_checked(entry.name_bytes)?;
        Some((name, from.get(..entry.value_bytes)?))
    }

    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.size = self.size.saturating_sub(oldest.size());
        }
        if self.entries.is_empty() {
            self.base = self.base.wrapping_add(self.bytes.len());
            self.bytes.clear();
        }
    }

    /// Makes the buffer take `more` bytes, cutting off the evicted part when it has become long.
    fn make_room(&mut self, more: usize) {
        let bound = self.size_max + self.size_max / 2;
        let needed = self.bytes.len() + more;
        if needed > bound {
            let oldest = self.entries.front().map_or(self.base, |entry| entry.start);
            let evicted = oldest.wrapping_sub(self.base).min(self.bytes.len());
            self.bytes.drain(..evicted);
            self.base = self.base.wrapping_add(evicted);
        }
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            // Doubling, but never past the bound.
            let capacity = needed.max(needed.saturating_mul(2).min(bound));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    /// A table as the RFC tells it: a queue of owned fields.
    #[derive(Default)]
    struct Model {
        fields: VecDeque<(Vec<u8>, Vec<u8>)>,
        size_max: usize,
    }

    impl Model {
        fn size(&self) -> usize {
            self.fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        }

        fn set_size_max(&mut self, size_max: usize) {
            self.size_max = size_max;
            while self.size() > size_max {
                self.fields.pop_back();
            }
        }

        fn insert(&mut self, name: &[u8], value: &[u8]) {
            self.fields.push_front((name.to_vec(), value.to_vec()));
            self.set_size_max(self.size_max);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(Vec<u8>, Vec<u8>),
        Resize(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let text = || prop::collection::vec(prop::sample::select(&b"ab"[..]), 0..40);
        let step = prop_oneof![
            20 => (text(), text()).prop_map(|(name, value)| Step::Insert(name, value)),
            1 => (0usize..700).prop_map(Step::Resize),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn the_table_is_a_queue_of_fields(size_max in 0usize..700, steps in steps()) {
            let (mut table, mut model) = (Table::new(size_max), Model { size_max, ..Model::default() });
            for step in steps {
                match step {
                    Step::Insert(name, value) => {
                        table.insert(&name, &value);
                        model.insert(&name, &value);
                    }
                    Step::Resize(size) => {
                        table.set_size_max(size);
                        model.set_size_max(size);
                    }
                }
                prop_assert_eq!(table.size, model.size());
                prop_assert!(table.bytes.len() <= 700 + 350);
                for (age, (name, value)) in model.fields.iter().enumerate() {
                    prop_assert_eq!(table.at(age), Some((&name[..], &value[..])));
                    let first = model.fields.iter().position(|field| field == &(name.clone(), value.clone()));
                    prop_assert_eq!(table.find(name, value), first.map(|age| (age, true)));
                    let named = model.fields.iter().position(|field| &field.0 == name);
                    prop_assert_eq!(table.find(name, b"no such value"), named.map(|age| (age, false)));
                }
                prop_assert_eq!(table.at(model.fields.len()), None);
            }
        }
    }

    #[test]
    fn memory_stays_near_the_size() {
        let mut table = Table::new(65_536);
        for step in 0..20_000usize {
            table.insert(b"name", &vec![b'v'; step * 7 % 3_000]);
            assert!(table.bytes.capacity() <= 98_304);
        }
    }
}
