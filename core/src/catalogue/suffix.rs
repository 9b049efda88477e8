//! Public suffixes: names below which anybody may register, so that no rule or tenant may end at one, and the sites right
//! below them.

/// The registered domain of `name`, lower-case, with its public suffix: what browsers call a site. `None` for a public suffix.
pub fn site(name: &str) -> Option<&str> {
    psl::domain_str(name)
}

/// Whether `name`, lower-case, is a known public suffix. A name that no list knows is none: inside names such as `corp`
/// are the operator's own.
pub fn is_public_suffix(name: &str) -> bool {
    let is_listed = |name: &str| {
        psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes().len() == name.len())
    };
    // `*.kawasaki.jp` of the list makes suffixes of all names below kawasaki.jp, and says nothing of kawasaki.jp itself.
    is_listed(name) || is_listed(&alloc::format!("any-name.{name}"))
}
