//! Which events of a node's spool are recorded, by their numbers: what comes again is recognised. Ranges as text, one row for each
//! life of a spool, instead of an entry in an index for each event.

/// Ranges that are kept apart. A node sends in ascending order, and leaves a gap where it had to drop events: nothing comes
/// to fill an old one.
const RANGES_MAX: usize = 256;

/// A set of numbers: ranges in ascending order, with a gap between each two; first and last number of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequences(Vec<(i64, i64)>);

impl Sequences {
    /// Takes ranges as [`Self::write`] leaves them.
    pub(super) const fn new(ranges: Vec<(i64, i64)>) -> Self {
        Self(ranges)
    }

    /// Adds a number; answers whether it is new.
    pub(super) fn insert(&mut self, number: i64) -> bool {
        // The first range that does not end far below.
        let place = self.0.partition_point(|(_, last)| last.saturating_add(1) < number);
        match self.0.get_mut(place) {
            Some((first, last)) if (*first..=*last).contains(&number) => return false,
            Some((_, last)) if *last < number => {
                *last = number;
                self.join(place);
            }
            Some((first, _)) if first.saturating_sub(1) == number => *first = number,
            _ => self.0.insert(place, (number, number)),
        }
        if self.0.len() > RANGES_MAX {
            let (first, _) = self.0.remove(0);
            if let Some(range) = self.0.first_mut() {
                range.0 = first;
            }
        }
        true
    }

    /// Joins a range with the next when there is no gap left between them.
    fn join(&mut self, place: usize) {
        let next = self.0.get(place + 1).copied();
        if let (Some((_, last)), Some((next_first, next_last))) = (self.0.get_mut(place), next)
            && last.saturating_add(1) == next_first
        {
            *last = next_last;
            self.0.remove(place + 1);
        }
    }

    /// Reads what [`Self::write`] wrote; `None` for anything else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let ranges = text.strip_prefix('{')?.strip_suffix('}')?;
        if ranges.is_empty() {
            return Some(Self::default());
        }
        let range = |text: &str| {
            let (first, last) = text.split_once(',')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        ranges.strip_prefix('[')?.strip_suffix(']')?.split("],[").map(range).collect::<Option<_>>().map(Self)
    }

    /// As the text of an `int8multirange`.
    pub(super) fn write(&self) -> String {
        let ranges: Vec<String> = self.0.iter().map(|(first, last)| format!("[{first},{last}]")).collect();
        format!("{{{}}}", ranges.join(","))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_set_of_numbers_in_any_order() {
        let (mut sequences, mut set, mut dice) = (Sequences::default(), BTreeSet::new(), 1_u64);
        for _ in 0..5_000 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = i64::try_from(dice >> 33).unwrap() % 400;
            assert_eq!(sequences.insert(number), set.insert(number), "{number} in {sequences:?}");
            assert!(sequences.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{sequences:?}");
        }
        assert_eq!(sequences.write(), "{[0,399]}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut sequences = Sequences::default();
        for number in [7, 1, 2, 3, 9, i64::MAX] {
            assert_eq!(Sequences::read(&sequences.write()).as_ref(), Some(&sequences));
            sequences.insert(number);
        }
        assert_eq!(sequences.write(), format!("{{[1,3],[7,7],[9,9],[{0},{0}]}}", i64::MAX));
        assert_eq!(Sequences::read(&sequences.write()), Some(sequences));
        for text in ["", "{", "[1,2]", "{1,2}", "{[1,2],}", "{[1;2]}", "{[1,2],[4]}"] {
            assert_eq!(Sequences::read(text), None, "{text}");
        }
    }

    #[test]
    fn old_gaps_are_closed_when_there_are_too_many() {
        let mut sequences = Sequences::default();
        assert!((0..1_000).all(|number| sequences.insert(number * 2)));
        assert_eq!(sequences.0.len(), RANGES_MAX);
        assert!(!sequences.insert(1) && sequences.insert(1_997));
    }
}
