//! Test builds only: what a network and a scheduler may do to the calls of this seam, from a seed.
//!
//! A thread that has [`begin`] called has its reads and writes cut short, is told `WouldBlock` though there is something,
//! sees readiness later than it came, so in another order, and gets small socket buffers. All of it a kernel may do too:
//! memory is short, another thread was faster, a segment came late. Threads without a seed are left alone. Open
//! descriptors and calls that moved something are counted on every thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;

use socket2::SockRef;

thread_local! {
    static CHAOS: RefCell<Option<Chaos>> = const { RefCell::new(None) };
    static OPEN: Cell<i64> = const { Cell::new(0) };
    static MOVES: Cell<u64> = const { Cell::new(0) };
}

struct Chaos {
    dice: Dice,
    settings: Settings,
}

/// How wild a seed is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Of 100 calls, so many answer `WouldBlock` though they need not.
    pub(crate) block_percent: usize,
    /// Of 100 calls, so many move less than they could.
    pub(crate) cut_percent: usize,
    /// Most turns of the loop by which readiness is late.
    pub(crate) late_turns_max: usize,
    /// Bytes for each buffer of each socket; the kernel's own choice when `None`.
    pub(crate) buffer_bytes: Option<usize>,
}

/// SplitMix64: the same numbers for the same seed, everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not zero.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) const fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// From now on this thread's calls are at the mercy of `seed`.
pub(crate) fn begin(seed: u64, settings: Settings) {
    CHAOS.set(Some(Chaos { dice: Dice::new(seed), settings }));
}

/// Back to calm.
pub(crate) fn end() {
    CHAOS.set(None);
}

/// Descriptors of sockets, listeners and pipes that this thread holds open.
pub(crate) fn open() -> i64 {
    OPEN.get()
}

/// Counts calls that moved bytes, ours and those that a script notes: a world in which it stands still is idle. A call
/// that the kernel refuses is not one, or a loop of refused calls would keep the clock from moving.
pub(crate) fn moves() -> u64 {
    MOVES.get()
}

pub(crate) fn note_move() {
    MOVES.set(MOVES.get() + 1);
}

/// Stands in each owner of a descriptor and counts it.
pub(super) struct Open;

impl Open {
    pub(super) fn count() -> Self {
        OPEN.set(OPEN.get() + 1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.set(OPEN.get() - 1);
    }
}

/// How much of `bytes` a call may move now, or `WouldBlock`.
pub(super) fn cut(bytes: usize) -> io::Result<usize> {
    CHAOS.with_borrow_mut(|chaos| {
        let Some(Chaos { dice, settings }) = chaos else { return Ok(bytes) };
        if dice.percent(settings.block_percent) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if bytes > 1 && dice.percent(settings.cut_percent) {
            let bound = if dice.percent(50) { bytes.min(8) } else { bytes };
            return Ok(1 + dice.below(bound));
        }
        Ok(bytes)
    })
}

/// Lets others go first before a wait that has ended is seen.
pub(super) async fn late() {
    let turns = CHAOS.with_borrow_mut(|chaos| {
        chaos.as_mut().map_or(0, |Chaos { dice, settings }| dice.below(settings.late_turns_max + 1))
    });
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Gives a new socket the buffers of the seed.
pub(super) fn shrink(socket: &impl AsFd) {
    let bytes = CHAOS.with_borrow(|chaos| chaos.as_ref().and_then(|chaos| chaos.settings.buffer_bytes));
    if let Some(bytes) = bytes {
        let socket = SockRef::from(socket);
        let _ = socket.set_send_buffer_size(bytes);
        let _ = socket.set_recv_buffer_size(bytes);
    }
}
