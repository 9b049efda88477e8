//! The document as it was written: sections and values with their places, nothing yet checked against the catalogue.
//!
//! It is walked by hand rather than deserialised, because deserialising stops at the first thing that is wrong and the
//! operator should see all of them.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::FindingCode;
use super::findings::Findings;
use super::suggest::did_you_mean;

/// A value and the byte offset at which it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<T> {
    pub(super) at: usize,
    pub(super) value: T,
}

/// The document's sections, each in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Document<'doc> {
    pub(super) restrictions: Vec<Section<'doc>>,
    pub(super) profiles: Vec<Section<'doc>>,
    pub(super) assignments: Vec<Section<'doc>>,
    pub(super) engines: Vec<Section<'doc>>,
    pub(super) exclude: Option<Section<'doc>>,
    pub(super) deny: Option<Section<'doc>>,
    pub(super) defaults: Option<Section<'doc>>,
    pub(super) connects: Vec<Section<'doc>>,
    pub(super) pac: Option<Section<'doc>>,
    pub(super) plain_http: Option<Section<'doc>>,
    pub(super) ech: Option<Section<'doc>>,
    pub(super) evasion: Option<Section<'doc>>,
    pub(super) bypasses: Vec<Section<'doc>>,
    pub(super) sites: Vec<Section<'doc>>,
    pub(super) users: Vec<Section<'doc>>,
    pub(super) exceptions: Vec<Section<'doc>>,
}

/// One table of the document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'doc> {
    /// Where it begins.
    pub(super) at: usize,
    /// What it is called in messages: `[[restriction]]`.
    title: &'static str,
    table: &'doc DeTable<'doc>,
    /// The whole document.
    source: &'doc str,
}

const SECTIONS: [&str; 16] = [
    "restriction",
    "profile",
    "assignment",
    "engine",
    "exclude",
    "deny",
    "defaults",
    "connect",
    "pac",
    "plain_http",
    "ech",
    "evasion",
    "bypass",
    "site",
    "user",
    "exception",
];

impl<'doc> Document<'doc> {
    /// Sorts the top-level keys of `root`, which was read from `text`, into sections.
    pub(super) fn read(text: &'doc str, root: &'doc DeTable<'doc>, findings: &mut Findings) -> Self {
        let mut document = Self::default();
        let sections = |at, title, value, findings: &mut Findings| sections(text, at, title, value, findings);
        let section = |at, title, value, findings: &mut Findings| section(text, at, title, value, findings);
        for (key, value) in root {
            let at = key.span().start;
            match key.get_ref().as_ref() {
                "restriction" => document.restrictions = sections(at, "[[restriction]]", value, findings),
                "profile" => document.profiles = sections(at, "[[profile]]", value, findings),
                "assignment" => document.assignments = sections(at, "[[assignment]]", value, findings),
                "engine" => document.engines = sections(at, "[[engine]]", value, findings),
                "exclude" => document.exclude = section(at, "[exclude]", value, findings),
                "deny" => document.deny = section(at, "[deny]", value, findings),
                "ech" => document.ech = section(at, "[ech]", value, findings),
                "evasion" => document.evasion = section(at, "[evasion]", value, findings),
                "bypass" => document.bypasses = sections(at, "[[bypass]]", value, findings),
                "site" => document.sites = sections(at, "[[site]]", value, findings),
                "user" => document.users = sections(at, "[[user]]", value, findings),
                "exception" => document.exceptions = sections(at, "[[exception]]", value, findings),
                "defaults" => document.defaults = section(at, "[defaults]", value, findings),
                "connect" => document.connects = sections(at, "[[connect]]", value, findings),
                "pac" => document.pac = section(at, "[pac]", value, findings),
                "plain_http" => document.plain_http = section(at, "[plain_http]", value, findings),
                other => findings
                    .error(at, format!("unknown section \"{other}\""))
                    .code(FindingCode::Unknown)
                    .help_if(did_you_mean(other, SECTIONS)),
            }
        }
        document
    }
}

