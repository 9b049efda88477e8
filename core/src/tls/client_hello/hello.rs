//! The ClientHello message and what the product asks of it (RFC 8446 section 4.1.2).
//!
//! Owns the fields, the walk over the extensions and the rule that no type stands twice. Does not own how the message was
//! carried (`reader`).

use alloc::string::String;

use super::ja4;
use super::reject::HelloReject;
use super::server_name::{self, ServerName};
use crate::bytes::Reader;
use crate::labelled;
use crate::limits::{CLIENT_HELLO_CIPHER_SUITES_MAX, CLIENT_HELLO_EXTENSIONS_MAX};
use crate::sni::Sni;

/// A ClientHello, borrowed from the bytes it came in; only the host name is owned.
#[derive(Clone, Debug)]
pub struct ClientHello<'a> {
    /// The host name that the client wants; `None` when it names none or an address.
    pub sni: Option<Sni>,
    /// Whether `server_name` holds an address, which counts as no name (RFC 6066 section 3).
    pub sni_is_address: bool,
    /// `legacy_version`: the highest version for clients before TLS 1.3.
    pub legacy_version: u16,
    /// `legacy_session_id`, at most 32 bytes.
    pub session_id: &'a [u8],
    /// Whether Encrypted ClientHello is offered, and in which form.
    pub ech: Option<Ech>,
    /// Whether the `encrypted_server_name` extension of the drafts before ECH is there (type 0xffce).
    pub has_esni: bool,
    /// Whether the client means to send data before the server has answered (RFC 8446 section 4.2.10).
    pub has_early_data: bool,
    /// Whether a TLS 1.3 session or key is offered (RFC 8446 section 4.2.11).
    pub has_pre_shared_key: bool,
    cipher_suites: &'a [u8],
    extensions: Extensions<'a>,
    alpn: &'a [u8],
    key_shares: &'a [u8],
    signature_algorithms: &'a [u8],
    supported_versions: Option<&'a [u8]>,
}

labelled! {
    /// Form of the `encrypted_client_hello` extension (RFC 9849 section 5).
    pub enum Ech {
        /// Marks a hello that was itself encrypted; a client never sends it in the clear.
        Inner = "inner",
        /// Carries an encrypted hello, or random bytes in its place (GREASE): from outside the two look the same.
        Outer = "outer",
    }
}

/// Extension types, <https://www.iana.org/assignments/tls-extensiontype-values>.
pub(super) mod extension {
    pub(in super::super) const SERVER_NAME: u16 = 0;
    pub(in super::super) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(in super::super) const ALPN: u16 = 16;
    pub(in super::super) const PRE_SHARED_KEY: u16 = 41;
    pub(in super::super) const EARLY_DATA: u16 = 42;
    pub(in super::super) const SUPPORTED_VERSIONS: u16 = 43;
    pub(in super::super) const KEY_SHARE: u16 = 51;
    pub(in super::super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
    pub(in super::super) const ENCRYPTED_SERVER_NAME: u16 = 0xffce;
}

const RANDOM_BYTES: usize = 32;
const SESSION_ID_BYTES_MAX: usize = 32;

impl<'a> ClientHello<'a> {
    /// Reads a whole message, without its four-byte handshake header.
    pub fn parse(body: &'a [u8]) -> Result<Self, HelloReject> {
        let mut reader = Reader::new(body);
        let mut hello = Self::read_fields(&mut reader).ok_or(HelloReject::MalformedHello)?;
        if hello.cipher_suites.len() > 2 * CLIENT_HELLO_CIPHER_SUITES_MAX {
            return Err(HelloReject::TooManyCipherSuites);
        }
        // SSL 3.0 and early TLS 1.0 end here; an extension block has nothing behind it (RFC 5246 section 7.4.1.2).
        if !reader.is_empty() {
            let block = reader.vector_u16().ok_or(HelloReject::MalformedExtensions)?;
            if !reader.is_empty() {
                return Err(HelloReject::MalformedHello);
            }
            hello.read_extensions(block)?;
        }
        Ok(hello)
    }

    /// Protocol names in the client's order of preference (RFC 7301 section 3.1). Ends early where the list is broken.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut list = Reader::new(self.alpn).vector_u16().map_or(Reader::new(&[]), Reader::new);
        core::iter::from_fn(move || list.vector_u8())
    }

