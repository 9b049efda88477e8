//! What an operator may write for a connector's field, and how it is written to the vendor.
//!
//! Every kind of value has its alphabet, so nothing that could end a header line or start another value gets through;
//! lists are written with commas and without spaces, which all vendors take and some demand.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use super::header_name::{STRIP_NAME_BYTES_MAX, fold_equal};
use super::suffix::is_public_suffix;
use super::{FieldKind, StripNames, invented_header};
use crate::sni::Sni;

/// The tenant of Microsoft's consumer accounts.
pub const MICROSOFT_CONSUMER_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The tenant that lets consumer accounts through Entra applications.
pub const MICROSOFT_PASSTHROUGH_TENANT: &str = "f8cdef31-a31e-4b4a-93e4-5f571e91255a";

/// Longest id of a kind whose length the vendor does not document.
const ID_BYTES_MAX: usize = 128;

/// Headers that decide where a message goes or ends; setting one of them would break every request.
const RESERVED_HEADERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// Why a value is refused, as the second half of a sentence, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueReject {
    /// For instance "is no GUID".
    pub reason: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

impl ValueReject {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Checks one value and brings it into the form in which it is sent.
///
/// # Errors
///
/// When the vendor would not understand the value, or would understand something else.
pub fn canonical(kind: FieldKind, text: &str) -> Result<String, ValueReject> {
    if text.chars().any(char::is_control) {
        return Err(ValueReject::new("holds a control character, with which a value could forge a header"));
    }
    if text.is_empty() {
        return Err(ValueReject::new("is empty"));
    }
    if text.trim() != text {
        return Err(ValueReject::new("begins or ends with a space").help(format!("{:?}", text.trim())));
    }
    match kind {
        FieldKind::Choice(words) => choice(words, text),
        FieldKind::Directory => directory(text),
        FieldKind::Domain => domain(text),
        FieldKind::GoogleAudience => google_audience(text),
        FieldKind::Guid => guid(text),
        FieldKind::HeaderName => header_name(text),
        FieldKind::Number => id(text, "a number", |byte| byte.is_ascii_digit()),
        FieldKind::OpenaiOrganization => openai_organization(text),
        FieldKind::SlackTeam => slack_team(text),
        FieldKind::Tenant => tenant(text),
        FieldKind::Text => visible_text(text),
        FieldKind::Token => {
            id(text, "an id", |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        }
    }
}

fn choice(words: &[&str], text: &str) -> Result<String, ValueReject> {
    if words.contains(&text) {
        return Ok(text.to_owned());
    }
    let reject = ValueReject::new(format!("is none of {}", words.join(", ")));
    match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
        Some(word) => Err(reject.help(format!("write {word:?}"))),
        None => Err(reject),
    }
}

/// RFC 9562 section 4: 8-4-4-4-12 hexadecimal digits.
fn guid(text: &str) -> Result<String, ValueReject> {
    let bare = text.trim_start_matches('{').trim_end_matches('}');
    let groups = bare.split('-').map(str::len);
    let is_guid = groups.eq([8, 4, 4, 4, 12]) && bare.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let lower = bare.to_ascii_lowercase();
    match (is_guid, bare.len() == text.len()) {
        (true, true) if text.bytes().all(|byte| matches!(byte, b'0' | b'-')) => {
            Err(ValueReject::new("is the empty GUID, a placeholder"))
        }
        (true, true) => Ok(lower),
        (true, false) => Err(ValueReject::new("has braces around its GUID").help(format!("{lower:?}"))),
        (false, _) => Err(ValueReject::new("is no GUID").help(one_per_element(text).unwrap_or_else(|| {
            "write it as 8-4-4-4-12 hexadecimal digits, e.g. \"11111111-2222-3333-4444-555555555555\"".to_owned()
        }))),
    }
}

fn directory(text: &str) -> Result<String, ValueReject> {
    if text.contains('.') {
        return Err(ValueReject::new("is a domain, and Microsoft takes exactly one directory id (GUID) here")
            .help("the directory id stands in the Entra admin center under Overview"));
    }
    match guid(text)?.as_str() {
        MICROSOFT_CONSUMER_TENANT => Err(ValueReject::new("is the tenant of all consumer accounts, not yours")),
        MICROSOFT_PASSTHROUGH_TENANT => Err(ValueReject::new("is Microsoft's passthrough tenant, not yours")),
        own => Ok(own.to_owned()),
    }
}

fn domain(text: &str) -> Result<String, ValueReject> {
    if let Some((_, after)) = text.rsplit_once('@') {
        return Err(ValueReject::new("is an address").help(format!("write the domain alone: {after:?}")));
    }
    if let Some(rest) = text.strip_prefix("*.") {
        return Err(ValueReject::new("has a wildcard, which no vendor takes").help(format!("write {rest:?}")));
    }
    if let Some(rest) = text.strip_suffix('.') {
        return Err(ValueReject::new("ends in a dot").help(format!("write {rest:?}")));
    }
    let Ok(name) = Sni::parse(text.as_bytes()) else {
        let reject = ValueReject::new("is no domain");
        return Err(match one_per_element(text) {
            Some(help) => reject.help(help),
            None if !text.is_ascii() => reject.help("write it in its ASCII form, as xn--..."),
            None => reject,
        });
    };
    match name.as_str() {
        name if !name.contains('.') => {
            Err(ValueReject::new("is no domain").help("a domain has a dot: \"contoso.com\""))
        }
        name if is_public_suffix(name) => Err(ValueReject::new("is a public suffix, below which anybody may register")),
        name => Ok(name.to_owned()),
    }
}

fn tenant(text: &str) -> Result<String, ValueReject> {
    if text.contains('.') || text.contains('@') {
        return domain(text);
    }
    guid(text).map_err(|reject| match reject.reason.as_str() {
        "is no GUID" => ValueReject::new("is neither a domain nor a directory id (GUID)")
            .help("write a registered domain, a name under onmicrosoft.com, or the directory id"),
        _ => reject,
    })
}

/// Google's words for classes of accounts stand beside domains.
fn google_audience(text: &str) -> Result<String, ValueReject> {
    match text {
        "consumer_accounts" | "visitor_accounts" | "gserviceaccounts.com" => Ok(text.to_owned()),
        _ => domain(text),
    }
}

fn openai_organization(text: &str) -> Result<String, ValueReject> {
    let letters = text.strip_prefix("org-").unwrap_or_default();
    if letters.is_empty() {
        return Err(ValueReject::new("is no organization id").help("the id begins with org-: Settings > Organization"));
    }
    id(letters, "an organization id", |byte| byte.is_ascii_alphanumeric())?;
    Ok(text.to_owned())
}

fn slack_team(text: &str) -> Result<String, ValueReject> {
    let upper = text.to_ascii_uppercase();
    let is_id = |text: &str| text.len() >= 6 && text.starts_with(['T', 'E']);
    if !is_id(&upper) || !upper.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let help = one_per_element(text)
            .unwrap_or_else(|| "the id begins with T or E; a workspace's name is not one".to_owned());
        return Err(ValueReject::new("is no workspace or organization id").help(help));
    }
    if upper != text {
        return Err(ValueReject::new("has small letters").help(format!("write {upper:?}")));
    }
    id(text, "an id", |byte| byte.is_ascii_alphanumeric())
}

