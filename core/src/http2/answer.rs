//! Reads the fields of an answer: its status, what the audit wants of it, and what must not reach the client.
//!
//! Owns that judgement; strict where two readers could disagree about where the answer stands, and no stricter. Called by
//! `ingress`.

use alloc::string::String;

use smallvec::SmallVec;

use super::codec::Codec;
use super::fields::Fields;
use crate::http::{EditFault, event, token};

/// An answer's block that was found right.
#[derive(Debug, Default)]
pub(super) struct AnswerHead {
    /// 0 in trailers.
    pub(super) status: u16,
    /// The content is not as the client will see it.
    pub(super) is_encoded: bool,
    pub(super) vendor_request_id: Option<String>,
    /// `alt-svc`, by place: a browser that follows it leaves this connection for QUIC, which is not inspected.
    pub(super) cuts: SmallVec<[usize; 2]>,
    /// Where these stand in the block.
    pub(super) cut_spans: SmallVec<[(usize, usize); 2]>,
    /// Whether none of them entered the table.
    pub(super) cuts_are_local: bool,
}

impl AnswerHead {
    /// Judges the fields of a block; `request_ids` are the fields that may carry the vendor's id of the request, best first.
    pub(super) fn read(fields: &Fields, is_trailers: bool, request_ids: &[&str]) -> Result<Self, EditFault> {
        let mut head = Self { cuts_are_local: true, ..Self::default() };
        let mut best = request_ids.len();
        for (place, field) in fields.iter().enumerate() {
            if field.name == b":status" && place == 0 && !is_trailers {
                head.status = status(field.value).ok_or(EditFault::ResponseLineMalformed)?;
                continue;
            }
            let is_lower = token::is_token(field.name) && !field.name.iter().any(u8::is_ascii_uppercase);
            if !is_lower || !token::is_value(field.value) {
                return Err(EditFault::ResponseFieldMalformed);
            }
            match field.name {
                b"alt-svc" => {
                    head.cuts.push(place);
                    head.cut_spans.push(field.span);
                    head.cuts_are_local &= Codec::is_local(field.form);
                }
                b"content-encoding" => head.is_encoded |= !token::is_name(token::trim(field.value), b"identity"),
                name => {
                    let rank = request_ids.iter().position(|id| id.as_bytes() == name);
                    if let Some(rank) = rank.filter(|&rank| rank < best) {
                        best = rank;
                        head.vendor_request_id = event::token_text(token::trim(field.value));
                    }
                }
            }
        }
        if head.status == 0 && !is_trailers {
            return Err(EditFault::ResponseLineMalformed);
        }
        Ok(head)
    }
}

/// Three digits from 100; never 101, which HTTP/2 does not have (RFC 9113 section 8.6).
fn status(value: &[u8]) -> Option<u16> {
    let number = match value {
        [b'1'..=b'9', _, _] if value.iter().all(u8::is_ascii_digit) => {
            core::str::from_utf8(value).ok()?.parse().ok()?
        }
        _ => return None,
    };
    (number != 101).then_some(number)
}
