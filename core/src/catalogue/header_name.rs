//! Which request headers are restriction headers, in whatever disguise a client sends them.
//!
//! A vendor's front end may read `RESTRICT_ACCESS.TO-TENANTS` as the name that the appliance sets (CVE-2025-64484 is
//! one of several), so names are compared with case folded and `_` and `.` taken for `-`; and a header that continues
//! in numbered ones (`anthropic-allowed-org-ids7`) is known with every number. Asked by the HTTP editors for each
//! header of each inspected request, so a name of a length that no entry has is turned away at once, without hashing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{ConnectorId, Encoding, connectors};

/// Longest name in the table; also how many lengths it is indexed by. Longer operator-supplied names are refused by
/// the policy.
pub(crate) const STRIP_NAME_BYTES_MAX: usize = 64;

/// The names of all catalogue headers, and of those that the policy's operator supplied.
#[derive(Debug)]
pub struct StripNames {
    /// In the order in which they are listed.
    entries: Vec<Entry>,
    /// Indices into `entries`, by the length of the name.
    by_length: [Vec<u16>; STRIP_NAME_BYTES_MAX + 1],
}

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    /// Connectors that use it: two of Microsoft's share one name.
    connectors: Vec<ConnectorId>,
    /// Whether a number may follow.
    numbered: bool,
}

impl StripNames {
    /// The catalogue's names, and `supplied` ones with the connector for which the operator gave them.
    pub fn new<'name>(supplied: impl IntoIterator<Item = (&'name str, ConnectorId)>) -> Self {
        let mut names = Self { entries: Vec::new(), by_length: core::array::from_fn(|_| Vec::new()) };
        for connector in connectors() {
            for header in connector.headers.iter().filter(|header| !header.name.starts_with('{')) {
                names.insert(header.name, connector.id, matches!(header.encoding, Encoding::Numbered { .. }));
            }
        }
        for (name, id) in supplied {
            names.insert(name, id, false);
        }
        names
    }

    /// Whether `name` is a restriction header under any spelling.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    /// The connectors that use the header called `name`, under any spelling; empty when none does.
    pub fn connectors_of(&self, name: &[u8]) -> &[ConnectorId] {
        self.find(name).map_or(&[], |entry| entry.connectors.as_slice())
    }

    /// Whether two header names are one to a front end that folds them.
    pub fn same(left: &str, right: &str) -> bool {
        fold_equal(left.as_bytes(), right.as_bytes())
    }

    /// The names as the vendors write them, without the numbered continuations.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    fn insert(&mut self, name: &str, id: ConnectorId, numbered: bool) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| fold_equal(entry.name.as_bytes(), name.as_bytes())) {
            if !entry.connectors.contains(&id) {
                entry.connectors.push(id);
            }
            return;
        }
        let (Ok(index), Some(bucket)) = (u16::try_from(self.entries.len()), self.by_length.get_mut(name.len())) else {
            return;
        };
        bucket.push(index);
        self.entries.push(Entry { name: name.into(), connectors: Vec::from([id]), numbered });
    }

    fn find(&self, name: &[u8]) -> Option<&Entry> {
        if let Some(entry) = self.find_exactly(name) {
            return Some(entry);
        }
        let stem = name.trim_ascii_end_digits();
        if stem.len() == name.len() {
            return None;
        }
        self.find_exactly(stem).filter(|entry| entry.numbered)
    }

    fn find_exactly(&self, name: &[u8]) -> Option<&Entry> {
        let candidates = self.by_length.get(name.len())?.iter();
        candidates
            .filter_map(|&index| self.entries.get(usize::from(index)))
            .find(|entry| fold_equal(entry.name.as_bytes(), name))
    }
}

/// Whether two names are one under the folding.
pub(super) fn fold_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(&left, &right)| fold(left) == fold(right))
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

trait TrimDigits {
    fn trim_ascii_end_digits(&self) -> &[u8];
}

impl TrimDigits for [u8] {
    fn trim_ascii_end_digits(&self) -> &[u8] {
        let kept = self.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
        self.get(..kept).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_are_seen_through() {
        let names = StripNames::new([]);
        for name in [
            "Restrict-Access-To-Tenants",
            "restrict-access-to-tenants",
            "RESTRICT_ACCESS_TO_TENANTS",
            "Restrict.Access-to_Tenants",
            "Sec.Restrict_Tenant-access-policy",
            "anthropic-allowed-org-ids",
            "Anthropic_Allowed_Org_Ids1",
            "anthropic-allowed-org-ids007",
            "x-dx-tenant",
        ] {
            assert!(names.contains(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_headers_are_left_alone() {
        let names = StripNames::new([]);
        for name in [
            "",
            "1",
            "Host",
            "Restrict-Access-To-Tenant",
            "Restrict-Access-To-Tenantss",
            "Restrict-Access-To-Tenants1",
            "X-Restrict-Access-To-Tenants",
            "anthropic-allowed-org-ids-1",
            "anthropic-version",
            "Restrict Access To Tenants",
        ] {
            assert!(!names.contains(name.as_bytes()), "{name}");
        }
        assert!(!names.contains(&[b'a'; 4096]));
    }

    #[test]
    fn a_shared_name_lists_both_connectors_and_a_supplied_one_its_own() {
        let names = StripNames::new([("X-Example-Sites", ConnectorId::Atlassian)]);
        let shared = names.connectors_of(b"sec-restrict-tenant-access-policy");
        assert_eq!(shared, [ConnectorId::MicrosoftConsumer, ConnectorId::MicrosoftEntraV2]);
        assert_eq!(names.connectors_of(b"x_example_sites"), [ConnectorId::Atlassian]);
        assert_eq!(names.iter().filter(|name| name.contains('{')).count(), 0);
    }
}
