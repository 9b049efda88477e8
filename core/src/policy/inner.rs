//! Host rules with wildcards inside (`login-*.example.com`), which no hash of labels can find.
//!
//! The longest literal piece of each rule goes into one automaton; a name that holds none of the pieces, as nearly all
//! do, is done after one pass, and a rule whose piece is there is verified label by label.

use alloc::vec::Vec;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::index::HostMarks;
use super::pattern::HostPattern;

/// The rules and their automaton.
#[derive(Debug, Default)]
pub(super) struct InnerPatterns {
    rules: Vec<(HostPattern, HostMarks)>,
    /// Patterns in the order of `rules`; `None` when there are no rules, or more than it can hold.
    pieces: Option<AhoCorasick>,
}

impl InnerPatterns {
    /// Builds the automaton of `rules`.
    pub(super) fn new(rules: Vec<(HostPattern, HostMarks)>) -> Self {
        if rules.is_empty() {
            return Self::default();
        }
        let pieces = rules.iter().map(|(pattern, _)| longest_piece(pattern.name()));
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        let pieces = AhoCorasick::builder().match_kind(MatchKind::Standard).kind(kind).build(pieces).ok();
        Self { rules, pieces }
    }

    /// Adds what the rules that cover `name` say.
    pub(super) fn find(&self, name: &[u8], found: &mut HostMarks) {
        // Names are ASCII; the rules below are about text.
        let Ok(text) = core::str::from_utf8(name) else { return };
        let Some(pieces) = &self.pieces else {
            // Without the automaton each rule is tried: slower, and no rule is lost.
            return self.rules.iter().filter(|(pattern, _)| covers(pattern.name(), text)).for_each(|(_, marks)| {
                found.add(*marks);
            });
        };
        for piece in pieces.find_overlapping_iter(name) {
            if let Some((pattern, marks)) = self.rules.get(piece.pattern().as_usize())
                && covers(pattern.name(), text)
            {
                found.add(*marks);
            }
        }
    }
}

/// A rule has a letter beside its asterisks, so its longest piece is never empty.
fn longest_piece(pattern: &str) -> &str {
    pattern.split('*').max_by_key(|piece| piece.len()).unwrap_or(pattern)
}

/// Whether `pattern` covers `name`: as many labels, each of which fits. A leading `*.` stands for any number of labels.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let (pattern, below) = pattern.strip_prefix("*.").map_or((pattern, false), |rest| (rest, true));
    let mut labels = name.rsplit('.');
    let fits = pattern.rsplit('.').all(|pattern| labels.next().is_some_and(|label| label_fits(pattern, label)));
    fits && (labels.next().is_some() == below)
}

/// Whether one label fits: asterisks take as few bytes as they can, which is enough where no dot can be crossed.
fn label_fits(pattern: &str, label: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| label.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stays_within_its_label() {
        let cases = [
            ("login-*.example.com", "login-eu.example.com", true),
            ("login-*.example.com", "login-.example.com", true),
            ("login-*.example.com", "login.example.com", false),
            ("login-*.example.com", "login-eu.west.example.com", false),
            ("login-*.example.com", "x.login-eu.example.com", false),
            ("login-*.example.com", "login-eu.example.com.evil.net", false),
            ("a*a.example.com", "a.example.com", false),
            ("a*a.example.com", "aa.example.com", true),
            ("a*b*c.example.com", "a1b2b3c.example.com", true),
            ("a*b*c.example.com", "a1c2b.example.com", false),
            ("login.*.example.com", "login.eu.example.com", true),
            ("login.*.example.com", "login.example.com", false),
            ("*.login-*.example.com", "a.b.login-eu.example.com", true),
            ("*.login-*.example.com", "login-eu.example.com", false),
            ("*bank.example.com", "mybank.example.com", true),
            ("*bank.example.com", "bank.example.com", true),
            ("*bank.example.com", "my.bank.example.com", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
            let pattern = HostPattern::parse(pattern).unwrap();
            let mut found = HostMarks::default();
            InnerPatterns::new([(pattern.clone(), HostMarks::DENIED)].into()).find(name.as_bytes(), &mut found);
            assert_eq!(found.denied, expected, "{pattern} {name}");
        }
    }
}
