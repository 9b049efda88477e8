//! The cells: arrays of relaxed atomics with exactly one writing thread each.
//!
//! A shard writes only its own cells, so an increment is a load and a store, not a locked instruction; the background
//! thread only reads. Cells stand in whole cache lines of their own, so shards never share one. A second writing
//! thread would lose counts: what several threads count has one cell per thread.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

use super::labels::LabelSet;

/// Only grows.
pub(crate) struct Counter<L> {
    cells: Cells,
    labels: PhantomData<fn(L)>,
}

impl<L: LabelSet> Counter<L> {
    pub(crate) fn new() -> Self {
        Self { cells: Cells::new(L::COUNT), labels: PhantomData }
    }

    /// Adds `count` at `labels`.
    pub(crate) fn add(&self, labels: L, count: u64) {
        self.cells.update(labels.index(), |value| value.wrapping_add(count));
    }

    /// The value at a flat index of the label set.
    pub(super) fn at(&self, index: usize) -> u64 {
        self.cells.load(index)
    }

    /// The sum over all labels.
    #[cfg(test)]
    pub(crate) fn total(&self) -> u64 {
        (0..L::COUNT).map(|index| self.at(index)).sum()
    }

    /// The value at `labels`.
    #[cfg(test)]
    pub(crate) fn value(&self, labels: L) -> u64 {
        self.at(labels.index())
    }
}

/// Goes up and down.
pub(crate) struct Gauge<L> {
    cells: Cells,
    labels: PhantomData<fn(L)>,
}

impl<L: LabelSet> Gauge<L> {
    pub(crate) fn new() -> Self {
        Self { cells: Cells::new(L::COUNT), labels: PhantomData }
    }

    /// Replaces the value at `labels`.
    pub(crate) fn set(&self, labels: L, value: u64) {
        self.cells.update(labels.index(), |_| value);
    }

    /// Adds `difference`, which may be negative, at `labels`.
    pub(crate) fn add(&self, labels: L, difference: i64) {
        self.cells.update(labels.index(), |value| value.wrapping_add(difference.cast_unsigned()));
    }

    /// The value at a flat index of the label set.
    pub(super) fn at(&self, index: usize) -> i64 {
        self.cells.load(index).cast_signed()
    }

    /// The value at `labels`.
    #[cfg(test)]
    pub(crate) fn value(&self, labels: L) -> i64 {
        self.at(labels.index())
    }
}

/// Observations in buckets, with their sum.
///
/// ```text
/// one label set:  [bucket 0][bucket 1] .. [bucket n-1][+Inf][sum as f64 bits]
/// ```
pub(crate) struct Histogram<L> {
    cells: Cells,
    bounds: &'static [f64],
    labels: PhantomData<fn(L)>,
}

impl<L: LabelSet> Histogram<L> {
    /// `bounds` are the inclusive upper bounds of all buckets but the last, ascending.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { cells: Cells::new(L::COUNT * Self::stride(bounds)), bounds, labels: PhantomData }
    }

    /// Counts one observation of `value` at `labels`.
    pub(crate) fn observe(&self, labels: L, value: f64) {
        let first = labels.index() * Self::stride(self.bounds);
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.cells.update(first + bucket, |count| count.wrapping_add(1));
        let sum = first + self.bounds.len() + 1;
        self.cells.update(sum, |bits| (f64::from_bits(bits) + value).to_bits());
    }

    /// Counts per bucket (not cumulative; the last is +Inf) and the sum at a flat index of the label set.
    pub(super) fn at(&self, index: usize) -> (Vec<u64>, f64) {
        let first = index * Self::stride(self.bounds);
        let counts = (first..=first + self.bounds.len()).map(|cell| self.cells.load(cell)).collect();
        (counts, f64::from_bits(self.cells.load(first + self.bounds.len() + 1)))
    }

    const fn stride(bounds: &[f64]) -> usize {
        bounds.len() + 2
    }
}

/// Atomics in whole cache lines.
struct Cells {
    lines: Box<[CachePadded<[AtomicU64; LINE_CELLS]>]>,
}

impl Cells {
    fn new(count: usize) -> Self {
        let line = || CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { lines: (0..count.div_ceil(LINE_CELLS)).map(|_| line()).collect() }
    }

    fn load(&self, index: usize) -> u64 {
        self.cell(index).load(Ordering::Relaxed)
    }

    /// Read, change, write: right only because one thread writes.
    fn update(&self, index: usize, change: impl FnOnce(u64) -> u64) {
        let cell = self.cell(index);
        cell.store(change(cell.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    fn cell(&self, index: usize) -> &AtomicU64 {
        &self.lines[index / LINE_CELLS][index % LINE_CELLS]
    }
}

/// Eight-byte cells in the 128 bytes that two adjacent cache lines are prefetched as.
const LINE_CELLS: usize = 16;

#[cfg(test)]
mod tests {
    use penstock_core::flow::{Direction, RelayPath};

    use super::*;

    #[test]
    fn a_counter_counts_each_label_set_apart() {
        let counter = Counter::<(Direction, RelayPath)>::new();
        counter.add((Direction::Ingress, RelayPath::Splice), 5);
        counter.add((Direction::Ingress, RelayPath::Splice), 2);
        counter.add((Direction::Egress, RelayPath::Copy), 1);
        assert_eq!(counter.value((Direction::Ingress, RelayPath::Splice)), 7);
        assert_eq!(counter.value((Direction::Egress, RelayPath::Copy)), 1);
        assert_eq!(counter.value((Direction::Egress, RelayPath::Splice)), 0);
    }

    #[test]
    fn a_gauge_goes_up_and_down() {
        let gauge = Gauge::<()>::new();
        gauge.add((), 3);
        gauge.add((), -4);
        assert_eq!(gauge.value(()), -1);
        gauge.set((), 9);
        assert_eq!(gauge.value(()), 9);
    }

    #[test]
    fn bounds_are_inclusive_and_the_last_bucket_takes_the_rest() {
        let histogram = Histogram::<(Direction,)>::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.0, 2.5, 100.0] {
            histogram.observe((Direction::Ingress,), value);
        }
        assert_eq!(histogram.at(0), (vec![0, 0, 0], 0.0));
        assert_eq!(histogram.at(1), (vec![2, 2, 2], 107.5));
    }
}
