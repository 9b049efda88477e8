//! Flow control of one end (RFC 9113 section 5.2): what it may still send, and what it has granted the other side.

use std::collections::HashMap;

use crate::ring::chaos::Dice;

/// On a connection always, on a stream until SETTINGS say otherwise.
const FIRST: i64 = 65_535;

/// What the other side lets this one send.
pub(super) struct Allowed {
    connection: i64,
    initial: i64,
    /// Granted beyond the first window, less what was sent.
    streams: HashMap<u32, i64>,
}

/// What this side lets the other one send. It takes what it gets at once, and grants it again in pieces.
pub(super) struct Granted {
    initial: i64,
    /// The other side knows `initial`.
    pub(super) is_known: bool,
    connection: Grant,
    streams: HashMap<u32, Grant>,
}

#[derive(Default)]
struct Grant {
    /// Beyond the first window, less what came.
    left: i64,
    owed: i64,
}

impl Allowed {
    pub(super) fn new() -> Self {
        Self { connection: FIRST, initial: FIRST, streams: HashMap::new() }
    }

    pub(super) const fn begin_streams_with(&mut self, initial: i64) {
        self.initial = initial;
    }

    pub(super) fn grow(&mut self, stream: u32, bytes: i64) {
        match stream {
            0 => self.connection += bytes,
            _ => *self.streams.entry(stream).or_default() += bytes,
        }
    }

    /// How much of `wanted` may go now; that much is taken.
    pub(super) fn take(&mut self, stream: u32, wanted: usize) -> usize {
        let own = self.streams.entry(stream).or_default();
        let room = self.connection.min(self.initial + *own).max(0) as usize;
        let taken = wanted.min(room);
        self.connection -= taken as i64;
        *own -= taken as i64;
        taken
    }
}

impl Granted {
    pub(super) fn new(initial: i64) -> Self {
        Self { initial, is_known: false, connection: Grant::default(), streams: HashMap::new() }
    }

    /// A stream begins, with some more than SETTINGS promise it.
    pub(super) fn begin(&mut self, stream: u32, dice: &mut Dice) {
        self.streams.entry(stream).or_default().owed += 1_000 + dice.below(5_000) as i64;
        self.connection.owed += dice.below(1_000) as i64;
    }

    /// DATA came; panics where it was too much.
    pub(super) fn fill(&mut self, stream: u32, bytes: usize) {
        let (bytes, first) = (bytes as i64, if self.is_known { self.initial } else { self.initial.max(FIRST) });
        let own = self.streams.entry(stream).or_default();
        for (grant, first) in [(&mut self.connection, FIRST), (own, first)] {
            grant.left -= bytes;
            grant.owed += bytes;
            assert!(bytes == 0 || first + grant.left >= 0, "DATA beyond the window of stream {stream}");
        }
    }

    /// A stream that has ended needs no more.
    pub(super) fn end(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// A piece of what is owed: stream and bytes of each WINDOW_UPDATE.
    pub(super) fn pieces(&mut self, dice: &mut Dice) -> Vec<(u32, u32)> {
        let mut streams: Vec<_> = self.streams.iter_mut().map(|(stream, grant)| (*stream, grant)).collect();
        streams.sort_unstable_by_key(|(stream, _)| *stream);
        let all = [(0, &mut self.connection)].into_iter().chain(streams);
        all.filter(|(_, grant)| grant.owed > 0)
            .map(|(stream, grant)| {
                // A reader that grants next to nothing at a time is taken for one that holds its answer back.
                let bytes = (1_000 + dice.below(20_000) as i64).min(grant.owed);
                grant.owed -= bytes;
                grant.left += bytes;
                (stream, bytes as u32)
            })
            .collect()
    }
}
