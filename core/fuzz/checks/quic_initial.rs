//! What must hold for any datagrams of a client.
//!
//! The input is datagrams behind their 16-bit lengths, without protection: the cipher here takes every packet for authentic,
//! so that what is under the protection is fuzzed.

use penstock_core::bytes::Reader;
use penstock_core::quic::{InitialCipher, InitialReader, Opening, connection_close, version_negotiation};

/// Shortest datagram whose Initials count.
const DATAGRAM_BYTES_MIN: usize = 1_200;
const TAG_BYTES: usize = 16;

struct Transparent;

impl InitialCipher for Transparent {
    fn hmac_sha256(&self, _key: &[u8], _message: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    fn aes_128_mask(&self, _key: &[u8; 16], _sample: [u8; 16]) -> [u8; 5] {
        [0; 5]
    }

    fn aes_128_gcm_open(&self, _key: &[u8; 16], _nonce: [u8; 12], _header: &[u8], sealed: &mut [u8]) -> Option<usize> {
        sealed.len().checked_sub(TAG_BYTES)
    }

    fn aes_128_gcm_seal(&self, _key: &[u8; 16], _nonce: [u8; 12], _header: &[u8], plain: &mut Vec<u8>) -> Option<()> {
        plain.extend([0; TAG_BYTES]);
        Some(())
    }
}

/// Reads the datagrams until one is refused: nothing opens twice, and answers are short.
pub(crate) fn check(data: &[u8]) {
    let mut input = Reader::new(data);
    let mut reader = InitialReader::new();
    let mut opened = 0;
    while let Some(datagram) = input.vector_u16() {
        let mut datagram = datagram.to_vec();
        if datagram.len() > TAG_BYTES {
            datagram.resize(datagram.len().max(DATAGRAM_BYTES_MIN), 0);
        }
        if let Some(answer) = version_negotiation(&datagram) {
            assert!(answer.len() < datagram.len() / 2);
        }
        match reader.handle_datagram(&Transparent, &datagram) {
            Opening::Opens { hello, version, destination, source } => {
                assert!(!(hello.sni.is_some() && hello.sni_is_address));
                assert!(hello.alpn().count() <= datagram.len() * 32);
                let answer = connection_close(&Transparent, version, &destination, &source);
                assert!(answer.is_some_and(|answer| answer.len() < DATAGRAM_BYTES_MIN / 10));
                opened += 1;
            }
            Opening::Refused(_) => return,
            Opening::Follows | Opening::Ignored | Opening::Unseen | Opening::Waits => {}
        }
        assert!(!matches!(reader.handle_datagram(&Transparent, &datagram), Opening::Opens { .. }), "opened twice");
    }
    assert!(opened <= data.len());
}
