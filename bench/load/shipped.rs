//! The profiles that come with the tool, by name.

use anyhow::Context;

use crate::profile::Profile;

/// Name and text, in the order in which they are listed.
const SHIPPED: &[(&str, &str)] = &[
    ("sign-in-storm", include_str!("../profiles/sign-in-storm.toml")),
    ("office", include_str!("../profiles/office.toml")),
    ("bulk", include_str!("../profiles/bulk.toml")),
    ("idle", include_str!("../profiles/idle.toml")),
    ("slow-hellos", include_str!("../profiles/slow-hellos.toml")),
    ("post-quantum", include_str!("../profiles/post-quantum.toml")),
    ("real-hellos", include_str!("../profiles/real-hellos.toml")),
];

/// A shipped profile by its name, or a file by its path.
pub(crate) fn open(name: &str) -> anyhow::Result<(String, Profile)> {
    if let Some((name, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return Ok(((*name).to_owned(), Profile::parse(&format!("{name}.toml"), text)?));
    }
    let text = std::fs::read_to_string(name)
        .with_context(|| format!("{name} is no file, and no profile of `penstock-load profiles`"))?;
    let stem = std::path::Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok((stem.unwrap_or_else(|| name.to_owned()), Profile::parse(name, &text)?))
}

/// Names and titles.
pub(crate) fn list() -> anyhow::Result<Vec<(&'static str, String)>> {
    let title = |(name, text): &(&'static str, &str)| Ok((*name, Profile::parse(name, text)?.title));
    SHIPPED.iter().map(title).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_of_the_tree_is_sound_and_those_of_the_folder_are_shipped() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
        let mut found = Vec::new();
        for path in [folder, &format!("{folder}/rows")] {
            for entry in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.extension().is_some_and(|extension| extension == "toml") {
                    let (name, _) = open(entry.to_str().unwrap()).unwrap();
                    found.extend((path == folder).then_some(name));
                }
            }
        }
        found.sort();
        let mut shipped: Vec<&str> = list().unwrap().into_iter().map(|(name, _)| name).collect();
        shipped.sort_unstable();
        assert_eq!(found, shipped);
    }

    #[test]
    fn a_name_that_is_nothing_says_where_to_look() {
        assert!(open("no-such").unwrap_err().to_string().contains("penstock-load profiles"));
    }
}
