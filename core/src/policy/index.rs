//! Which rules cover a host name: one table for the deny list, the exclusions and every profile's inclusions.
//!
//! Each suffix of the name that begins at a label is looked up once, so the cost depends on the number of labels, never
//! on the number of rules. The hash is seeded by the caller, since the names come from the network. A suffix counts as
//! an exact rule when it is the whole name, and as a `*.suffix` rule otherwise.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{BuildHasher as _, Hasher as _};
use core::num::NonZeroU16;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::inner::InnerPatterns;
use super::pattern::{HostPattern, Scope};

/// What the rules say about one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HostMarks {
    /// A rule of the deny list covers it.
    pub(super) denied: bool,
    /// An exclusion covers it.
    pub(super) excluded: bool,
    /// The most specific inclusion that covers it; that one stands for the wider ones too.
    pub(super) inspected: Option<InspectedNumber>,
}

/// The number of an inclusion, which is its place in each profile's edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InspectedNumber(NonZeroU16);

/// The table.
#[derive(Debug)]
pub(super) struct HostIndex {
    state: FixedState,
    entries: HashTable<Entry>,
    /// The names that are too long for their entries, one after the other.
    long_names: String,
    /// Bit N is set when some `*.suffix` rule has N labels in its suffix: other suffixes need not be looked up.
    below_depths: Depths,
    inner: InnerPatterns,
}

/// Half a cache line: a look that finds its rule costs one miss.
#[derive(Debug)]
struct Entry {
    name: EntryName,
    /// For the name itself.
    exact: HostMarks,
    /// For every name below it.
    below: HostMarks,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// A name inside its entry, or, when it is longer than that, its offset among the long names.
#[derive(Debug)]
struct EntryName {
    bytes: [u8; ENTRY_NAME_BYTES_MAX],
    len: u8,
}

const ENTRY_NAME_BYTES_MAX: usize = 23;

/// A set of label counts; a host name has at most 127 labels.
#[derive(Clone, Copy, Debug, Default)]
struct Depths(u128);

impl HostMarks {
    pub(super) const DENIED: Self = Self { denied: true, excluded: false, inspected: None };
    pub(super) const EXCLUDED: Self = Self { denied: false, excluded: true, inspected: None };

    /// The marks of the inclusion at a place in each profile's edits.
    pub(super) const fn inspected(place: u16) -> Self {
        Self { denied: false, excluded: false, inspected: InspectedNumber::of(place) }
    }

    /// Adds what a more specific rule says.
    pub(super) fn add(&mut self, more_specific: Self) {
        self.denied |= more_specific.denied;
        self.excluded |= more_specific.excluded;
        self.inspected = more_specific.inspected.or(self.inspected);
    }
}

impl InspectedNumber {
    const fn of(place: u16) -> Option<Self> {
        match NonZeroU16::new(place.saturating_add(1)) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number of a place, while there are numbers.
    pub(super) fn of_place(place: usize) -> Option<Self> {
        u16::try_from(place).ok().filter(|&place| place < u16::MAX).and_then(Self::of)
    }

    /// The place in each profile's edits.
    pub(super) fn place(self) -> usize {
        usize::from(self.0.get()) - 1
    }
}

impl HostIndex {
    /// Builds the table of `rules`; later marks are added to earlier ones of the same pattern.
    pub(super) fn new<'rule>(seed: u64, rules: impl IntoIterator<Item = (&'rule HostPattern, HostMarks)>) -> Self {
        let mut index = Self {
            state: FixedState::with_seed(seed),
            entries: HashTable::new(),
            long_names: String::new(),
            below_depths: Depths::default(),
            inner: InnerPatterns::default(),
        };
        let mut inner = Vec::new();
        for (pattern, marks) in rules {
            match pattern.scope() {
                Scope::Exact => index.entry(pattern.name()).exact.add(marks),
                Scope::Below => {
                    index.below_depths.insert(pattern.name().split('.').count());
                    index.entry(pattern.name()).below.add(marks);
                }
                Scope::Inner => inner.push((pattern.clone(), marks)),
            }
        }
        index.inner = InnerPatterns::new(inner);
        index
    }