impl<'doc> Section<'doc> {
    pub(super) const fn title(&self) -> &'static str {
        self.title
    }

    /// Reports each key that is not among `known`. `whose` says who knows them.
    pub(super) fn refuse_unknown_keys(&self, known: &[&str], whose: &str, findings: &mut Findings) {
        for key in self.table.keys() {
            let word = key.get_ref().as_ref();
            if !known.contains(&word) {
                let list = known.join(", ");
                findings
                    .error(key.span().start, format!("{whose} has no key \"{word}\""))
                    .code(FindingCode::Unknown)
                    .help(did_you_mean(word, known.iter().copied()).unwrap_or_else(|| format!("it has {list}")));
            }
        }
    }

    /// A key that must be there.
    pub(super) fn required_string(&self, key: &str, findings: &mut Findings) -> Option<Placed<&'doc str>> {
        if self.find(key).is_none() {
            findings.error(self.at, format!("{} has no \"{key}\"", self.title));
        }
        self.string(key, findings)
    }

    pub(super) fn string(&self, key: &str, findings: &mut Findings) -> Option<Placed<&'doc str>> {
        let value = self.find(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(key, "a string", value, findings);
        }
        text.map(|text| Placed { at: value.span().start, value: text })
    }

    pub(super) fn boolean(&self, key: &str, findings: &mut Findings) -> Option<bool> {
        let value = self.find(key)?;
        let word = value.get_ref().as_bool();
        if word.is_none() {
            self.wrong_type(key, "true or false", value, findings);
        }
        word
    }

    /// A whole number, whatever its size or base; `what` says what it should be.
    pub(super) fn integer(&self, key: &str, what: &str, findings: &mut Findings) -> Option<Placed<i64>> {
        let value = self.find(key)?;
        let number = integer(value);
        if number.is_none() {
            self.wrong_type(key, what, value, findings);
        }
        number
    }

    pub(super) fn integers(&self, key: &str, what: &str, findings: &mut Findings) -> Option<Vec<Placed<i64>>> {
        let elements = self.elements(key, what, findings)?;
        let read = |value| integer(value).or_else(|| self.wrong_element(key, what, value, findings));
        Some(elements.iter().filter_map(read).collect())
    }

    /// A moment as TOML or as a string writes it.
    pub(super) fn moment(&self, key: &str, findings: &mut Findings) -> Option<Placed<&'doc str>> {
        let value = self.find(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(_) => self.source.get(value.span()),
            other => other.as_str(),
        };
        if text.is_none() {
            self.wrong_type(key, "a date, or a date and time", value, findings);
        }
        text.map(|text| Placed { at: value.span().start, value: text })
    }

    /// An array of strings; what is none of them is reported and left out.
    pub(super) fn strings(&self, key: &str, findings: &mut Findings) -> Option<Placed<Vec<Placed<&'doc str>>>> {
        let elements = self.elements(key, "strings", findings)?;
        let at = self.find(key)?.span().start;
        let read = |value: &'doc Spanned<DeValue<'doc>>| match value.get_ref().as_str() {
            Some(text) => Some(Placed { at: value.span().start, value: text }),
            None => self.wrong_element(key, "strings", value, findings),
        };
        Some(Placed { at, value: elements.iter().filter_map(read).collect() })
    }

    /// The tables of an array of tables within this one.
    pub(super) fn tables(&self, key: &str, title: &'static str, findings: &mut Findings) -> Vec<Self> {
        self.find(key)
            .map(|value| sections(self.source, value.span().start, title, value, findings))
            .unwrap_or_default()
    }

    /// Where the value of `key` stands; where the section does when there is none.
    pub(super) fn at_of(&self, key: &str) -> usize {
        self.find(key).map_or(self.at, |value| value.span().start)
    }

    /// Where a key and its value stand.
    pub(super) fn span(&self, key: &str) -> Option<(Range<usize>, Range<usize>)> {
        let (found, value) = self.table.iter().find(|(known, _)| known.get_ref().as_ref() == key)?;
        Some((found.span(), value.span()))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn find(&self, key: &str) -> Option<&'doc Spanned<DeValue<'doc>>> {
        self.table.iter().find(|(known, _)| known.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    fn elements(&self, key: &str, of: &str, findings: &mut Findings) -> Option<&'doc [Spanned<DeValue<'doc>>]> {
        let value = self.find(key)?;
        let DeValue::Array(elements) = value.get_ref() else {
            let kind = described(value);
            let finding = findings.error(value.span().start, format!("\"{key}\" must be an array of {of}, not {kind}"));
            if let Some(text) = value.get_ref().as_str() {
                finding.help(format!("{key} = [{text:?}]"));
            }
            return None;
        };
        Some(elements)
    }

    fn wrong_type(&self, key: &str, what: &str, value: &Spanned<DeValue<'_>>, findings: &mut Findings) {
        let kind = described(value);
        findings.error(value.span().start, format!("\"{key}\" of {} must be {what}, not {kind}", self.title));
    }

    /// Always `None`, so that a reader of elements can end in it.
    fn wrong_element<T>(
        &self,
        key: &str,
        of: &str,
        value: &Spanned<DeValue<'_>>,
        findings: &mut Findings,
    ) -> Option<T> {
        let kind = described(value);
        findings.error(value.span().start, format!("\"{key}\" of {} holds {of}; this is {kind}", self.title));
        None
    }
}

/// The kind of a value, with its article.
fn described(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn integer(value: &Spanned<DeValue<'_>>) -> Option<Placed<i64>> {
    let number = value.get_ref().as_integer()?;
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    Some(Placed { at: value.span().start, value: number })
}

/// The tables of an array of tables.
fn sections<'doc>(
    source: &'doc str,
    at: usize,
    title: &'static str,
    value: &'doc Spanned<DeValue<'doc>>,
    findings: &mut Findings,
) -> Vec<Section<'doc>> {
    let DeValue::Array(elements) = value.get_ref() else {
        findings.error(at, format!("must be written as {title}, once for each"));
        return Vec::new();
    };
    elements.iter().filter_map(|element| section(source, element.span().start, title, element, findings)).collect()
}

fn section<'doc>(
    source: &'doc str,
    at: usize,
    title: &'static str,
    value: &'doc Spanned<DeValue<'doc>>,
    findings: &mut Findings,
) -> Option<Section<'doc>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        findings.error(at, format!("must be a table: {title}"));
    }
    table.map(|table| Section { at, title, table, source })
}
