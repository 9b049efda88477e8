//! Digests an upload as it comes, so that a body of any size costs no memory.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::json;

use crate::request::Head;
use crate::response::Response;

/// An upload that is being received.
pub(crate) struct Upload {
    context: Context,
    bytes: u64,
}

impl Upload {
    pub(crate) fn new() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }

    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
        self.bytes += piece.len() as u64;
    }

    pub(crate) fn answer(self) -> Response {
        let sha256 = hexadecimal(self.context.finish().as_ref());
        Response::json(200, &json!({ "sha256": sha256, "bytes": self.bytes }))
    }
}

/// Whether the body of this request is digested instead of collected: uploads to `/upload` of any host.
pub(crate) fn wants(head: &Head) -> bool {
    head.target.split('?').next() == Some("/upload") && matches!(head.method.as_str(), "POST" | "PUT")
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_digested_as_one() {
        let mut upload = Upload::new();
        upload.update(b"a");
        upload.update(b"bc");
        let answer = upload.answer().body_json();
        assert_eq!(answer["bytes"], 3);
        assert_eq!(answer["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