    /// What the rules say about `name`, which is lower-case and has no trailing dot.
    pub(super) fn find(&self, name: &str) -> HostMarks {
        let mut found = HostMarks::default();
        let name = name.as_bytes();
        let mut depths = self.below_depths.0 >> 1;
        for (dot, _) in name.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.') {
            if depths == 0 {
                break;
            }
            if depths & 1 == 1
                && let Some(entry) = name.get(dot + 1..).and_then(|suffix| self.get(suffix))
            {
                found.add(entry.below);
            }
            depths >>= 1;
        }
        if let Some(entry) = self.get(name) {
            found.add(entry.exact);
        }
        self.inner.find(name, &mut found);
        found
    }

    fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.find(hash(&self.state, name), |entry| entry.name.bytes(&self.long_names) == Some(name))
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        let Self { state, entries, long_names, .. } = self;
        let name_hash = hash(state, name.as_bytes());
        let slot = entries.entry(
            name_hash,
            |entry| entry.name.bytes(long_names) == Some(name.as_bytes()),
            |entry| hash(state, entry.name.bytes(long_names).unwrap_or_default()),
        );
        match slot {
            hashbrown::hash_table::Entry::Occupied(slot) => slot.into_mut(),
            hashbrown::hash_table::Entry::Vacant(slot) => {
                let name = EntryName::new(name, long_names);
                slot.insert(Entry { name, exact: HostMarks::default(), below: HostMarks::default() }).into_mut()
            }
        }
    }
}

impl EntryName {
    fn new(name: &str, long_names: &mut String) -> Self {
        let mut bytes = [0; ENTRY_NAME_BYTES_MAX];
        if let Some(inside) = bytes.get_mut(..name.len()) {
            inside.copy_from_slice(name.as_bytes());
        } else {
            // A document is at most 64 MiB long, so the offset is never cut.
            let offset = u32::try_from(long_names.len()).unwrap_or(u32::MAX);
            if let Some(inside) = bytes.first_chunk_mut() {
                *inside = offset.to_ne_bytes();
            }
            long_names.push_str(name);
        }
        // A name is at most 253 bytes long.
        Self { bytes, len: u8::try_from(name.len()).unwrap_or(u8::MAX) }
    }

    fn bytes<'name>(&'name self, long_names: &'name str) -> Option<&'name [u8]> {
        let len = usize::from(self.len);
        if let Some(inside) = self.bytes.get(..len) {
            return Some(inside);
        }
        let offset = usize::try_from(u32::from_ne_bytes(*self.bytes.first_chunk()?)).ok()?;
        long_names.as_bytes().get(offset..offset + len)
    }
}

impl Depths {
    fn insert(&mut self, labels: usize) {
        self.0 |= u32::try_from(labels).ok().and_then(|labels| 1_u128.checked_shl(labels)).unwrap_or_default();
    }
}

fn hash(state: &FixedState, name: &[u8]) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(name);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn long_names_and_deep_ones_are_found() {
        let label = "x".repeat(63);
        let deep = ["a"; 120].join(".");
        let names = [format!("{label}.{label}.example.com"), format!("{}.example.com", "y".repeat(40)), deep];
        let below: Vec<_> = names.iter().map(|name| HostPattern::parse(&format!("*.{name}")).unwrap()).collect();
        let exact: Vec<_> = names.iter().map(|name| HostPattern::parse(name).unwrap()).collect();
        let rules = below.iter().map(|rule| (rule, HostMarks::EXCLUDED));
        let index = HostIndex::new(3, rules.chain(exact.iter().map(|rule| (rule, HostMarks::DENIED))));
        for name in &names {
            assert_eq!(index.find(name), HostMarks::DENIED, "{name}");
            assert_eq!(index.find(&format!("b.{name}")), HostMarks::EXCLUDED, "{name}");
            assert_eq!(index.find(&format!("b.c.{name}")), HostMarks::EXCLUDED, "{name}");
            assert_eq!(index.find(&format!("b{name}")), HostMarks::default(), "{name}");
        }
    }

    #[test]
    fn the_most_specific_inclusion_is_found_and_other_marks_add_up() {
        let rules = [
            ("*.example.com", HostMarks::inspected(0)),
            ("a.example.com", HostMarks::inspected(1)),
            ("*.a.example.com", HostMarks::inspected(2)),
            ("*.example.com", HostMarks::EXCLUDED),
            ("b.a.example.com", HostMarks::DENIED),
        ];
        let patterns = rules.map(|(rule, marks)| (HostPattern::parse(rule).unwrap(), marks));
        let index = HostIndex::new(9, patterns.iter().map(|(pattern, marks)| (pattern, *marks)));
        let place = |name: &str| index.find(name).inspected.map(InspectedNumber::place);
        assert_eq!(place("x.example.com"), Some(0));
        assert_eq!(place("a.example.com"), Some(1));
        assert_eq!(place("b.a.example.com"), Some(2));
        assert_eq!(place("example.com"), None);
        let marks = index.find("b.a.example.com");
        assert!(marks.denied && marks.excluded);
    }
}
