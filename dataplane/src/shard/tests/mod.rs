//! Whole flows from a seed: the real `flow::serve` on a real shard, scripts at both ends, and chaos at the seam to the
//! kernel in between.
//!
//! `SIMULATION_SEED=17` runs one seed. The kernel's own timing is not seeded, so a seed repeats its script and its dice,
//! and nearly always its failure. The shard's clock moves only while nothing else does.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic and say what it saw")]

mod inspected;
mod orders;
mod peer;
mod sweep;
mod world;

use crate::ring::{self, IoEngine};

const SEEDS: u64 = 256;

#[test]
fn whole_flows() {
    let bed = world::bed();
    let played = sweep::sweep(SEEDS, move |seed| {
        let ended = world::run(seed, &bed);
        ended.check();
        [ended.spliced, ended.is_reset(), ended.is_stalled()]
    });
    if played.len() < 2 {
        return;
    }
    for (what, index) in [("splices", 0), ("resets", 1), ("stalls", 2)] {
        let count = played.iter().filter(|seen| seen[index]).count();
        assert!(count >= played.len() / 32, "too few {what} to tell: {count}");
    }
}

#[test]
fn inspected_flows() {
    let bed = inspected::InspectedBed::new();
    let played = sweep::sweep(SEEDS, move |seed| {
        let ended = inspected::run(seed, &bed);
        ended.check();
        ended.marks()
    });
    if played.len() < 2 {
        return;
    }
    for (index, (what, _)) in played[0].into_iter().enumerate() {
        let count = played.iter().filter(|seen| seen[index].1).count();
        assert!(count >= played.len() / 128, "too few {what} to tell: {count}");
    }
}

/// Both engines keep the same promises.
fn engine_of(seed: u64) -> IoEngine {
    if seed % 2 == 1 && ring::probe().is_ok() { IoEngine::Uring } else { IoEngine::Epoll }
}
