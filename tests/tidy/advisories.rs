//! No crate of Cargo.lock has a known vulnerability, by the RustSec database as the corpora hold it.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use penstock_tests::place;
use semver::{Version, VersionReq};

use crate::manifests::locked;

/// Advisories that are answered in another way, each with the reason.
const ANSWERED: &[(&str, &str)] = &[(
    "RUSTSEC-2023-0071",
    "rsa leaks by time what private keys do; openidconnect verifies signatures by public keys alone",
)];

struct Advisory {
    id: String,
    title: String,
    withdrawn: bool,
    informational: Option<String>,
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

#[test]
fn no_known_vulnerability() {
    let Some(folder) = place::corpus("rustsec-advisory-db") else { return };
    let advisories = read_all(&folder.join("advisory-db.tar.gz"));
    assert!(advisories.len() > 500, "only {} packages have advisories: the database was not read", advisories.len());
    let mut findings = Vec::new();
    for (name, version) in locked() {
        let version = Version::parse(&version).unwrap();
        for advisory in advisories.get(&name).into_iter().flatten() {
            let answered = ANSWERED.iter().any(|(id, _)| *id == advisory.id);
            if advisory.hits(&version) && !answered {
                findings.push(format!("{name} {version}: {} {}", advisory.id, advisory.title));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn answers_are_still_needed() {
    let Some(folder) = place::corpus("rustsec-advisory-db") else { return };
    let advisories = read_all(&folder.join("advisory-db.tar.gz"));
    for (id, reason) in ANSWERED {
        let met = locked().iter().any(|(name, version)| {
            let version = Version::parse(version).unwrap();
            advisories.get(name).is_some_and(|list| list.iter().any(|one| one.id == *id && one.hits(&version)))
        });
        assert!(met, "{id} no longer concerns the build: drop the answer ({reason})");
    }
}

#[test]
fn versions_are_compared_as_the_database_means_them() {
    let advisory = advisory(
        "```toml\n[advisory]\nid = \"RUSTSEC-0000-0001\"\npackage = \"a\"\n\n[versions]\npatched = [\">= 1.2.3\", \"^0.9.8\"]\n\
         unaffected = [\"< 0.5\"]\n```\n\n# Title\n",
    );
    let advisory = advisory.unwrap().1;
    for (version, hit) in
        [("1.2.2", true), ("1.2.3", false), ("2.0.0", false), ("0.9.8", false), ("0.9.7", true), ("0.4.0", false)]
    {
        assert_eq!(advisory.hits(&Version::parse(version).unwrap()), hit, "{version}");
    }
}

impl Advisory {
    /// Unmaintained crates are no vulnerability; unsound ones are taken as one.
    fn hits(&self, version: &Version) -> bool {
        let fine = |requirements: &[VersionReq]| requirements.iter().any(|requirement| requirement.matches(version));
        let counts = !self.withdrawn && matches!(self.informational.as_deref(), None | Some("unsound"));
        counts && !fine(&self.patched) && !fine(&self.unaffected)
    }
}

/// Every advisory about a crate, by the crate's name.
fn read_all(archive: &std::path::Path) -> BTreeMap<String, Vec<Advisory>> {
    let file = std::fs::File::open(archive).unwrap();
    let mut found: BTreeMap<String, Vec<Advisory>> = BTreeMap::new();
    for entry in tar::Archive::new(GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path.starts_with("crates/") && path.contains("/RUSTSEC-") {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let (package, advisory) = advisory(&text).unwrap_or_else(|| panic!("{path} is no advisory"));
            found.entry(package).or_default().push(advisory);
        }
    }
    found
}

/// Reads Markdown with a TOML block in front.
fn advisory(text: &str) -> Option<(String, Advisory)> {
    let (front, rest) = text.strip_prefix("```toml")?.split_once("```")?;
    let front: toml::Table = front.parse().ok()?;
    let (facts, versions) = (front.get("advisory")?, front.get("versions")?);
    let requirements = |key: &str| -> Option<Vec<VersionReq>> {
        let Some(list) = versions.get(key) else { return Some(Vec::new()) };
        list.as_array()?.iter().map(|one| VersionReq::parse(one.as_str()?).ok()).collect()
    };
    let text_of = |key: &str| facts.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let advisory = Advisory {
        id: text_of("id")?,
        title: rest.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or("").to_owned(),
        withdrawn: facts.get("withdrawn").is_some(),
        informational: text_of("informational"),
        patched: requirements("patched")?,
        unaffected: requirements("unaffected")?,
    };
    Some((text_of("package")?, advisory))
}