fn id(text: &str, what: &str, allowed: impl Fn(u8) -> bool) -> Result<String, ValueReject> {
    if text.len() > ID_BYTES_MAX {
        return Err(ValueReject::new(format!("is longer than {ID_BYTES_MAX} characters")));
    }
    match text.bytes().all(allowed) {
        true => Ok(text.to_owned()),
        false => Err(ValueReject { reason: format!("is not {what}"), help: one_per_element(text) }),
    }
}

fn visible_text(text: &str) -> Result<String, ValueReject> {
    match text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err(ValueReject::new("holds a character outside ASCII, which a header cannot carry")),
    }
}

/// A token (RFC 9110 section 5.6.2) that no other part of the product or the protocol owns.
fn header_name(text: &str) -> Result<String, ValueReject> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.bytes().all(is_token) {
        return Err(ValueReject::new("is no header name: a name is letters, digits and hyphens"));
    }
    if text.len() > STRIP_NAME_BYTES_MAX {
        return Err(ValueReject::new(format!("is longer than {STRIP_NAME_BYTES_MAX} characters")));
    }
    // Some hops read `_` and `.` as `-`, so a twin is as good as the name.
    if RESERVED_HEADERS.iter().any(|reserved| fold_equal(reserved.as_bytes(), text.as_bytes())) {
        return Err(ValueReject::new("is a header of the protocol itself"));
    }
    if let Some(truth) = invented_header(text) {
        return Err(ValueReject::new(format!("is an invented header: {truth}")));
    }
    match StripNames::new([]).connectors_of(text.as_bytes()).first() {
        Some(owner) => {
            Err(ValueReject::new("belongs to another connector").help(format!("use connector {:?}", owner.label())))
        }
        None => Ok(text.to_owned()),
    }
}

fn one_per_element(text: &str) -> Option<String> {
    text.contains([',', ';', ' ']).then(|| "write each value as an element of its own".to_owned())
}
