//! Makes ClientHellos for tests, right and wrong ones. Does not judge them.
#![allow(dead_code, reason = "each test file uses its part")]

/// A hello to be encoded. The default is a plain one of TLS 1.2 without extensions.
#[derive(Clone, Debug)]
pub(crate) struct Hello {
    pub(crate) legacy_version: u16,
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            cipher_suites: vec![0x1301, 0xc02b],
            extensions: vec![],
        }
    }
}

impl Hello {
    pub(crate) fn with(mut self, kind: u16, body: impl Into<Vec<u8>>) -> Self {
        self.extensions.push((kind, body.into()));
        self
    }

    pub(crate) fn with_name(self, name: &[u8]) -> Self {
        self.with(0, server_name(&[(0, name)]))
    }

    /// The message without its handshake header.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([0x5a; 32]);
        body.push(u8::try_from(self.session_id.len()).unwrap());
        body.extend(&self.session_id);
        body.extend(vector(&self.cipher_suites.iter().flat_map(|suite| suite.to_be_bytes()).collect::<Vec<_>>()));
        body.extend([1, 0]);
        if !self.extensions.is_empty() {
            let block: Vec<u8> = self
                .extensions
                .iter()
                .flat_map(|(kind, body)| [kind.to_be_bytes().to_vec(), vector(body)].concat())
                .collect();
            body.extend(vector(&block));
        }
        body
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        message(1, &self.body())
    }

    /// The hello in as few records as possible.
    pub(crate) fn wire(&self) -> Vec<u8> {
        records(&self.message(), 16_384)
    }
}

/// A handshake message of type `kind`.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

/// `body` behind its 16-bit length.
pub(crate) fn vector(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

pub(crate) fn server_name(names: &[(u8, &[u8])]) -> Vec<u8> {
    vector(&names.iter().flat_map(|(kind, name)| [vec![*kind], vector(name)].concat()).collect::<Vec<_>>())
}

pub(crate) fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()], *name].concat()).collect();
    vector(&list)
}

pub(crate) fn record(content_type: u8, payload: &[u8]) -> Vec<u8> {
    [&[content_type, 3, 1], vector(payload).as_slice()].concat()
}

/// `message` cut into handshake records of at most `payload_bytes_max`.
pub(crate) fn records(message: &[u8], payload_bytes_max: usize) -> Vec<u8> {
    message.chunks(payload_bytes_max).flat_map(|piece| record(22, piece)).collect()
}

/// The handshake bytes inside `wire`, which holds handshake records only.
pub(crate) fn payload(mut wire: &[u8]) -> Vec<u8> {
    let mut message = vec![];
    while wire.len() >= 5 {
        let bytes = usize::from(u16::from_be_bytes([wire[3], wire[4]]));
        message.extend(&wire[5..5 + bytes]);
        wire = &wire[5 + bytes..];
    }
    message
}
