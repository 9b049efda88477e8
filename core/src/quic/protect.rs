//! The keys of Initial packets, and opening and sealing such packets (RFC 9001 section 5, RFC 9369 section 3.3).
//!
//! ```text
//! destination id of the client's first Initial
//!   | HMAC with the version's salt
//!   v
//! initial secret --"client in"--> client secret --"quic key", "quic iv", "quic hp"--> key, iv, header key
//!                `-"server in"--> server secret --...
//! ```
//! Does not own the primitives: HMAC-SHA-256 and AES-128 come in as [`InitialCipher`].

use alloc::vec::Vec;

use smallvec::SmallVec;
use zeroize::Zeroize as _;

use super::packet::{ConnectionId, Packet, Version};

/// The primitives that Initial packets need. Their keys are no secrets: everybody who sees the packets can derive them.
pub trait InitialCipher {
    /// HMAC-SHA-256 of `message` (RFC 2104).
    fn hmac_sha256(&self, key: &[u8], message: &[u8]) -> [u8; 32];
    /// The first five bytes of `sample` through AES-128 (FIPS 197, RFC 9001 section 5.4.3).
    fn aes_128_mask(&self, key: &[u8; 16], sample: [u8; 16]) -> [u8; 5];
    /// Opens AES-128-GCM in place; the last 16 bytes of `sealed` are the tag. Gives the length of the plaintext, which then
    /// stands at the front; `None` when it is not authentic.
    fn aes_128_gcm_open(&self, key: &[u8; 16], nonce: [u8; 12], header: &[u8], sealed: &mut [u8]) -> Option<usize>;
    /// Seals AES-128-GCM in place and appends the tag; `None` when the implementation fails.
    fn aes_128_gcm_seal(&self, key: &[u8; 16], nonce: [u8; 12], header: &[u8], plain: &mut Vec<u8>) -> Option<()>;
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The inside host.
    Client,
    /// The origin, or we in its place.
    Server,
}

/// The keys for the Initial packets of one side of a connection.
#[derive(Clone, Debug)]
pub struct PacketKeys {
    /// The version whose keys these are.
    pub version: Version,
    key: [u8; 16],
    iv: [u8; 12],
    header: [u8; 16],
}

/// An Initial packet without its protection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    /// Its full number.
    pub(super) number: u64,
    /// Length of the plaintext at the front of the buffer.
    pub(super) payload_bytes: usize,
}

const TAG_BYTES: usize = 16;
const SAMPLE_BYTES: usize = 16;
/// A sample is taken as if the packet number had four bytes (RFC 9001 section 5.4.2).
const SAMPLE_OFFSET: usize = 4;
/// Bits of the first byte of a long header that are protected.
const PROTECTED_BITS: u8 = 0x0f;

/// What differs between the versions (RFC 9001 section 5.2, RFC 9369 section 3.3).
struct Derivation {
    salt: [u8; 20],
    key: &'static [u8],
    iv: &'static [u8],
    header: &'static [u8],
}

const V1: Derivation = Derivation {
    salt: [
        0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb,
        0x7f, 0x0a,
    ],
    key: b"tls13 quic key",
    iv: b"tls13 quic iv",
    header: b"tls13 quic hp",
};
const V2: Derivation = Derivation {
    salt: [
        0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd,
        0x2e, 0xd9,
    ],
    key: b"tls13 quicv2 key",
    iv: b"tls13 quicv2 iv",
    header: b"tls13 quicv2 hp",
};

impl PacketKeys {
    /// The keys that follow from the destination id of the client's first Initial.
    pub fn derive(cipher: &impl InitialCipher, version: Version, id: &ConnectionId, side: Side) -> Self {
        let derivation = match version {
            Version::V1 => V1,
            Version::V2 => V2,
        };
        let label: &[u8] = match side {
            Side::Client => b"tls13 client in",
            Side::Server => b"tls13 server in",
        };
        // HKDF-Extract is one HMAC, and so is an HKDF-Expand of at most 32 bytes (RFC 5869 section 2).
        let initial = cipher.hmac_sha256(&derivation.salt, id.as_bytes());
        let secret: [u8; 32] = expand_label(cipher, &initial, label);
        Self {
            version,
            key: expand_label(cipher, &secret, derivation.key),
            iv: expand_label(cipher, &secret, derivation.iv),
            header: expand_label(cipher, &secret, derivation.header),
        }
    }

