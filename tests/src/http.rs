//! A strict reader of HTTP/1.1 messages for both ends of a test. Anything that two readers could take differently is
//! an error here: the appliance must never let it out.

/// One request as an upstream saw it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET /path HTTP/1.1`, or `HTTP/2`
    pub line: String,
    /// Names and values as written, in order; over HTTP/2 `:authority` stands first, and copies of a name together.
    pub fields: Vec<(String, String)>,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
}

/// One answer as a client saw it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names and values as written, in order.
    pub fields: Vec<(String, String)>,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(String, String)>,
}

/// How far a message has come.
#[derive(Debug)]
pub enum Progress<T> {
    /// It is whole; so many bytes belong to it.
    Whole(T, usize),
    /// More bytes are needed.
    More,
}

/// Why bytes are no message.
pub type Broken = String;

impl Request {
    /// Every value of a field, by name without regard to case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        values(&self.fields, name)
    }

    /// Method, the first word of the line.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap_or("")
    }

    /// Target, the second word of the line.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or("")
    }
}

impl Answer {
    /// The first value of a field, by name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Reads one whole request from the front of `input`.
pub fn request(input: &[u8]) -> Result<Progress<Request>, Broken> {
    let (mut request, head_bytes) = match request_head(input)? {
        Progress::Whole(request, bytes) => (request, bytes),
        Progress::More => return Ok(Progress::More),
    };
    let coding: Vec<&str> = request.values("transfer-encoding").collect();
    let lengths: Vec<&str> = request.values("content-length").collect();
    let rest = &input[head_bytes..];
    let chunked = match (coding.as_slice(), lengths.as_slice()) {
        ([], []) => return Ok(Progress::Whole(request, head_bytes)),
        ([], [length]) => {
            let length = decimal(length)?;
            if rest.len() < length {
                return Ok(Progress::More);
            }
            rest[..length].clone_into(&mut request.body);
            return Ok(Progress::Whole(request, head_bytes + length));
        }
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => chunked(rest)?,
        _ => return Err(format!("ambiguous framing: {coding:?} {lengths:?}")),
    };
    let Progress::Whole((body, trailers), bytes) = chunked else { return Ok(Progress::More) };
    request.body = body;
    request.trailers = trailers;
    Ok(Progress::Whole(request, head_bytes + bytes))
}

/// Reads the head of a request.
pub fn request_head(input: &[u8]) -> Result<Progress<Request>, Broken> {
    let Some((line, fields, bytes)) = head(input)? else { return Ok(Progress::More) };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words.as_slice() else { return Err(format!("request line {line:?}")) };
    if method.is_empty() || !method.bytes().all(is_token) || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("request line {line:?}"));
    }
    Ok(Progress::Whole(Request { line, fields, ..Request::default() }, bytes))
}

/// Reads the head of an answer, which must be all of `input`.
pub fn answer_head(input: &[u8]) -> Result<Answer, Broken> {
    match head(input)? {
        Some((line, fields, bytes)) if bytes == input.len() => {
            Ok(Answer { status: status(&line)?, fields, ..Answer::default() })
        }
        _ => Err(format!("not one head: {:?}", String::from_utf8_lossy(input))),
    }
}

/// Reads one whole answer from the front of `input`; `to_head` says that it answers a HEAD, `ended` that the peer closed.
pub fn answer(input: &[u8], to_head: bool, ended: bool) -> Result<Progress<Answer>, Broken> {
    let Some((line, fields, head_bytes)) = head(input)? else { return Ok(Progress::More) };
    let mut answer = Answer { status: status(&line)?, fields, ..Answer::default() };
    let rest = &input[head_bytes..];
    if to_head || matches!(answer.status, 100..200 | 204 | 304) {
        return Ok(Progress::Whole(answer, head_bytes));
    }
    if answer.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        let Progress::Whole((body, trailers), bytes) = chunked(rest)? else { return Ok(Progress::More) };
        (answer.body, answer.trailers) = (body, trailers);
        return Ok(Progress::Whole(answer, head_bytes + bytes));
    }
    let length = match answer.header("content-length") {
        Some(length) => decimal(length)?,
        None if ended => rest.len(),
        None => return Ok(Progress::More),
    };
    if rest.len() < length {
        return Ok(Progress::More);
    }
    rest[..length].clone_into(&mut answer.body);
    Ok(Progress::Whole(answer, head_bytes + length))
}

