//! Reads the head of a request, line by line, and finds what must not go on.
//!
//! Owns the judgement of every field; what is then done with the head is `request_edit`'s. Judging goes strictly in the
//! order of the bytes and only over whole lines, so the answer does not depend on how the head was cut into reads.

use smallvec::SmallVec;

use super::connection::Options;
use super::line::{self, Field, FieldReject};
use super::request_line::{self, RequestLine, Version};
use crate::http::authority::{Agreement, Origin, Scheme};
use crate::http::fault::EditFault;
use crate::http::token;
use crate::limits::{HTTP1_FIELD_BYTES_MAX, HTTP1_FIELDS_MAX, HTTP1_HEAD_BYTES_MAX};
use crate::policy::HeaderEdit;

/// A request head that is being read, or was read. All spans count from the start of the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestHead {
    /// Where the first line begins that was not judged yet.
    at: usize,
    /// Up to where that line is known not to end.
    searched: usize,
    field_count: usize,
    pub(crate) method: &'static str,
    /// Where the target begins.
    pub(crate) target_start: usize,
    pub(crate) path: Span,
    pub(crate) version: Version,
    /// Where the request line ends.
    pub(crate) fields_start: usize,
    pub(crate) agent: Option<Span>,
    pub(crate) options: Options,
    /// Lines that may have to go, in order.
    pub(crate) cuts: SmallVec<[Cut; 8]>,
    /// Names of the client's own restriction headers, in any mode.
    pub(crate) stripped: SmallVec<[Span; 4]>,
    pub(crate) content_length: Option<u64>,
    pub(crate) is_chunked: bool,
    pub(crate) te: Offer,
    pub(crate) upgrade: Offer,
    /// What the client says to the proxy of itself.
    pub(crate) credentials: Credentials,
    /// `Expect: 100-continue`: the body may wait for the origin's word.
    pub(crate) expects_continue: bool,
    has_host: bool,
}

pub(crate) type Span = (usize, usize);

/// `Proxy-Authorization` in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Credentials {
    /// The place of its value.
    Field(Span),
    #[default]
    None,
    /// More than one: nobody knows which is meant.
    Several,
}

/// A line that may have to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) class: CutClass,
}

/// When a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutClass {
    /// In any case.
    Always,
    /// When restriction headers are the appliance's to set.
    Restriction,
    /// When the `Connection` fields are put anew.
    Connection,
    /// When no transfer coding is offered.
    Te,
    /// When the request asks for no upgrade that may happen.
    Upgrade,
}

/// How often a field stands there that counts only once, and with one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Offer {
    #[default]
    Absent,
    /// Once, with the value that may go on.
    Plain,
    Other,
}

