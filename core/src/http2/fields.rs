//! The fields of one header block, decoded.
//!
//! Owns their bytes until the next block: whether a block can be passed on as it came is known only when all of it was seen,
//! and if it cannot, its fields are encoded anew.

use alloc::vec::Vec;

use super::hpack::{self, Form};

/// Decoded fields.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// In `text`: where the name begins, where the value begins, where it ends.
    name: usize,
    value: usize,
    end: usize,
    span: (usize, usize),
    form: Form,
}

impl Fields {
    /// Forgets all, for the next block.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        if self.text.capacity() > TEXT_BYTES_KEPT {
            self.text = Vec::new();
        }
    }

    pub(super) fn push(&mut self, field: hpack::Field<'_>) {
        let name = self.text.len();
        self.text.extend_from_slice(field.name);
        let value = self.text.len();
        self.text.extend_from_slice(field.value);
        self.entries.push(Entry { name, value, end: self.text.len(), span: field.span, form: field.form });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = hpack::Field<'_>> {
        self.entries.iter().map(|entry| hpack::Field {
            name: self.text.get(entry.name..entry.value).unwrap_or_default(),
            value: self.text.get(entry.value..entry.end).unwrap_or_default(),
            span: entry.span,
            form: entry.form,
        })
    }
}

/// Text that is kept from block to block.
const TEXT_BYTES_KEPT: usize = 16 * 1024;
