//! How a revision is written: what is told of it, and its text in pieces, since etcd takes 1.5 MiB in a request.

use serde::{Deserialize, Serialize};

use super::generated::compare::{CompareTarget, TargetUnion};
use super::generated::range_request::SortOrder;
use super::generated::request_op::Request;
use super::generated::response_op::Response;
use super::generated::{Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp};
use crate::store::StoreError;
use crate::store::policy::{Revision, RevisionSource};

/// Bytes of a piece: half of what a request may have.
pub(super) const PIECE_BYTES: usize = 768 * 1024;

/// A revision without its text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Written {
    pub(super) epoch: u64,
    pub(super) digest: String,
    /// Bytes of the text.
    pub(super) bytes: usize,
    author: String,
    comment: String,
    source: String,
    time_ms: u64,
    /// Of the one attempt that wrote it: two daemons may publish the same within a millisecond.
    attempt: u64,
}

impl Written {
    pub(super) fn of(revision: &Revision, attempt: u64) -> Self {
        let Revision { epoch, text, digest, author, comment, source, time_ms } = revision;
        Self {
            epoch: *epoch,
            digest: digest.clone(),
            bytes: text.len(),
            author: author.clone(),
            comment: comment.clone(),
            source: source.label().to_owned(),
            time_ms: *time_ms,
            attempt,
        }
    }

    pub(super) fn read(kept: &KeyValue) -> Result<Self, StoreError> {
        let named = |error| StoreError::Away(format!("{}: {error}", String::from_utf8_lossy(&kept.key)));
        serde_json::from_slice(&kept.value).map_err(named)
    }

    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn source(&self) -> RevisionSource {
        RevisionSource::from_label(&self.source)
    }

    /// With its text.
    pub(super) fn whole(self, text: String) -> Revision {
        let source = self.source();
        let Self { epoch, digest, author, comment, time_ms, .. } = self;
        Revision { epoch, text, digest, author, comment, source, time_ms }
    }
}

/// Numbers in the order of keys.
pub(super) fn digits(number: u64) -> String {
    format!("{number:020}")
}

pub(super) fn put(key: String, value: impl Into<Vec<u8>>) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.into(), value: value.into(), lease: 0 }))
}

/// A key that goes with a lease.
pub(super) fn put_leased(key: String, value: impl Into<Vec<u8>>, lease: i64) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: key.into(), value: value.into(), lease }))
}

pub(super) fn delete(key: String) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest { key: key.into(), range_end: Vec::new() }))
}

/// Every key that begins with a prefix.
pub(super) fn delete_all(prefix: String) -> RequestOp {
    let range_end = behind(&prefix);
    op(Request::RequestDeleteRange(DeleteRangeRequest { key: prefix.into(), range_end }))
}

/// The same.
pub(super) fn get_all(prefix: String) -> RequestOp {
    let range_end = behind(&prefix);
    op(Request::RequestRange(RangeRequest { key: prefix.into(), range_end, ..RangeRequest::default() }))
}

/// The first key behind all that begin with the prefix.
pub(super) fn behind(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        // A prefix ends with a slash.
        *last += 1;
    }
    end
}

pub(super) fn get(key: String) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: key.into(), ..RangeRequest::default() }))
}

/// Keys from the first to before the end, the last first.
pub(super) fn get_backwards(first: String, end: String, limit: usize) -> RequestOp {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sort_order = SortOrder::Descend.into();
    op(Request::RequestRange(RangeRequest { key: first.into(), range_end: end.into(), limit, sort_order }))
}

/// Holds while the key has the value, or while it is not there.
pub(super) fn is(key: String, value: Option<String>) -> Compare {
    let (target, union) = match value {
        Some(value) => (CompareTarget::Value, TargetUnion::Value(value.into())),
        None => (CompareTarget::Version, TargetUnion::Version(0)),
    };
    Compare { result: 0, target: target.into(), key: key.into(), target_union: Some(union) }
}

/// What the ranges of a transaction found, in their order.
pub(super) fn found(responses: Vec<ResponseOp>) -> Vec<Vec<KeyValue>> {
    let ranges = responses.into_iter().filter_map(|response| match response.response {
        Some(Response::ResponseRange(range)) => Some(range.kvs),
        _ => None,
    });
    ranges.collect()
}

const fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}
