//! Reads llhttp's literate test cases: a heading, a comment with the kind of test, the bytes, and the parser's log.

use super::corpora;

/// One case.
#[derive(Clone)]
pub(crate) struct Case {
    /// Its file, without folder and extension.
    pub(crate) file: String,
    pub(crate) name: String,
    /// The kind of test: `request`, `response-lenient-all`.
    pub(crate) kind: String,
    pub(crate) input: Vec<u8>,
    /// llhttp refuses it.
    pub(crate) is_error: bool,
}

impl Case {
    /// llhttp was told to tolerate what it would refuse.
    pub(crate) fn is_lenient(&self) -> bool {
        self.kind.contains("lenient")
    }
}

/// The cases of all files in a folder of the corpora, by file name.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let Some(folder) = corpora::file(folder) else { return vec![] };
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let file_cases = |path: &std::path::PathBuf| {
        let file = path.file_stem().unwrap().to_str().unwrap();
        read(file, &std::fs::read_to_string(path).unwrap())
    };
    paths.iter().flat_map(file_cases).collect()
}

fn read(file: &str, text: &str) -> Vec<Case> {
    let (mut name, mut kind, mut cases) = ("", "", vec![]);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("##") {
            name = line.trim_start_matches('#').trim();
        } else if line.starts_with("<!-- meta=") {
            kind = line.split("\"type\":").nth(1).unwrap().split('"').nth(1).unwrap();
        } else if line == "```http" {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let (file, name, kind) = (file.to_owned(), name.to_owned(), kind.to_owned());
            cases.push(Case { file, name, kind, input: unescape(&block.join("\n")), is_error: false });
        } else if line == "```log" {
            let is_error = lines.by_ref().take_while(|line| *line != "```").any(|line| line.contains(" error code="));
            cases.last_mut().unwrap().is_error = is_error;
        }
    }
    cases
}

/// The bytes of a block: line ends are CRLF, a backslash at the end of a line takes it away, and `\r`, `\n`, `\t`, `\f` and up to
/// three octal digits stand for bytes.
fn unescape(block: &str) -> Vec<u8> {
    let block = block.replace("\\\n", "").replace('\n', "\r\n");
    let mut bytes = block.bytes().peekable();
    let mut input = vec![];
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.peek().copied() } else { None };
        let plain = match escaped {
            Some(b'r') => Some(b'\r'),
            Some(b'n') => Some(b'\n'),
            Some(b't') => Some(b'\t'),
            Some(b'f') => Some(b'\x0c'),
            _ => None,
        };
        if let Some(plain) = plain {
            bytes.next();
            input.push(plain);
        } else if escaped.is_some_and(|digit| (b'0'..b'8').contains(&digit)) {
            let digits = std::iter::from_fn(|| bytes.next_if(|digit| (b'0'..b'8').contains(digit)));
            input.push(digits.take(3).fold(0, |value, digit| value * 8 + (digit - b'0')));
        } else {
            input.push(byte);
        }
    }
    input
}
