//! SETTINGS: what each side tells the other about itself, and what of it the editor lets through (RFC 9113 section 6.5).
//!
//! Owns which values are lawful and which are changed. Each frame is passed on as one, so an acknowledgement stands for the
//! same frame on both legs. Every value is passed on once, and values that nobody here knows are left out: no extension that
//! changes what frames mean is agreed on through this editor.

use alloc::vec::Vec;

use smallvec::SmallVec;

use super::violation::Violation;
use crate::limits::{HTTP2_FRAME_BYTES_MAX, HTTP2_SETTINGS_MAX, HTTP2_STREAMS_MAX, HTTP2_TABLE_BYTES_MAX};

/// The values of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    entries: SmallVec<[(u16, u32); 12]>,
}

/// What an origin's values are held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct OriginRules {
    /// Whether it is the first frame.
    pub(super) is_first: bool,
    /// Whether other protocols may be tunnelled (RFC 8441).
    pub(super) allows_connect: bool,
    /// What the set headers add to a list of fields.
    pub(super) added_bytes: u32,
}

impl Settings {
    /// Reads the payload of a frame that is no acknowledgement. Of a value that is given twice the last one counts.
    pub(super) fn read(payload: &[u8]) -> Result<Self, Violation> {
        let (pairs, rest) = payload.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(Violation::FrameLength);
        }
        if pairs.len() > HTTP2_SETTINGS_MAX {
            return Err(Violation::Flood);
        }
        let mut settings = Self::default();
        for &[high, low, a, b, c, d] in pairs {
            let (id, value) = (u16::from_be_bytes([high, low]), u32::from_be_bytes([a, b, c, d]));
            check(id, value)?;
            if KNOWN.contains(&id) {
                settings.set(id, value);
            }
        }
        Ok(settings)
    }

    /// Edits what an inside host says about itself.
    pub(super) fn edit_from_client(&mut self, is_first: bool) {
        self.cut(HEADER_TABLE_SIZE, HTTP2_TABLE_BYTES_MAX);
        self.cut(MAX_FRAME_SIZE, HTTP2_FRAME_BYTES_MAX);
        // A pushed request would carry no header of ours. Without a word, push is on.
        if is_first || self.value(ENABLE_PUSH).is_some() {
            self.set(ENABLE_PUSH, 0);
        }
        self.remove(ENABLE_CONNECT_PROTOCOL);
    }

    /// Edits what an origin says about itself.
    pub(super) fn edit_from_origin(&mut self, rules: OriginRules) -> Result<(), Violation> {
        if self.value(ENABLE_PUSH).is_some_and(|value| value != 0) {
            return Err(Violation::FrameMalformed);
        }
        self.remove(ENABLE_PUSH);
        self.cut(HEADER_TABLE_SIZE, HTTP2_TABLE_BYTES_MAX);
        self.cut(MAX_FRAME_SIZE, HTTP2_FRAME_BYTES_MAX);
        // Without a word, any number of streams may be open.
        let streams_max = u32::try_from(HTTP2_STREAMS_MAX).unwrap_or(u32::MAX);
        match self.value(MAX_CONCURRENT_STREAMS) {
            Some(count) => self.set(MAX_CONCURRENT_STREAMS, count.min(streams_max)),
            None if rules.is_first => self.set(MAX_CONCURRENT_STREAMS, streams_max),
            None => {}
        }
        // What the client may fill is what is left beside the headers that are set.
        if let Some(bytes) = self.value(MAX_HEADER_LIST_SIZE) {
            self.set(MAX_HEADER_LIST_SIZE, bytes.saturating_sub(rules.added_bytes));
        }
        if !rules.allows_connect {
            self.remove(ENABLE_CONNECT_PROTOCOL);
        }
        Ok(())
    }

    /// The payload of a frame with these values.
    pub(super) fn encode(&self) -> Vec<u8> {
        let pair = |&(id, value): &(u16, u32)| id.to_be_bytes().into_iter().chain(value.to_be_bytes());
        self.entries.iter().flat_map(pair).collect()
    }

    pub(super) fn header_table_size(&self) -> Option<usize> {
        self.value(HEADER_TABLE_SIZE).and_then(|bytes| usize::try_from(bytes).ok())
    }

    pub(super) fn initial_window_size(&self) -> Option<u32> {
        self.value(INITIAL_WINDOW_SIZE)
    }

    pub(super) fn enables_connect(&self) -> bool {
        self.value(ENABLE_CONNECT_PROTOCOL) == Some(1)
    }

    fn value(&self, id: u16) -> Option<u32> {
        self.entries.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }

    fn set(&mut self, id: u16, value: u32) {
        match self.entries.iter_mut().find(|(known, _)| *known == id) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((id, value)),
        }
    }

    /// Cuts a value, if it is given, down to `max`.
    fn cut(&mut self, id: u16, max: usize) {
        if let (Some(value), Ok(max)) = (self.value(id), u32::try_from(max)) {
            self.set(id, value.min(max));
        }
    }

    fn remove(&mut self, id: u16) {
        self.entries.retain(|(known, _)| *known != id);
    }
}

/// RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1.
fn check(id: u16, value: u32) -> Result<(), Violation> {
    match (id, value) {
        (ENABLE_PUSH | ENABLE_CONNECT_PROTOCOL | NO_RFC7540_PRIORITIES, 2..) => Err(Violation::FrameMalformed),
        (INITIAL_WINDOW_SIZE, 0x8000_0000..) => Err(Violation::FlowControl),
        (MAX_FRAME_SIZE, ..=0x3fff | 0x0100_0000..) => Err(Violation::FrameMalformed),
        _ => Ok(()),
    }
}

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;
const NO_RFC7540_PRIORITIES: u16 = 9;

const KNOWN: &[u16] = &[
    HEADER_TABLE_SIZE,
    ENABLE_PUSH,
    MAX_CONCURRENT_STREAMS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    ENABLE_CONNECT_PROTOCOL,
    NO_RFC7540_PRIORITIES,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(entries: &[(u16, u32)]) -> Vec<u8> {
        Settings { entries: entries.into() }.encode()
    }

    fn from_client(entries: &[(u16, u32)], is_first: bool) -> Vec<(u16, u32)> {
        let mut settings = Settings::read(&payload(entries)).unwrap();
        settings.edit_from_client(is_first);
        settings.entries.to_vec()
    }

    fn from_origin(entries: &[(u16, u32)], is_first: bool, allows_connect: bool) -> Vec<(u16, u32)> {
        let mut settings = Settings::read(&payload(entries)).unwrap();
        settings.edit_from_origin(OriginRules { is_first, allows_connect, added_bytes: 100 }).unwrap();
        settings.entries.to_vec()
    }

    #[test]
    fn h091_push_is_always_off() {
        assert_eq!(from_client(&[], true), [(2, 0)]);
        assert_eq!(from_client(&[(2, 1), (4, 9)], true), [(2, 0), (4, 9)]);
        assert_eq!(from_client(&[], false), []);
        assert_eq!(from_client(&[(2, 1)], false), [(2, 0)]);
        let mut pushes = Settings::read(&payload(&[(2, 1)])).unwrap();
        let rules = OriginRules { is_first: true, allows_connect: false, added_bytes: 0 };
        assert_eq!(pushes.edit_from_origin(rules), Err(Violation::FrameMalformed));
    }

    #[test]
    fn bounds_are_cut_to_what_is_kept_here() {
        assert_eq!(
            from_client(&[(1, 1 << 20), (5, 1 << 20), (6, 7), (8, 1), (9, 1), (0x2a2a, 5)], false),
            [(1, 65_536), (5, 16_384), (6, 7), (9, 1)]
        );
        assert_eq!(from_origin(&[], true, false), [(3, 256)]);
        assert_eq!(from_origin(&[], false, false), []);
        assert_eq!(from_origin(&[(3, 1_000), (6, 8_000), (2, 0)], false, false), [(3, 256), (6, 7_900)]);
        assert_eq!(from_origin(&[(3, 0), (3, 7), (1, 0), (1, 10)], true, false), [(3, 7), (1, 10)]);
    }

    #[test]
    fn h039_extended_connect_is_offered_only_where_allowed() {
        assert_eq!(from_origin(&[(8, 1)], false, false), []);
        assert_eq!(from_origin(&[(8, 1)], false, true), [(8, 1)]);
    }

    #[test]
    fn h082_h090_unlawful_values() {
        for (entry, violation) in [
            ((2, 2), Violation::FrameMalformed),
            ((8, 2), Violation::FrameMalformed),
            ((9, 2), Violation::FrameMalformed),
            ((4, 1 << 31), Violation::FlowControl),
            ((5, 16_383), Violation::FrameMalformed),
            ((5, 1 << 24), Violation::FrameMalformed),
        ] {
            assert_eq!(Settings::read(&payload(&[entry])), Err(violation), "{entry:?}");
        }
        assert_eq!(Settings::read(&[0; 5]), Err(Violation::FrameLength));
        assert_eq!(Settings::read(&[0xff; 6 * (HTTP2_SETTINGS_MAX + 1)]), Err(Violation::Flood));
    }
}
