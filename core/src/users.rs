//! The file of users: who may use the proxy, by which hash of a password, and in which groups.
//!
//! Owns the form of the file and what a name is; the hash is text here, verified by the data plane and made by the
//! operator's command. One user a line, as `penstock user hash` prints it:
//!
//! ```text
//! # name:hash:groups
//! alice:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA:finance,staff
//! bob:$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA:
//! ```

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::limits::{USER_GROUPS_MAX, USER_NAME_BYTES_MAX, USERS_FILE_BYTES_MAX};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// As it is written; names that differ in ASCII case alone are one user.
    pub name: String,
    /// In PHC's string format; only `$argon2id$` is let in.
    pub hash: String,
    /// Without repetition, in the order of the line.
    pub groups: Vec<String>,
    /// From 1.
    pub line: usize,
}

/// What is wrong with the file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsersError {
    /// From 1.
    pub line: usize,
    /// What is wrong and what would be right; never holds a hash.
    pub reason: String,
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

impl core::error::Error for UsersError {}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.hash, self.groups.join(","))
    }
}

/// Reads the text of the file; empty lines and those that begin with `#` say nothing.
///
/// # Errors
///
/// The first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<User>, UsersError> {
    if text.len() > USERS_FILE_BYTES_MAX {
        return Err(UsersError { line: 1, reason: format!("the file is longer than {USERS_FILE_BYTES_MAX} bytes") });
    }
    let mut users = Vec::new();
    for (text, line) in text.lines().zip(1..) {
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            users.push(parse_line(text, line).map_err(|reason| UsersError { line, reason })?);
        }
    }
    refuse_twins(&users)?;
    Ok(users)
}

/// Whether `name` can be a user's or group's name: no colon or comma, no control character, no space at the ends.
pub fn is_user_name(name: &str) -> bool {
    let odd = |letter: char| letter.is_control() || matches!(letter, ':' | ',');
    !name.is_empty() && name.len() <= USER_NAME_BYTES_MAX && name.trim() == name && !name.contains(odd)
}

fn parse_line(text: &str, line: usize) -> Result<User, String> {
    let fields: Vec<&str> = text.split(':').collect();
    let [name, hash, groups] = fields.as_slice() else {
        return Err(format!(
            "write name:hash:groups, with two colons even where there are no groups; here are {}",
            fields.len() - 1
        ));
    };
    if !is_user_name(name) {
        return Err(format!(
            "{name:?} is no name for a user: 1 to {USER_NAME_BYTES_MAX} bytes without \":\" and \",\""
        ));
    }
    if !hash.starts_with(ARGON2ID) {
        return Err(format!("the hash of {name:?} does not begin with {ARGON2ID}; `penstock user hash` makes one"));
    }
    let mut read: Vec<String> = Vec::new();
    for group in groups.split(',').map(str::trim).filter(|group| !group.is_empty()) {
        if !is_user_name(group) {
            return Err(format!("{group:?} is no name for a group"));
        }
        if !read.iter().any(|known| known.eq_ignore_ascii_case(group)) {
            read.push(group.to_string());
        }
    }
    if read.len() > USER_GROUPS_MAX {
        return Err(format!("{name:?} is in {} groups; {USER_GROUPS_MAX} is the most", read.len()));
    }
    Ok(User { name: name.to_string(), hash: hash.to_string(), groups: read, line })
}

fn refuse_twins(users: &[User]) -> Result<(), UsersError> {
    let mut names: Vec<(String, usize)> =
        users.iter().map(|user| (user.name.to_ascii_lowercase(), user.line)).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [(first, before), (second, line)] = pair
            && first == second
        {
            return Err(UsersError { line: *line, reason: format!("user {first:?} stands on line {before} already") });
        }
    }
    Ok(())
}

const ARGON2ID: &str = "$argon2id$";

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";

    #[test]
    fn a_file_is_read_line_by_line() {
        let text = format!("# staff\n\nalice:{HASH}:finance, staff,Finance\r\nBob Smith:{HASH}:\n");
        let users = parse(&text).unwrap();
        assert_eq!(users[0].groups, ["finance", "staff"]);
        assert_eq!((users[1].name.as_str(), users[1].line, users[1].groups.len()), ("Bob Smith", 4, 0));
        assert_eq!(parse(&users[0].to_string()).unwrap()[0].groups, users[0].groups);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_the_hash() {
        for (text, line) in [
            (format!("alice:{HASH}"), 1),
            (format!("\nalice:{HASH}::"), 2),
            (format!(":{HASH}:"), 1),
            (format!("a,b:{HASH}:"), 1),
            (format!("a\u{7}b:{HASH}:"), 1),
            (format!("{}:{HASH}:", "a".repeat(USER_NAME_BYTES_MAX + 1)), 1),
            ("alice:secret:".to_string(), 1),
            ("alice:$2y$10$abc:".to_string(), 1),
            (format!("alice:{HASH}:\nbob:{HASH}:\nALICE:{HASH}:"), 3),
            (format!("alice:{HASH}:{}", (0..=USER_GROUPS_MAX).map(|n| format!("g{n},")).collect::<String>()), 1),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.line, line, "{error}");
            assert!(!error.reason.contains("c2Fsd") && !error.reason.contains("secret"), "{error}");
        }
    }
}
