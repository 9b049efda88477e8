//! "Did you mean": the known word that is nearest to a misspelled one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Words longer than this are not compared: the work grows with the product of the lengths.
const WORD_BYTES_MAX: usize = 64;

/// A sentence that offers the nearest of `known`, when one is near.
pub(super) fn did_you_mean<'word>(word: &str, known: impl IntoIterator<Item = &'word str>) -> Option<String> {
    nearest(word, known).map(|nearest| format!("did you mean \"{nearest}\"?"))
}

/// The nearest of `known` that differs in at most a third of its letters.
pub(super) fn nearest<'word>(word: &str, known: impl IntoIterator<Item = &'word str>) -> Option<&'word str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let near = known.into_iter().filter(|known| known.len() <= WORD_BYTES_MAX).filter_map(|known| {
        let distance = distance(word.as_bytes(), known.to_ascii_lowercase().as_bytes());
        let is_part = word.len() >= 4 && (known.contains(&word) || word.contains(known));
        (distance * 3 <= known.len().max(3) || is_part).then_some((distance, known))
    });
    near.min().map(|(_, known)| known)
}

/// Levenshtein's distance, one row at a time.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, left) in left.iter().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(right) {
            let substituted = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = substituted.min(*cell + 1).min(before + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near_and_other_words_are_not() {
        let known = ["permitted_tenants", "context_tenant", "microsoft-entra", "slack"];
        assert_eq!(nearest("permited_tenants", known), Some("permitted_tenants"));
        assert_eq!(nearest("tenants", known), Some("permitted_tenants"));
        assert_eq!(nearest("Slak", known), Some("slack"));
        assert_eq!(nearest("microsoft_entra", known), Some("microsoft-entra"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
