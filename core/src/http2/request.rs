//! Reads the fields of a request and judges them (RFC 9113 sections 8.2 and 8.3).
//!
//! Owns the judgement of every field; what is then done with the block is `egress`'s. As strict as for HTTP/1.1, because many an
//! origin's front end turns what it gets into HTTP/1.1.

use alloc::string::String;

use smallvec::SmallVec;

use super::codec::Codec;
use super::fields::Fields;
use super::hpack;
use crate::http::authority::{Agreement, Origin};
use crate::http::{EditFault, Request, event, token};
use crate::http1::syntax::{check_path, method};
use crate::limits::AUDIT_PATH_BYTES_MAX;
use crate::policy::{HeaderEdit, Mode};

/// What requests are read against.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) edit: &'a HeaderEdit,
    pub(super) origin: &'a Origin,
    /// The origin has said that it takes extended CONNECT, and was let say so.
    pub(super) connect_offered: bool,
}

/// A request that was found right.
#[derive(Debug, Default)]
pub(super) struct RequestHead {
    pub(super) event: Request,
    pub(super) content_length: Option<u64>,
    /// GET and HEAD: an origin that ignores their content reads it as the next request.
    pub(super) forbids_content: bool,
    /// Another protocol's from its answer on.
    pub(super) is_tunnel: bool,
    /// A call of gRPC, whose messages may be far apart.
    pub(super) is_grpc: bool,
    /// `Expect: 100-continue`: the content may wait for the origin's word.
    pub(super) expects_continue: bool,
    /// How many fields are pseudo-header fields: all at the front.
    pub(super) lead_count: usize,
    /// Where the representation of the last of these ends.
    pub(super) lead_end: usize,
    /// Fields that must go, by their place.
    pub(super) cuts: SmallVec<[usize; 8]>,
    /// Where these stand in the block.
    pub(super) cut_spans: SmallVec<[(usize, usize); 8]>,
    /// Whether none of them entered the table.
    pub(super) cuts_are_local: bool,
}

/// What is gathered while fields are read.
#[derive(Default)]
struct Reading<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
    has_host: bool,
    head: RequestHead,
}

impl RequestHead {
    /// Judges the fields of a request's first block.
    pub(super) fn read(fields: &Fields, ends_stream: bool, rules: Rules<'_>) -> Result<Self, EditFault> {
        let mut reading = Reading { head: Self { cuts_are_local: true, ..Self::default() }, ..Reading::default() };
        for (place, field) in fields.iter().enumerate() {
            check_field(field)?;
            if field.name.starts_with(b":") {
                if reading.head.lead_count != place {
                    return Err(EditFault::PseudoHeaderMalformed);
                }
                reading.head.lead_count += 1;
                reading.head.lead_end = field.span.1;
                reading.read_pseudo(field)?;
            } else {
                reading.read_regular(place, field, rules)?;
            }
        }
        reading.finish(ends_stream, rules)
    }
}

/// Judges the fields of a request's trailers.
pub(super) fn check_trailers(fields: &Fields) -> Result<(), EditFault> {
    for field in fields.iter() {
        check_field(field)?;
        if field.name.starts_with(b":") {
            return Err(EditFault::PseudoHeaderMalformed);
        }
        if matches!(Known::of(field.name), Some(Known::Connection | Known::ContentLength | Known::Twin)) {
            return Err(EditFault::TrailerMalformed);
        }
    }
    Ok(())
}

/// Name and value are what may become a line of HTTP/1.1, and nothing else (RFC 9113 section 8.2.1).
fn check_field(field: hpack::Field<'_>) -> Result<(), EditFault> {
    let name = field.name.strip_prefix(b":").unwrap_or(field.name);
    if !token::is_token(name) || name.iter().any(u8::is_ascii_uppercase) {
        return Err(EditFault::FieldNameMalformed);
    }
    if !token::is_value(field.value) || token::trim(field.value).len() != field.value.len() {
        return Err(EditFault::FieldValueMalformed);
    }
    Ok(())
}

impl<'a> Reading<'a> {
    fn read_pseudo(&mut self, field: hpack::Field<'a>) -> Result<(), EditFault> {
        let place = match field.name {
            b":authority" => &mut self.authority,
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            b":scheme" => &mut self.scheme,
            _ => return Err(EditFault::PseudoHeaderMalformed),
        };
        match place.replace(field.value) {
            Some(_) => Err(EditFault::PseudoHeaderMalformed),
            None => Ok(()),
        }
    }

    fn read_regular(&mut self, place: usize, field: hpack::Field<'a>, rules: Rules<'_>) -> Result<(), EditFault> {
        match Known::of(field.name) {
            Some(Known::Connection) => return Err(EditFault::ConnectionField),
            Some(Known::ContentLength) => {
                if self.head.content_length.is_some() {
                    return Err(EditFault::ContentLengthTwice);
                }
                let bytes = token::plain_length(field.value).ok_or(EditFault::ContentLengthMalformed)?;
                self.head.content_length = Some(bytes);
            }
            Some(Known::ContentType) => self.head.is_grpc |= is_grpc(field.value),
            Some(Known::Expect) if field.value.eq_ignore_ascii_case(b"100-continue") => {
                self.head.expects_continue = true;
            }
            Some(Known::Expect) => return Err(EditFault::ExpectUnknown),
            Some(Known::Hop) => self.cut(place, field),
            Some(Known::Host) => {
                if core::mem::replace(&mut self.has_host, true) {
                    return Err(EditFault::HostTwice);
                }
                agree(rules.origin.compare(field.value))?;
            }
            Some(Known::Te) if field.value == b"trailers" => {}
            Some(Known::Te) => return Err(EditFault::ConnectionField),
            Some(Known::Twin) => return Err(EditFault::FieldTwin),
            Some(Known::UserAgent) => self.head.event.agent = event::product(field.value),
            None if rules.edit.connector_of(field.name).is_some() => {
                self.cut(place, field);
                let stripped = &mut self.head.event.stripped;
                let name = event::token_text(field.name).unwrap_or_default();
                if !stripped.contains(&name) {
                    stripped.push(name);
                }
            }
            None => {}
        }
        Ok(())
    }