    /// Cipher suites in the client's order of preference, reserved values (RFC 8701) included.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> + use<'a> {
        words(self.cipher_suites)
    }

    /// Types and bodies of all extensions, in order.
    pub const fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// Groups for which the client sent a key share, in order, reserved values (RFC 8701) included. Ends early where the
    /// list is broken.
    pub fn key_share_groups(&self) -> impl Iterator<Item = u16> + use<'a> {
        let mut shares = Reader::new(self.key_shares).vector_u16().map_or(Reader::new(&[]), Reader::new);
        core::iter::from_fn(move || {
            let group = shares.u16()?;
            shares.vector_u16().map(|_| group)
        })
    }

    /// Signature schemes in the client's order of preference (RFC 8446 section 4.2.3).
    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> + use<'a> {
        words(Reader::new(self.signature_algorithms).vector_u16().unwrap_or_default())
    }

    /// Versions that the client would speak, reserved values (RFC 8701) left out: the list of TLS 1.3 clients
    /// (RFC 8446 section 4.2.1), else `legacy_version` alone.
    pub fn supported_versions(&self) -> impl Iterator<Item = u16> + use<'a> {
        let legacy = self.supported_versions.is_none().then_some(self.legacy_version);
        let list = self.supported_versions.and_then(|body| Reader::new(body).vector_u8()).unwrap_or_default();
        words(list).filter(|&version| !is_grease(version)).chain(legacy)
    }

    /// The highest version that the client would speak, in the form of RFC 8446 (0x0304 is TLS 1.3); drafts of TLS 1.3 and
    /// other numbers above it do not count. 0 when there is none.
    pub fn version_max(&self) -> u16 {
        self.supported_versions().filter(|&version| version <= TLS_1_3).max().unwrap_or(0)
    }

    /// The client's JA4 fingerprint, as of a hello over TCP: 36 ASCII bytes.
    pub fn ja4(&self) -> String {
        ja4::fingerprint(self)
    }

    /// All fields before the extensions.
    fn read_fields(reader: &mut Reader<'a>) -> Option<Self> {
        let legacy_version = reader.u16()?;
        reader.take(RANDOM_BYTES)?;
        let session_id = reader.vector_u8().filter(|id| id.len() <= SESSION_ID_BYTES_MAX)?;
        let cipher_suites = reader.vector_u16().filter(|list| !list.is_empty() && list.len() % 2 == 0)?;
        reader.vector_u8().filter(|compression_methods| !compression_methods.is_empty())?;
        Some(Self {
            sni: None,
            sni_is_address: false,
            legacy_version,
            session_id,
            ech: None,
            has_esni: false,
            has_early_data: false,
            has_pre_shared_key: false,
            cipher_suites,
            extensions: Extensions(Reader::new(&[])),
            alpn: &[],
            key_shares: &[],
            signature_algorithms: &[],
            supported_versions: None,
        })
    }

    /// Walks the extension block once: framing, duplicates, and the extensions that are asked for later.
    fn read_extensions(&mut self, block: &'a [u8]) -> Result<(), HelloReject> {
        self.extensions = Extensions(Reader::new(block));
        let mut walk = self.extensions;
        let mut seen = SeenTypes::new();
        for (kind, body) in walk.by_ref() {
            seen.insert(kind)?;
            match kind {
                extension::SERVER_NAME => match server_name::parse(body)? {
                    ServerName::Address => self.sni_is_address = true,
                    ServerName::Name(sni) => self.sni = Some(sni),
                },
                extension::ALPN => self.alpn = body,
                extension::EARLY_DATA => self.has_early_data = true,
                extension::ENCRYPTED_CLIENT_HELLO => self.ech = Some(Ech::of_body(body)),
                extension::ENCRYPTED_SERVER_NAME => self.has_esni = true,
                extension::KEY_SHARE => self.key_shares = body,
                extension::PRE_SHARED_KEY => self.has_pre_shared_key = true,
                extension::SIGNATURE_ALGORITHMS => self.signature_algorithms = body,
                extension::SUPPORTED_VERSIONS => self.supported_versions = Some(body),
                _ => {}
            }
        }
        if walk.0.is_empty() { Ok(()) } else { Err(HelloReject::MalformedExtensions) }
    }
}

impl Ech {
    /// The first byte tells; what it holds besides does not matter to us.
    fn of_body(body: &[u8]) -> Self {
        const TYPE_INNER: u8 = 1;
        if body == [TYPE_INNER] { Self::Inner } else { Self::Outer }
    }
}

/// Iterator over the types and bodies of an extension block (RFC 8446 section 4.2); ends early where it is broken.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(Reader<'a>);

impl<'a> Iterator for Extensions<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut ahead = self.0;
        let kind = ahead.u16()?;
        let body = ahead.vector_u16()?;
        self.0 = ahead;
        Some((kind, body))
    }
}

/// The extension types of one hello; refuses one that comes twice, in time bounded by the number of types allowed.
struct SeenTypes {
    /// One bit for each type below 64, where nearly all are.
    low: u64,
    others: [u16; CLIENT_HELLO_EXTENSIONS_MAX],
    others_count: usize,
    count: usize,
}

impl SeenTypes {
    const fn new() -> Self {
        Self { low: 0, others: [0; CLIENT_HELLO_EXTENSIONS_MAX], others_count: 0, count: 0 }
    }

    fn insert(&mut self, kind: u16) -> Result<(), HelloReject> {
        self.count += 1;
        if self.count > CLIENT_HELLO_EXTENSIONS_MAX {
            return Err(HelloReject::TooManyExtensions);
        }
        let is_new = if kind < 64 {
            let bit = 1 << kind;
            let is_new = self.low & bit == 0;
            self.low |= bit;
            is_new
        } else {
            self.insert_other(kind)
        };
        match (is_new, kind) {
            (true, _) => Ok(()),
            (false, extension::SERVER_NAME) => Err(HelloReject::TwoServerNames),
            (false, _) => Err(HelloReject::DuplicateExtension),
        }
    }

    fn insert_other(&mut self, kind: u16) -> bool {
        let (seen, free) = self.others.split_at_mut(self.others_count);
        if seen.contains(&kind) {
            return false;
        }
        if let Some(slot) = free.first_mut() {
            *slot = kind;
            self.others_count += 1;
        }
        true
    }
}

/// Whether `value` is one of the reserved values that clients mix in to keep servers tolerant (RFC 8701).
pub(super) const fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

/// Big-endian words of `bytes`; an odd byte at the end is left out.
fn words(bytes: &[u8]) -> impl Iterator<Item = u16> + use<'_> {
    let mut reader = Reader::new(bytes);
    core::iter::from_fn(move || reader.u16())
}

const TLS_1_3: u16 = 0x0304;