    /// Opens `packet` into `plain`, which is overwritten. `largest` is the largest number that was opened before. `None`
    /// when the packet is not authentic under these keys.
    pub(super) fn open(
        &self,
        cipher: &impl InitialCipher,
        packet: &Packet<'_>,
        largest: Option<u64>,
        plain: &mut Vec<u8>,
    ) -> Option<Opened> {
        let sample_at = packet.number_offset + SAMPLE_OFFSET;
        let sample = packet.bytes.get(sample_at..sample_at + SAMPLE_BYTES)?;
        let mask = cipher.aes_128_mask(&self.header, *sample.first_chunk()?);
        let [first_mask, number_mask @ ..] = mask;
        let first = packet.bytes.first()? ^ (first_mask & PROTECTED_BITS);
        let number_bytes = usize::from(first & 3) + 1;

        let mut header: SmallVec<[u8; 128]> = SmallVec::from_slice(packet.bytes.get(..packet.number_offset)?);
        *header.first_mut()? = first;
        let protected = packet.bytes.get(packet.number_offset..)?.get(..number_bytes)?;
        let mut truncated = 0;
        for (byte, mask) in protected.iter().zip(number_mask) {
            header.push(byte ^ mask);
            truncated = truncated << 8 | u64::from(byte ^ mask);
        }
        let number = whole_number(largest, truncated, number_bytes);
        plain.clear();
        plain.extend_from_slice(packet.bytes.get(packet.number_offset + number_bytes..)?);
        let payload_bytes = cipher.aes_128_gcm_open(&self.key, self.nonce(number), &header, plain)?;
        Some(Opened { number, payload_bytes })
    }

    /// Seals an Initial packet with the number 0 in one byte: `header` ends right before it, `payload` are whole frames.
    /// The caller has written a length that counts the number, the payload and the tag.
    pub(super) fn seal(
        &self,
        cipher: &impl InitialCipher,
        mut header: Vec<u8>,
        mut payload: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let number_offset = header.len();
        header.push(0);
        cipher.aes_128_gcm_seal(&self.key, self.nonce(0), &header, &mut payload)?;
        header.append(&mut payload);
        let sample_at = number_offset + SAMPLE_OFFSET;
        let sample = header.get(sample_at..sample_at + SAMPLE_BYTES)?;
        let [first_mask, number_mask, ..] = cipher.aes_128_mask(&self.header, *sample.first_chunk()?);
        *header.first_mut()? ^= first_mask & PROTECTED_BITS;
        *header.get_mut(number_offset)? ^= number_mask;
        Some(header)
    }

    /// Bytes that [`seal`](Self::seal) puts behind a header: the number, the payload, the tag.
    pub(super) const fn sealed_bytes(payload_bytes: usize) -> usize {
        1 + payload_bytes + TAG_BYTES
    }

    /// The packet number, over the last bytes of the iv (RFC 9001 section 5.3).
    fn nonce(&self, number: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1); `N` is at most 32.
fn expand_label<const N: usize>(cipher: &impl InitialCipher, secret: &[u8; 32], label: &[u8]) -> [u8; N] {
    const FIRST_AND_ONLY: u8 = 1;
    let byte = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
    let mut info: SmallVec<[u8; 32]> = SmallVec::new();
    info.extend([0, byte(N), byte(label.len())]);
    info.extend_from_slice(label);
    info.extend([0, FIRST_AND_ONLY]);
    let mut block = cipher.hmac_sha256(secret, &info);
    let out = block.first_chunk().copied().unwrap_or([0; N]);
    block.zeroize();
    out
}

/// The number that `truncated` stands for (RFC 9000 appendix A.3).
fn whole_number(largest: Option<u64>, truncated: u64, bytes: usize) -> u64 {
    let Some(expected) = largest.map(|largest| largest + 1) else {
        return truncated;
    };
    let window = 1_u64 << (8 * bytes);
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate + window / 2 <= expected && candidate + window < 1 << 62 {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::whole_number;

    #[test]
    fn numbers_are_made_whole_near_the_one_expected() {
        assert_eq!(whole_number(None, 0x9b32, 2), 0x9b32);
        assert_eq!(whole_number(Some(0xa82f_30ea), 0x9b32, 2), 0xa82f_9b32);
        assert_eq!(whole_number(Some(254), 0, 1), 256);
        assert_eq!(whole_number(Some(256), 0xff, 1), 255);
        assert_eq!(whole_number(Some((1 << 62) - 2), 0, 1), (1 << 62) - 256);
    }
}