/// A start line, fields, and how many bytes they took.
type Head = (String, Vec<(String, String)>, usize);

fn head(input: &[u8]) -> Result<Option<Head>, Broken> {
    let mut lines = Lines { input, at: 0 };
    let Some(start) = lines.next_line()? else { return Ok(None) };
    let Some(fields) = lines.fields()? else { return Ok(None) };
    Ok(Some((start, fields, lines.at)))
}

/// A decoded body and its trailer fields.
type Chunked = (Vec<u8>, Vec<(String, String)>);

fn chunked(input: &[u8]) -> Result<Progress<Chunked>, Broken> {
    let mut body = Vec::new();
    let mut lines = Lines { input, at: 0 };
    loop {
        let Some(line) = lines.next_line()? else { return Ok(Progress::More) };
        let digits = line.split(';').next().unwrap_or("");
        if digits.is_empty() || digits.len() > 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("chunk line {line:?}"));
        }
        let size = usize::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        if size == 0 {
            let Some(trailers) = lines.fields()? else { return Ok(Progress::More) };
            return Ok(Progress::Whole((body, trailers), lines.at));
        }
        let Some(data) = input.get(lines.at..lines.at + size + 2) else { return Ok(Progress::More) };
        let (data, end) = data.split_at(size);
        if end != b"\r\n" {
            return Err(format!("chunk ends in {end:?}"));
        }
        body.extend_from_slice(data);
        lines.at += size + 2;
    }
}

struct Lines<'a> {
    input: &'a [u8],
    at: usize,
}

impl Lines<'_> {
    /// The next line without its CRLF; a bare CR or LF, a control or an 8-bit byte in it is an error.
    fn next_line(&mut self) -> Result<Option<String>, Broken> {
        let rest = &self.input[self.at..];
        let Some(feed) = rest.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let Some(line) = rest[..feed].strip_suffix(b"\r") else {
            return Err(format!("bare LF after {:?}", String::from_utf8_lossy(&rest[..feed])));
        };
        if let Some(byte) = line.iter().find(|&&byte| !(byte == b'\t' || (0x20..0x7f).contains(&byte) || byte >= 0x80))
        {
            return Err(format!("byte {byte:#04x} in {:?}", String::from_utf8_lossy(line)));
        }
        self.at += feed + 1;
        Ok(Some(String::from_utf8_lossy(line).into_owned()))
    }

    /// Fields up to and with the empty line.
    fn fields(&mut self) -> Result<Option<Vec<(String, String)>>, Broken> {
        let mut fields = Vec::new();
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            if line.is_empty() {
                return Ok(Some(fields));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err(format!("field name {name:?}"));
            }
            fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }
}

fn values<'a>(fields: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn status(line: &str) -> Result<u16, Broken> {
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["HTTP/1.1" | "HTTP/1.0", code, ..] if code.len() == 3 => {
            code.parse().map_err(|_| format!("status line {line:?}"))
        }
        _ => Err(format!("status line {line:?}")),
    }
}

fn decimal(text: &str) -> Result<usize, Broken> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("length {text:?}"));
    }
    text.parse().map_err(|_| format!("length {text:?}"))
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_only_at_its_last_byte() {
        let bytes = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n";
        for end in 0..bytes.len() {
            assert!(matches!(request(&bytes[..end]), Ok(Progress::More)), "{end}");
        }
        let Ok(Progress::Whole(request, consumed)) = request(bytes) else { panic!() };
        assert_eq!((consumed, request.body.as_slice(), request.trailers.len()), (bytes.len(), &b"abc"[..], 1));
        assert_eq!((request.method(), request.target()), ("POST", "/a"));
    }

    #[test]
    fn what_two_readers_could_take_differently_is_broken() {
        for bytes in [
            &b"GET / HTTP/1.1\nHost: h\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        ] {
            assert!(request(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
