//! Frames of the editor's own that wait until the leg is between two frames.
//!
//! Owns the queue of each leg. A frame is put into bytes only when it goes out, because an answer's header block depends on the
//! state of compression at that moment.

use alloc::collections::VecDeque;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use super::codec::Codec;
use super::frame;
use super::violation::Violation;
use crate::limits::HTTP2_TRANSMIT_FRAMES_MAX;

/// What waits for one leg.
#[derive(Debug, Default)]
pub(super) struct Transmit {
    frames: VecDeque<Own>,
    /// Bytes of DATA that were dropped here, which the sender counts as on their way.
    credit_bytes: u32,
}

/// A frame of the editor's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// A whole answer without content.
    Answer {
        stream: u32,
        status: u16,
    },
    Goaway {
        last: u32,
        code: u32,
    },
    Reset {
        stream: u32,
        code: u32,
    },
}

impl Transmit {
    pub(super) fn push(&mut self, own: Own) -> Result<(), Violation> {
        if self.frames.len() >= HTTP2_TRANSMIT_FRAMES_MAX {
            return Err(Violation::Flood);
        }
        self.frames.push_back(own);
        Ok(())
    }

    /// The connection ends: said before all else that waits, whatever the bound.
    pub(super) fn push_last(&mut self, last: u32, code: u32) {
        self.frames.push_back(Own::Goaway { last, code });
    }

    /// Gives back to the sender the room that dropped DATA took on the connection.
    pub(super) fn credit(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.credit_bytes = self.credit_bytes.saturating_add(bytes).min(WINDOW_MAX);
    }

    /// All that waits, as bytes.
    pub(super) fn poll(&mut self, codec: &mut Codec) -> Option<Vec<u8>> {
        if self.frames.is_empty() && self.credit_bytes == 0 {
            return None;
        }
        let mut out = Vec::new();
        if self.credit_bytes > 0 {
            frame::push(&mut out, frame::WINDOW_UPDATE, 0, 0, &[&self.credit_bytes.to_be_bytes()]);
            self.credit_bytes = 0;
        }
        for own in self.frames.drain(..) {
            own.encode(codec, &mut out);
        }
        Some(out)
    }
}

impl Own {
    fn encode(self, codec: &mut Codec, out: &mut Vec<u8>) {
        match self {
            Self::Answer { stream, status } => {
                let mut block = Vec::new();
                let status = status.to_string();
                let fields: [(&[u8], &[u8]); 2] = [(b":status", status.as_bytes()), (b"content-length", b"0")];
                codec.encode_own(&fields, &mut block);
                let flags = frame::END_HEADERS | frame::END_STREAM;
                frame::push(out, frame::HEADERS, flags, stream, &[&block]);
            }
            Self::Goaway { last, code } => {
                frame::push(out, frame::GOAWAY, 0, 0, &[&last.to_be_bytes(), &code.to_be_bytes()]);
            }
            Self::Reset { stream, code } => {
                frame::push(out, frame::RST_STREAM, 0, stream, &[&code.to_be_bytes()]);
            }
        }
    }
}

/// RFC 9113 section 6.9.1.
pub(super) const WINDOW_MAX: u32 = 0x7fff_ffff;
