//! What must hold for any blocks on one connection: they are refused, or read the same again after they were written anew for a
//! receiver whose table follows.

use penstock_core::http2::hpack::{Decoder, Encoder, Form, SizeUpdates};
use penstock_core::limits::{HTTP2_FIELDS_MAX, HTTP2_HEADER_LIST_BYTES_MAX};

/// Blocks, each with its length in one byte in front; length 255 is a change of the receiver's limit instead, to what the next
/// byte says in 256 bytes.
pub(crate) fn check(data: &[u8]) {
    let (mut decoder, mut receiver, mut encoder) = (Decoder::new(), Decoder::new(), Encoder::new(4_096));
    let mut rest = data;
    while let Some((&length, tail)) = rest.split_first() {
        if length == u8::MAX {
            let Some((&limit, tail)) = tail.split_first() else { return };
            decoder.set_size_limit(usize::from(limit) * 256);
            receiver.set_size_limit(usize::from(limit) * 256);
            rest = tail;
            continue;
        }
        let (block, tail) = tail.split_at(tail.len().min(usize::from(length)));
        rest = tail;
        if !block_holds(block, &mut decoder, &mut encoder, &mut receiver) {
            return;
        }
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>, Form)>;

/// Whether the block was read, so that the next one can be.
fn block_holds(block: &[u8], decoder: &mut Decoder, encoder: &mut Encoder, receiver: &mut Decoder) -> bool {
    let (mut fields, mut written, mut again): (Fields, _, Fields) = (vec![], vec![], vec![]);
    if let Ok(updates) = SizeUpdates::parse(block) {
        encoder.follow(&updates);
    }
    encoder.begin(&mut written);
    let mut end = 0;
    let decoded = decoder.decode(block, &mut |field| {
        assert!(end <= field.span.0 && field.span.0 < field.span.1 && field.span.1 <= block.len());
        end = field.span.1;
        encoder.encode(field.name, field.value, field.form, &mut written);
        fields.push((field.name.to_vec(), field.value.to_vec(), field.form));
    });
    let Ok(summary) = decoded else {
        assert!(decoder.decode(b"", &mut |_| ()).is_err());
        return false;
    };
    assert!(summary.over_limit.is_some() || end == block.len() || summary.size_updates_end == block.len());
    assert!(summary.fields == fields.len() && fields.len() <= HTTP2_FIELDS_MAX);
    assert!(summary.list_bytes <= HTTP2_HEADER_LIST_BYTES_MAX);
    let read = receiver.decode(&written, &mut |field| {
        again.push((field.name.to_vec(), field.value.to_vec(), field.form));
    });
    assert!(read.is_ok_and(|read| read.over_limit.is_none()), "{read:?}");
    assert_eq!(receiver.table_size_max(), decoder.table_size_max());
    assert_eq!(fields.len(), again.len());
    for (before, after) in fields.iter().zip(&again) {
        assert!(before.0 == after.0 && before.1 == after.1);
        assert_eq!(before.2 == Form::NeverIndexed, after.2 == Form::NeverIndexed);
    }
    true
}
