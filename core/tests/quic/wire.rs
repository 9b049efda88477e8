//! Makes the datagrams of QUIC clients for tests, right and wrong ones, under the keys that rustls derives.
#![allow(dead_code, reason = "each test file uses its part")]

use penstock_core::quic::{InitialReader, Opening, QuicReject};
use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Version};

use crate::cipher::Cipher;

pub(crate) const DATAGRAM_BYTES: usize = 1_200;
pub(crate) const ID: &[u8] = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// An Initial packet to be sealed.
#[derive(Clone)]
pub(crate) struct Initial {
    pub(crate) version: Version,
    /// The id from which the keys follow.
    pub(crate) original: Vec<u8>,
    pub(crate) destination: Vec<u8>,
    pub(crate) source: Vec<u8>,
    pub(crate) token: Vec<u8>,
    pub(crate) number: u64,
    /// Bytes of the number on the wire.
    pub(crate) number_bytes: usize,
    pub(crate) frames: Vec<u8>,
    /// What stays of the first byte.
    pub(crate) first_mask: u8,
    /// The packet is padded to this length.
    pub(crate) bytes: usize,
}

impl Initial {
    pub(crate) fn of(frames: Vec<u8>) -> Self {
        Self {
            version: Version::V1,
            original: ID.to_vec(),
            destination: ID.to_vec(),
            source: vec![],
            token: vec![],
            number: 0,
            number_bytes: 4,
            frames,
            first_mask: 0xff,
            bytes: DATAGRAM_BYTES,
        }
    }

    pub(crate) fn to(mut self, id: &[u8]) -> Self {
        self.original = id.to_vec();
        self.destination = id.to_vec();
        self
    }

    pub(crate) fn seal(&self) -> Vec<u8> {
        let (first, version): (u8, u32) = match self.version {
            Version::V2 => (0xd0, 0x6b33_43cf),
            _ => (0xc0, 1),
        };
        let mut header = vec![(first | u8::try_from(self.number_bytes - 1).unwrap()) & self.first_mask];
        header.extend(version.to_be_bytes());
        for id in [&self.destination, &self.source] {
            header.push(u8::try_from(id.len()).unwrap());
            header.extend(id);
        }
        header.extend(varint(self.token.len()));
        header.extend(&self.token);
        let mut payload = self.frames.clone();
        let padded = self.bytes.saturating_sub(header.len() + 2 + self.number_bytes + 16).max(payload.len()).max(4);
        payload.resize(padded, 0);
        header.extend(u16::try_from(0x4000 | (self.number_bytes + padded + 16)).unwrap().to_be_bytes());
        let number_at = header.len();
        header.extend(&self.number.to_be_bytes()[8 - self.number_bytes..]);

        let keys = client_keys(self.version, &self.original, Side::Client).local;
        let tag = keys.packet.encrypt_in_place(self.number, &header, &mut payload).unwrap();
        let mut packet = [header, payload, tag.as_ref().to_vec()].concat();
        let sample: [u8; 16] = packet[number_at + 4..number_at + 20].try_into().unwrap();
        let (first, rest) = packet.split_first_mut().unwrap();
        let number = &mut rest[number_at - 1..number_at - 1 + self.number_bytes];
        keys.header.encrypt_in_place(&sample, first, number).unwrap();
        packet
    }
}

pub(crate) fn client_keys(version: Version, id: &[u8], side: Side) -> Keys {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap();
    suite.keys(id, side, version)
}

pub(crate) fn varint(value: usize) -> Vec<u8> {
    u32::try_from(0x8000_0000 | value).unwrap().to_be_bytes().to_vec()
}

/// A CRYPTO frame with a piece of `message`.
pub(crate) fn crypto(message: &[u8], start: usize, end: usize) -> Vec<u8> {
    [&[6], varint(start).as_slice(), &varint(end - start), &message[start..end]].concat()
}

/// The client's datagrams that bring `message` in as few pieces as fit.
pub(crate) fn flight(message: &[u8]) -> Vec<Vec<u8>> {
    let starts = (0..message.len()).step_by(1_000);
    starts
        .zip(0..)
        .map(|(start, number)| {
            let frames = crypto(message, start, message.len().min(start + 1_000));
            Initial { number, ..Initial::of(frames) }.seal()
        })
        .collect()
}

/// What a datagram was found to be, with the name in the ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Follows,
    Ignored,
    Opens(Option<String>),
    Refused(QuicReject),
    Unseen,
    Waits,
}

pub(crate) fn opens(name: &str) -> Seen {
    Seen::Opens(Some(name.to_owned()))
}

pub(crate) fn see(reader: &mut InitialReader, datagram: &[u8]) -> Seen {
    match reader.handle_datagram(&Cipher, datagram) {
        Opening::Follows => Seen::Follows,
        Opening::Ignored => Seen::Ignored,
        Opening::Opens { hello, .. } => Seen::Opens(hello.sni.map(|name| name.to_string())),
        Opening::Refused(reject) => Seen::Refused(reject),
        Opening::Unseen => Seen::Unseen,
        Opening::Waits => Seen::Waits,
    }
}

/// What a new reader finds each of `datagrams` to be.
pub(crate) fn see_all<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<Seen> {
    let mut reader = InitialReader::new();
    datagrams.into_iter().map(|datagram| see(&mut reader, datagram)).collect()
}
