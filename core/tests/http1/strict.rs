//! An independent reader of requests, as strict as an origin can be, and the header invariant over what it reads.
//!
//! Written without looking at the product's readers: it splits text, and panics at whatever is not the plainest HTTP/1.1.
#![allow(dead_code, reason = "each test file uses its part")]

/// A request as an origin sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// Values of the fields called `name`.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let same = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// What is behind the last whole request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    None,
    /// The beginning of a body.
    Body,
    /// The beginning of a head.
    Head,
}

/// Reads all requests of a connection.
pub(crate) fn requests(mut bytes: &[u8]) -> (Vec<Seen>, Tail) {
    let mut seen = vec![];
    loop {
        if bytes.is_empty() {
            return (seen, Tail::None);
        }
        let Some(end) = find(bytes, b"\r\n\r\n") else { return (seen, Tail::Head) };
        let mut request = head(&bytes[..end + 2]);
        check_by_httparse(&bytes[..end + 4], &request);
        let body_start = end + 4;
        let Some((body, bytes_taken)) = body(&request, &bytes[body_start..]) else {
            seen.push(request);
            return (seen, Tail::Body);
        };
        request.body = body;
        seen.push(request);
        bytes = &bytes[body_start + bytes_taken..];
    }
}

/// Reads a head that ends in its last line's CRLF.
fn head(bytes: &[u8]) -> Seen {
    let mut lines = vec![];
    for line in bytes.strip_suffix(b"\r\n").unwrap().split(|&byte| byte == b'\n') {
        lines.push(line.strip_suffix(b"\r").unwrap_or(line));
    }
    for line in &lines {
        assert!(!line.contains(&b'\r') && !line.contains(&0), "{:?}", String::from_utf8_lossy(line));
    }
    let first = std::str::from_utf8(lines[0]).unwrap();
    let words: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = words[..] else { panic!("{first:?}") };
    assert!(method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'), "{first:?}");
    assert!(["HTTP/1.1", "HTTP/1.0"].contains(&version), "{first:?}");
    let fields = lines[1..].iter().map(|line| field(line)).collect();
    Seen { method: method.into(), target: target.into(), version: version.into(), fields, body: vec![] }
}

fn field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|&byte| byte == b':').unwrap_or_else(|| panic!("{line:?}"));
    let name = std::str::from_utf8(&line[..colon]).unwrap();
    assert!(
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte))
    );
    (name.to_owned(), line[colon + 1..].trim_ascii().to_vec())
}

/// The body and how many bytes it took; `None` when it is not whole.
fn body(request: &Seen, rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (lengths, codings) = (request.values("Content-Length"), request.values("Transfer-Encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Some((vec![], 0)),
        ([length], []) => {
            let length: usize = length.parse().unwrap();
            rest.get(..length).map(|body| (body.to_vec(), length))
        }
        ([], [coding]) => {
            assert_eq!((coding.as_str(), request.version.as_str()), ("chunked", "HTTP/1.1"));
            chunks(rest)
        }
        _ => panic!("framed twice: {request:?}"),
    }
}

fn chunks(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (vec![], 0);
    loop {
        let line_end = at + find(&rest[at..], b"\r\n")?;
        let line = std::str::from_utf8(&rest[at..line_end]).unwrap();
        let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).unwrap();
        at = line_end + 2;
        if size == 0 {
            let last = rest.get(at..at + 2)?;
            assert_eq!(last, b"\r\n", "a trailer");
            return Some((body, at + 2));
        }
        body.extend_from_slice(rest.get(at..at.checked_add(size)?)?);
        at += size;
        let end = rest.get(at..at + 2)?;
        assert_eq!(end, b"\r\n");
        at += 2;
    }
}

/// A second opinion about the head.
fn check_by_httparse(bytes: &[u8], seen: &Seen) {
    let mut fields = [httparse::EMPTY_HEADER; 200];
    let mut request = httparse::Request::new(&mut fields);
    assert!(matches!(request.parse(bytes), Ok(httparse::Status::Complete(count)) if count == bytes.len()));
    assert_eq!((request.method, request.path), (Some(seen.method.as_str()), Some(seen.target.as_str())));
    let read = request.headers.iter().map(|field| (field.name.to_owned(), field.value.trim_ascii().to_vec()));
    assert!(read.eq(seen.fields.iter().cloned()));
}

/// The header invariant: each header of `set` exactly once with exactly its value, directly behind the request line; no other
/// restriction header in any disguise; nothing that asks a hop to drop one.
pub(crate) fn check_invariant(request: &Seen, set: &[(&str, &str)]) {
    let front: Vec<(&str, &[u8])> =
        request.fields.iter().take(set.len()).map(|(name, value)| (&name[..], &value[..])).collect();
    let wanted: Vec<(&str, &[u8])> = set.iter().map(|&(name, value)| (name, value.as_bytes())).collect();
    assert_eq!(front, wanted, "{request:?}");
    for (name, _) in &request.fields[set.len()..] {
        assert!(!is_restriction(name), "{name} in {request:?}");
        assert!(
            !["trailer", "http2-settings"].contains(&&folded(name)[..]) && !folded(name).starts_with("proxy-"),
            "{name}"
        );
    }
    for value in request.values("Connection") {
        for option in value.split(',') {
            let option = option.trim().to_ascii_lowercase();
            assert!(["", "close", "keep-alive", "te", "upgrade"].contains(&&option[..]), "{option} in {request:?}");
        }
    }
    for value in request.values("Upgrade") {
        assert!(value.eq_ignore_ascii_case("websocket"), "{request:?}");
    }
    assert_eq!(request.values("Host").len(), 1);
}

/// Written from the vendors' documents, not from the catalogue's tables.
pub(crate) const RESTRICTION_HEADERS: &[&str] = &[
    "restrict-access-to-tenants",
    "restrict-access-context",
    "sec-restrict-tenant-access-policy",
    "anthropic-allowed-org-ids",
    "chatgpt-allowed-workspace-id",
    "openai-allowed-organization-ids",
    "x-googapps-allowed-domains",
    "x-goog-allowed-resources",
    "x-geminicodeassist-allowed-domains",
    "youtube-restrict",
    "sec-github-allowed-enterprise",
    "x-slack-allowed-workspaces-requester",
    "x-slack-allowed-workspaces",
    "x-dropbox-allowed-team-ids",
    "ciscospark-allowed-domains",
    "asana-allowed-domains-requester-id",
    "asana-allowed-domain-ids",
    "x-notion-allowed-workspaces",
    "x-zoomapps-policy",
    "ibm-cloud-tenant",
    "x-dx-tenant",
];

fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

pub(crate) fn is_restriction(name: &str) -> bool {
    let name = folded(name);
    let stem = name.trim_end_matches(|character: char| character.is_ascii_digit());
    RESTRICTION_HEADERS.contains(&&name[..]) || stem == "anthropic-allowed-org-ids"
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
