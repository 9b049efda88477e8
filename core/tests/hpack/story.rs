//! Blocks and their fields in owned form, and the stories of hpack-test-case: each is a connection's blocks in order.
#![allow(dead_code, reason = "each test file uses its part")]

use penstock_core::http2::hpack::{Decoder, Encoder, Form, HpackFault, Summary};
use serde_json::Value;

use crate::corpora;

/// A field without its place.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// A field as a decoder told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) span: (usize, usize),
    pub(crate) form: Form,
}

impl Told {
    pub(crate) fn pair(&self) -> Pair {
        (self.name.clone(), self.value.clone())
    }
}

/// Decodes a block; the spans must cover it without gap, from the end of the size updates on.
pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<(Vec<Told>, Summary), HpackFault> {
    let mut fields: Vec<Told> = vec![];
    let summary = decoder.decode(block, &mut |field| {
        let (name, value) = (field.name.to_vec(), field.value.to_vec());
        fields.push(Told { name, value, span: field.span, form: field.form });
    })?;
    let mut end = summary.size_updates_end;
    for field in &fields {
        assert_eq!(field.span.0, end);
        assert!(field.span.1 > field.span.0);
        end = field.span.1;
    }
    assert!(summary.over_limit.is_some() || end == block.len());
    assert_eq!(summary.fields, fields.len());
    assert_eq!(summary.list_bytes, fields.iter().map(|field| field.name.len() + field.value.len() + 32).sum::<usize>());
    Ok((fields, summary))
}

pub(crate) fn pairs(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, HpackFault> {
    decode(decoder, block).map(|(fields, _)| fields.iter().map(Told::pair).collect())
}

/// Encodes a block of fields.
pub(crate) fn encode(encoder: &mut Encoder, fields: &[(Pair, Form)]) -> Vec<u8> {
    let mut block = vec![];
    encoder.begin(&mut block);
    for ((name, value), form) in fields {
        encoder.encode(name, value, *form, &mut block);
    }
    block
}

/// What a decoder's dynamic table holds behind these blocks, youngest first.
pub(crate) fn table_of(decoder: impl Fn() -> Decoder, blocks: &[Vec<u8>]) -> Vec<Pair> {
    (62u8..127)
        .map_while(|index| {
            let mut decoder = decoder();
            for block in blocks {
                decode(&mut decoder, block).unwrap();
            }
            pairs(&mut decoder, &[0x80 | index]).ok().map(|mut fields| fields.remove(0))
        })
        .collect()
}

/// One block of a story.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Changed before this block, by the receiver.
    pub(crate) table_size: Option<usize>,
    pub(crate) wire: Vec<u8>,
    pub(crate) fields: Vec<Pair>,
}

/// The stories of one encoder; none when the corpora are absent.
pub(crate) fn stories(encoder: &str) -> Vec<Vec<Case>> {
    let files = corpora::archive("hpack-test-case/hpack-test-case.tar.gz");
    let files = files.into_iter().filter(|(name, _)| name.starts_with(&format!("{encoder}/")));
    files.map(|(name, text)| story(&name, &serde_json::from_slice(&text).unwrap())).collect()
}

fn story(name: &str, story: &Value) -> Vec<Case> {
    let cases = story["cases"].as_array().unwrap().iter().enumerate();
    cases
        .map(|(index, case)| Case {
            name: format!("{name} block {index}"),
            table_size: case["header_table_size"].as_u64().map(|size| usize::try_from(size).unwrap()),
            wire: case["wire"].as_str().map(corpora::unhex).unwrap_or_default(),
            fields: case["headers"].as_array().unwrap().iter().map(field).collect(),
        })
        .collect()
}

/// A field is an object with one member.
fn field(field: &Value) -> Pair {
    let (name, value) = field.as_object().unwrap().iter().next().unwrap();
    (name.as_bytes().to_vec(), value.as_str().unwrap().as_bytes().to_vec())
}