impl RequestHead {
    /// Goes on reading; `input` begins with the head and holds all of it that has come. The head's length once it is whole.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        origin: &Origin,
        edit: Option<&HeaderEdit>,
    ) -> Result<Option<usize>, EditFault> {
        loop {
            // Nearly always the next line is there and right; else, what is wrong with it, or that it is not whole yet, comes
            // out below. A line that was searched in vain before is not looked at twice.
            if self.at > self.searched
                && let Some((field, length)) = line::whole_field(input.get(self.at..).unwrap_or_default())
            {
                self.check_bounds(self.at + length)?;
                let start = self.at;
                self.at += length + 1;
                self.count_field()?;
                self.judge(field, start, origin, edit)?;
                continue;
            }
            let end = line::line_feed(input, self.at, &mut self.searched);
            if self.at == 0 {
                request_line::check_method_begun(input.get(..end.unwrap_or(input.len())).unwrap_or_default())?;
            }
            self.check_bounds(end.unwrap_or(input.len()))?;
            let Some(end) = end else {
                return Ok(None);
            };
            let line = input.get(self.at..end).unwrap_or_default();
            let start = core::mem::replace(&mut self.at, end + 1);
            if start == 0 {
                self.read_request_line(line, origin)?;
            } else if line == b"\r" {
                return self.check_whole().map(|()| Some(self.at));
            } else {
                self.count_field()?;
                self.judge(line::field(line)?, start, origin, edit)?;
            }
        }
    }

    /// Whether nothing of a head was read yet.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.at == 0 && self.searched == 0
    }

    /// Refuses the bound that comes first when the current line reaches to `reached` at least.
    fn check_bounds(&self, reached: usize) -> Result<(), EditFault> {
        let field_end_max = if self.at == 0 { usize::MAX } else { self.at + HTTP1_FIELD_BYTES_MAX };
        if reached <= field_end_max.min(HTTP1_HEAD_BYTES_MAX) {
            Ok(())
        } else if field_end_max < HTTP1_HEAD_BYTES_MAX {
            Err(EditFault::FieldTooLong)
        } else {
            Err(EditFault::HeadTooLong)
        }
    }

    fn read_request_line(&mut self, line: &[u8], origin: &Origin) -> Result<(), EditFault> {
        let read = RequestLine::read(line)?;
        self.method = request_line::method(read.method)?;
        let path = read.path(origin)?;
        let target_start = read.method.len() + 1;
        self.target_start = target_start;
        self.path = (target_start + path.start, target_start + path.end);
        self.version = read.version;
        self.fields_start = self.at;
        Ok(())
    }

    const fn count_field(&mut self) -> Result<(), EditFault> {
        self.field_count += 1;
        if self.field_count > HTTP1_FIELDS_MAX { Err(EditFault::TooManyFields) } else { Ok(()) }
    }

    /// Takes note of a field whose line begins at `start` and ends where the next one begins.
    fn judge(
        &mut self,
        field: Field<'_>,
        start: usize,
        origin: &Origin,
        edit: Option<&HeaderEdit>,
    ) -> Result<(), EditFault> {
        let name_span = (start, start + field.name.len());
        match Known::of(field.name) {
            Some(Known::Connection) => {
                self.cut(start, CutClass::Connection);
                return self.options.add(field.value, name_span.1 + 1);
            }
            Some(Known::ContentLength) => return self.read_content_length(field.value),
            Some(Known::Expect) => {
                check_expect(field.value)?;
                self.expects_continue = true;
            }
            Some(Known::Host) => return self.read_host(field.value, origin),
            Some(Known::Hop) => self.cut(start, CutClass::Always),
            Some(Known::ProxyAuthorization) => {
                let value = (name_span.1 + 1, name_span.1 + 1 + field.value.len());
                self.credentials = if self.credentials == Credentials::None {
                    Credentials::Field(value)
                } else {
                    Credentials::Several
                };
                self.cut(start, CutClass::Always);
            }
            Some(Known::Te) => {
                self.te = self.te.and(token::is_name(token::trim(field.value), b"trailers"));
                self.cut(start, CutClass::Te);
            }
            Some(Known::TransferEncoding) => return self.read_transfer_encoding(field.value),
            Some(Known::Twin) => return Err(EditFault::FieldTwin),
            Some(Known::Upgrade) => {
                self.upgrade = self.upgrade.and(token::is_name(token::trim(field.value), b"websocket"));
                self.cut(start, CutClass::Upgrade);
            }
            Some(Known::UserAgent) => self.agent = Some((name_span.1 + 1, name_span.1 + 1 + field.value.len())),
            None if edit.is_some_and(|edit| edit.connector_of(field.name).is_some()) => {
                self.stripped.push(name_span);
                self.cut(start, CutClass::Restriction);
            }
            None => {}
        }
        Ok(())
    }

    fn cut(&mut self, start: usize, class: CutClass) {
        self.cuts.push(Cut { start, end: self.at, class });
    }

    /// `Content-Length` in the one form that every reader reads alike (RFC 9110 section 8.6, RFC 9112 section 6.3).
    fn read_content_length(&mut self, value: &[u8]) -> Result<(), EditFault> {
        if self.content_length.is_some() {
            return Err(EditFault::ContentLengthTwice);
        }
        let digits = value.strip_prefix(b" ").unwrap_or(value);
        self.content_length = Some(token::plain_length(digits).ok_or(EditFault::ContentLengthMalformed)?);
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8]) -> Result<(), EditFault> {
        let coding = value.strip_prefix(b" ").unwrap_or(value);
        if coding != b"chunked" || self.is_chunked {
            return Err(EditFault::TransferEncodingUnknown);
        }
        self.is_chunked = true;
        Ok(())
    }

    fn read_host(&mut self, value: &[u8], origin: &Origin) -> Result<(), EditFault> {
        if self.has_host {
            return Err(EditFault::HostTwice);
        }
        self.has_host = true;
        match origin.compare(token::trim(value)) {
            Agreement::Same => Ok(()),
            Agreement::Other if origin.scheme() == Scheme::Http => Err(EditFault::HostDisagrees),
            Agreement::Other => Err(EditFault::HostWrong),
            Agreement::Malformed => Err(EditFault::HostMalformed),
        }
    }

    /// What only the whole head can tell.
    fn check_whole(&self) -> Result<(), EditFault> {
        if !self.has_host {
            return Err(EditFault::HostMissing);
        }
        if self.is_chunked && self.content_length.is_some() {
            return Err(EditFault::LengthAndEncoding);
        }
        if self.is_chunked && self.version == Version::Http10 {
            return Err(EditFault::TransferEncodingHttp10);
        }
        Ok(())
    }
}

