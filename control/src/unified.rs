//! A unified diff of two texts, by lines.
//!
//! Called by the web UI and by `penstock policy diff`.

/// Lines of context around a change.
const CONTEXT: usize = 3;
/// Changed lines up to which the shortest diff is looked for; beyond, the changed middle is shown as replaced.
const CHANGED_LINES_MAX: usize = 2_000;

/// What happens to a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// The diff; empty when the texts are the same.
pub fn diff(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let script = script(&old, &new);
    let mut page = String::new();
    for hunk in hunks(&script) {
        if page.is_empty() {
            page.push_str(&format!("--- {old_name}\n+++ {new_name}\n"));
        }
        print_hunk(&mut page, &script, hunk, &old, &new);
    }
    page
}

/// One edit per line of either text, in order.
fn script(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let same = |(a, b): &(&&str, &&str)| a == b;
    let prefix = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[prefix..], &new[prefix..]);
    let suffix = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(same).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - suffix], &new_rest[..new_rest.len() - suffix]);
    let mut script = vec![Edit::Keep; prefix];
    if old_middle.len().max(new_middle.len()) > CHANGED_LINES_MAX {
        script.extend(std::iter::repeat_n(Edit::Remove, old_middle.len()));
        script.extend(std::iter::repeat_n(Edit::Add, new_middle.len()));
    } else {
        longest_common(old_middle, new_middle, &mut script);
    }
    script.extend(std::iter::repeat_n(Edit::Keep, suffix));
    script
}

/// Longest common subsequence by dynamic programming: at most `CHANGED_LINES_MAX` squared cells of two bytes.
fn longest_common(old: &[&str], new: &[&str], script: &mut Vec<Edit>) {
    let width = new.len() + 1;
    let mut lengths = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            lengths[i * width + j] = if old[i] == new[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            script.push(Edit::Keep);
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) {
            script.push(Edit::Remove);
            i += 1;
        } else {
            script.push(Edit::Add);
            j += 1;
        }
    }
}

/// Ranges of the script that hold changes with their context; ranges that touch are one.
fn hunks(script: &[Edit]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, _) in script.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep) {
        let range = index.saturating_sub(CONTEXT)..(index + 1 + CONTEXT).min(script.len());
        match hunks.last_mut() {
            Some(last) if range.start <= last.end => last.end = range.end,
            _ => hunks.push(range),
        }
    }
    hunks
}

fn print_hunk(page: &mut String, script: &[Edit], hunk: std::ops::Range<usize>, old: &[&str], new: &[&str]) {
    let count = |range: &[Edit], but: Edit| range.iter().filter(|edit| **edit != but).count();
    let (mut i, mut j) = (count(&script[..hunk.start], Edit::Add), count(&script[..hunk.start], Edit::Remove));
    let edits = &script[hunk];
    let (old_count, new_count) = (count(edits, Edit::Add), count(edits, Edit::Remove));
    // An empty range is named by the line before it.
    let start = |at: usize, count: usize| if count == 0 { at } else { at + 1 };
    page.push_str(&format!("@@ -{},{old_count} +{},{new_count} @@\n", start(i, old_count), start(j, new_count)));
    for edit in edits {
        let (sign, line) = match edit {
            Edit::Keep => (' ', old[i]),
            Edit::Remove => ('-', old[i]),
            Edit::Add => ('+', new[j]),
        };
        i += usize::from(*edit != Edit::Add);
        j += usize::from(*edit != Edit::Remove);
        page.push_str(&format!("{sign}{line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn the_same_text_has_no_diff() {
        assert_eq!(diff("a", "x\ny\n", "b", "x\ny\n"), "");
    }

    #[test]
    fn a_change_is_shown_with_three_lines_around_it() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let new = "1\n2\n3\n4\nfive\n6\n7\n8\n9\nten\n";
        let expected = "--- a\n+++ b\n@@ -2,8 +2,9 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n 9\n+ten\n";
        assert_eq!(diff("a", old, "b", new), expected);
    }

    #[test]
    fn distant_changes_are_two_hunks_and_an_empty_side_is_named_by_the_line_before() {
        let old: String = (1..=20).map(|line| format!("{line}\n")).collect();
        let new = format!("zero\n{}", old.replace("18\n", ""));
        let expected =
            "--- a\n+++ b\n@@ -1,3 +1,4 @@\n+zero\n 1\n 2\n 3\n@@ -15,6 +16,5 @@\n 15\n 16\n 17\n-18\n 19\n 20\n";
        assert_eq!(diff("a", &old, "b", &new), expected);
        assert_eq!(diff("a", "", "b", "x\n"), "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n");
    }
}
