//! Which rules cover a host name: one table for the deny list, the exclusions and every profile's inclusions.
//!
//! Each suffix of the name that begins at a label is looked up once, so the cost depends on the number of labels, never
//! on the number of rules. The hash is seeded by the caller, since the names come from the network. A suffix counts as
//! an exact rule when it is the whole name, and as a `*.suffix` rule otherwise.

use alloc::string::String;
use alloc::vec::Vec;
use core::hash::{BuildHasher as _, Hasher as _};

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
    /// The most specific inclusion that covers it, by its number; that number stands for the wider ones too.
    pub(super) inspected: Option<u16>,
}

impl HostMarks {
    pub(super) const DENIED: Self = Self { denied: true, excluded: false, inspected: None };
    pub(super) const EXCLUDED: Self = Self { denied: false, excluded: true, inspected: None };

    /// The marks of the inclusion with that number.
    pub(super) const fn inspected(number: u16) -> Self {
        Self { denied: false, excluded: false, inspected: Some(number) }
    }

    /// Adds what a more specific rule says.
    pub(super) fn add(&mut self, more_specific: Self) {
        self.denied |= more_specific.denied;
        self.excluded |= more_specific.excluded;
        self.inspected = more_specific.inspected.or(self.inspected);
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct HostIndex {
    state: FixedState,
    entries: HashTable<Entry>,
    /// The names of all entries, one after the other: an entry is looked at only when its hash fits.
    names: String,
    /// Labels of the longest suffix in the table; longer ones need not be looked up.
    labels_max: usize,
    inner: InnerPatterns,
}

#[derive(Debug)]
struct Entry {
    start: u32,
    len: u8,
    /// For the name itself.
    exact: HostMarks,
    /// For every name below it.
    below: HostMarks,
}

impl HostIndex {
    /// Builds the table of `rules`; later marks are added to earlier ones of the same pattern.
    pub(super) fn new<'rule>(seed: u64, rules: impl IntoIterator<Item = (&'rule HostPattern, HostMarks)>) -> Self {
        let mut index = Self {
            state: FixedState::with_seed(seed),
            entries: HashTable::new(),
            names: String::new(),
            labels_max: 0,
            inner: InnerPatterns::default(),
        };
        let mut inner = Vec::new();
        for (pattern, marks) in rules {
            match pattern.scope() {
                Scope::Exact => index.entry(pattern.name()).exact.add(marks),
                Scope::Below => index.entry(pattern.name()).below.add(marks),
                Scope::Inner => inner.push((pattern.clone(), marks)),
            }
        }
        index.inner = InnerPatterns::new(inner);
        index
    }

    /// What the rules say about `name`, which is lower-case and has no trailing dot.
    pub(super) fn find(&self, name: &str) -> HostMarks {
        let mut found = HostMarks::default();
        let mut end = name.len();
        for _ in 0..self.labels_max {
            let Some(dot) = name.get(..end).and_then(|rest| rest.rfind('.')) else {
                break;
            };
            if let Some(entry) = name.get(dot + 1..).and_then(|suffix| self.get(suffix)) {
                found.add(entry.below);
            }
            end = dot;
        }
        if let Some(entry) = self.get(name) {
            found.add(entry.exact);
        }
        self.inner.find(name, &mut found);
        found
    }

    fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.find(self.hash(name), |entry| text(&self.names, entry) == Some(name))
    }

    fn entry(&mut self, name: &str) -> &mut Entry {
        self.labels_max = self.labels_max.max(name.split('.').count());
        let hash = self.hash(name);
        let Self { state, entries, names, .. } = self;
        let slot = entries.entry(
            hash,
            |entry| text(names, entry) == Some(name),
            |entry| hash_with(state, text(names, entry).unwrap_or_default()),
        );
        // A pattern's name is at most 253 bytes and a document at most 64 MiB, so neither number can be cut.
        let (start, len) = (u32::try_from(names.len()).unwrap_or(u32::MAX), u8::try_from(name.len()).unwrap_or(0));
        let new = || Entry { start, len, exact: HostMarks::default(), below: HostMarks::default() };
        let slot = match slot {
            hashbrown::hash_table::Entry::Occupied(slot) => slot,
            hashbrown::hash_table::Entry::Vacant(slot) => {
                let slot = slot.insert(new());
                names.push_str(name);
                slot
            }
        };
        slot.into_mut()
    }

    fn hash(&self, name: &str) -> u64 {
        hash_with(&self.state, name)
    }
}

fn hash_with(state: &FixedState, name: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

fn text<'names>(names: &'names str, entry: &Entry) -> Option<&'names str> {
    let start = usize::try_from(entry.start).ok()?;
    names.get(start..start + usize::from(entry.len))
}