impl Offer {
    const fn and(self, is_plain: bool) -> Self {
        match (self, is_plain) {
            (Self::Absent, true) => Self::Plain,
            _ => Self::Other,
        }
    }
}

impl From<FieldReject> for EditFault {
    fn from(reject: FieldReject) -> Self {
        match reject {
            FieldReject::Folded => Self::FieldFolded,
            FieldReject::LineEnd => Self::BareLineFeed,
            FieldReject::Name => Self::FieldNameMalformed,
            FieldReject::Value => Self::FieldValueMalformed,
        }
    }
}

/// Fields that the appliance must understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Connection,
    ContentLength,
    Expect,
    /// Between the inside host and this proxy, or about an upgrade or trailers that do not go on.
    Hop,
    Host,
    ProxyAuthorization,
    Te,
    TransferEncoding,
    /// What a gateway may take for a framing field.
    Twin,
    Upgrade,
    UserAgent,
}

impl Known {
    fn of(name: &[u8]) -> Option<Self> {
        let is = |lower: &[u8], known| token::is_name(name, lower).then_some(known);
        match name.len() {
            2 => is(b"te", Self::Te),
            4 => is(b"host", Self::Host),
            6 => is(b"expect", Self::Expect),
            7 => is(b"upgrade", Self::Upgrade).or_else(|| is(b"trailer", Self::Hop)),
            10 => is(b"user-agent", Self::UserAgent).or_else(|| is(b"connection", Self::Connection)),
            14 if token::folds_to(name, b"content-length") => {
                is(b"content-length", Self::ContentLength).or(Some(Self::Twin))
            }
            14 => token::folds_to(name, b"http2-settings").then_some(Self::Hop),
            17 if token::folds_to(name, b"transfer-encoding") => {
                is(b"transfer-encoding", Self::TransferEncoding).or(Some(Self::Twin))
            }
            19 => is(b"proxy-authorization", Self::ProxyAuthorization),
            _ => None,
        }
        .or_else(|| name.get(..PROXY.len()).is_some_and(|start| token::folds_to(start, PROXY)).then_some(Self::Hop))
    }
}

/// How the fields begin that are between a client and its proxy.
const PROXY: &[u8] = b"proxy-";

fn check_expect(value: &[u8]) -> Result<(), EditFault> {
    if token::is_name(token::trim(value), b"100-continue") { Ok(()) } else { Err(EditFault::ExpectUnknown) }
}