    fn cut(&mut self, place: usize, field: hpack::Field<'_>) {
        self.head.cuts.push(place);
        self.head.cut_spans.push(field.span);
        self.head.cuts_are_local &= Codec::is_local(field.form);
    }

    /// What only the whole block can tell.
    fn finish(mut self, ends_stream: bool, rules: Rules<'_>) -> Result<RequestHead, EditFault> {
        let name = self.method.ok_or(EditFault::PseudoHeaderMalformed)?;
        if name == b"CONNECT" {
            self.check_connect(rules)?;
            self.head.event.method = "CONNECT";
            self.head.is_tunnel = true;
        } else if self.protocol.is_some() {
            return Err(EditFault::PseudoHeaderMalformed);
        } else if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-') {
            return Err(EditFault::MethodMalformed);
        } else {
            self.head.event.method = method(name)?;
        }
        if self.scheme != Some(b"https") {
            return Err(EditFault::PseudoHeaderMalformed);
        }
        match self.authority {
            Some(authority) => agree(rules.origin.compare(authority))?,
            None if self.has_host => {}
            None => return Err(EditFault::HostMissing),
        }
        let path = path_of(self.path.ok_or(EditFault::PseudoHeaderMalformed)?, name)?;
        self.check_content(ends_stream)?;
        let event = &mut self.head.event;
        let shown = path.get(..AUDIT_PATH_BYTES_MAX).unwrap_or(path);
        event.path = String::from(core::str::from_utf8(shown).unwrap_or_default());
        let mut connectors = rules.edit.connectors().iter();
        event.target_tenant = connectors.find_map(|id| id.target_tenant(event.method, &event.path)).map(String::from);
        Ok(self.head)
    }

    /// Extended CONNECT (RFC 8441), where it may be.
    fn check_connect(&self, rules: Rules<'_>) -> Result<(), EditFault> {
        let is_allowed = match self.protocol {
            None => false,
            Some(_) if rules.edit.mode() != Mode::Enforce => true,
            Some(protocol) => protocol == b"websocket" && rules.edit.websocket(),
        };
        if !is_allowed || !rules.connect_offered {
            return Err(EditFault::MethodNotAllowed);
        }
        if self.head.content_length.is_some() {
            return Err(EditFault::ContentUnexpected);
        }
        Ok(())
    }

    fn check_content(&mut self, ends_stream: bool) -> Result<(), EditFault> {
        let length = self.head.content_length;
        self.head.forbids_content = matches!(self.head.event.method, "GET" | "HEAD");
        if ends_stream && length.is_some_and(|bytes| bytes > 0) {
            return Err(EditFault::ContentLengthWrong);
        }
        if self.head.forbids_content && length.is_some_and(|bytes| bytes > 0) {
            return Err(EditFault::ContentUnexpected);
        }
        Ok(())
    }
}

/// Whether a `content-type` is that of gRPC, with any encoding of messages; gRPC-Web asks in one go.
fn is_grpc(content_type: &[u8]) -> bool {
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

const fn agree(agreement: Agreement) -> Result<(), EditFault> {
    match agreement {
        Agreement::Same => Ok(()),
        Agreement::Other => Err(EditFault::HostWrong),
        Agreement::Malformed => Err(EditFault::HostMalformed),
    }
}

/// The path without query, once `target` is found right.
fn path_of<'a>(target: &'a [u8], method: &[u8]) -> Result<&'a [u8], EditFault> {
    let odd = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'#';
    let begins = target.starts_with(b"/") || (target == b"*" && method == b"OPTIONS");
    if !begins || target.iter().any(odd) {
        return Err(EditFault::TargetMalformed);
    }
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    check_path(path)?;
    Ok(path)
}

/// Fields that the appliance must understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// About one connection of HTTP/1.1 (RFC 9113 section 8.2.2).
    Connection,
    ContentLength,
    ContentType,
    Expect,
    /// Between the inside host and this proxy, or about trailers, which do not go on.
    Hop,
    Host,
    Te,
    /// What a gateway may take for a field that frames or routes.
    Twin,
    UserAgent,
}

impl Known {
    /// `name` is in lower case.
    fn of(name: &[u8]) -> Option<Self> {
        let folds = |known: &[u8]| token::folds_to(name, known);
        match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
                Some(Self::Connection)
            }
            b"content-length" => Some(Self::ContentLength),
            b"content-type" => Some(Self::ContentType),
            b"expect" => Some(Self::Expect),
            b"host" => Some(Self::Host),
            b"te" => Some(Self::Te),
            b"trailer" => Some(Self::Hop),
            b"user-agent" => Some(Self::UserAgent),
            _ if folds(b"content-length") || folds(b"transfer-encoding") => Some(Self::Twin),
            _ if folds(b"http2-settings") => Some(Self::Hop),
            _ if name.get(..PROXY.len()).is_some_and(|start| token::folds_to(start, PROXY)) => Some(Self::Hop),
            _ => None,
        }
    }
}

/// How the fields begin that are between a client and its proxy.
const PROXY: &[u8] = b"proxy-";
