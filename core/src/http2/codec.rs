//! Header compression of one direction: the shadow of the receiver's table, and a table of its own once the two differ.
//!
//! A sender's blocks are passed on as they came while every change that they make to the receiver's table reaches it. From the
//! first that does not (a field that entered the table must go, a block stays here), all later ones are encoded anew: the
//! sender's references mean nothing to the receiver any more. Nothing that was refused ever enters the receiver's table.

use alloc::vec::Vec;

use super::fields::Fields;
use super::hpack::{Decoder, Encoder, Form, HpackFault, Summary, literal};

/// The compression of one direction.
#[derive(Debug, Default)]
pub(super) struct Codec {
    decoder: Decoder,
    /// Once blocks are encoded anew.
    encoder: Option<Encoder>,
    /// The lowest limit that the receiver has to be told of at the start of the next block.
    owed: Option<usize>,
    pub(super) fields: Fields,
}

impl Codec {
    /// The sender has acknowledged the receiver's bound for the table.
    pub(super) fn set_size_limit(&mut self, bytes: usize) {
        if bytes < self.decoder.table_size_max() {
            self.owed = Some(self.owed.map_or(bytes, |owed| owed.min(bytes)));
        }
        self.decoder.set_size_limit(bytes);
    }

    /// Decodes a block into `fields`. Then exactly one of [`Self::forward_as_is`], [`Self::encode`] and [`Self::withhold`] is
    /// called.
    pub(super) fn decode(&mut self, block: &[u8]) -> Result<Summary, HpackFault> {
        let Self { decoder, fields, .. } = self;
        fields.clear();
        decoder.decode(block, &mut |field| fields.push(field))
    }

    /// Whether blocks have to be encoded anew already.
    pub(super) const fn is_transcoding(&self) -> bool {
        self.encoder.is_some()
    }

    /// The decoded block goes on as it came, or without some fields that touch no table.
    pub(super) const fn forward_as_is(&mut self) {
        self.owed = None;
    }

    /// The decoded block does not go on.
    pub(super) fn withhold(&mut self, summary: &Summary) {
        self.owed = None;
        match &mut self.encoder {
            Some(encoder) => encoder.follow(&summary.size_updates),
            None if summary.table_changed => self.encoder = Some(Encoder::new(self.decoder.table_size_max())),
            None => {}
        }
    }

    /// Encodes the decoded block anew, without the fields in `cuts` (by their place, in order), and with `block`, which touches
    /// no table, behind the first `lead_count`.
    pub(super) fn encode(
        &mut self,
        summary: &Summary,
        cuts: &[usize],
        (lead_count, block): (usize, &[u8]),
        out: &mut Vec<u8>,
    ) {
        let Self { decoder, encoder, owed, fields } = self;
        let encoder = match encoder {
            Some(encoder) => {
                encoder.follow(&summary.size_updates);
                encoder
            }
            None => encoder.insert(Encoder::new(decoder.table_size_max())),
        };
        *owed = None;
        encoder.begin(out);
        let mut cuts = cuts.iter().peekable();
        let mut count = 0;
        for (place, field) in fields.iter().enumerate() {
            if place == lead_count {
                out.extend_from_slice(block);
            }
            count = place + 1;
            if cuts.next_if_eq(&&place).is_none() {
                encoder.encode(field.name, field.value, field.form, out);
            }
        }
        if count <= lead_count {
            out.extend_from_slice(block);
        }
    }

    /// Appends a block of the editor's own, which neither side's table notices.
    pub(super) fn encode_own(&mut self, fields: &[(&[u8], &[u8])], out: &mut Vec<u8>) {
        match &mut self.encoder {
            Some(encoder) => {
                if let Some(owed) = self.owed.take() {
                    encoder.set_table_size_max(owed);
                }
                encoder.begin(out);
            }
            None => {
                if let Some(owed) = self.owed {
                    // The receiver drops what the sender's own change will make it drop. The sender still owes that one.
                    super::hpack::size_update(owed, out);
                }
            }
        }
        for (name, value) in fields {
            literal(name, value, false, out);
        }
    }
}

impl Codec {
    /// Whether dropping a field that was sent in this form makes the tables differ.
    pub(super) fn is_local(form: Form) -> bool {
        form != Form::Incremental
    }
}
