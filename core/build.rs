//! Turns the connectors' data files into constant Rust tables, so that a malformed or missing file fails the build
//! and nothing is parsed when the product runs.
//!
//! The structs below mirror `src/catalogue/connector.rs`: they are read by serde and written by `Debug`, which prints
//! them as the Rust expression of their namesake. What the tables mean is said there; what they hold is checked by
//! `tests/catalogue_data.rs`.

#![expect(dead_code, reason = "the fields are read by the derived Debug, which the lint does not count")]

use std::fmt::{self, Debug, Formatter, Write as _};
use std::{env, error, fs, path};

use serde::Deserialize;

const DATA_FOLDER: &str = "src/catalogue/data";
/// Exclusions that belong to no single connector.
const NEVER_INSPECT_FILE: &str = "never-inspect.toml";
/// Outer names of Encrypted ClientHello.
const ECH_PUBLIC_NAMES_FILE: &str = "ech-public-names.toml";

type Text = String;

/// Prints as a borrowed slice.
#[derive(Deserialize)]
#[serde(transparent)]
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Debug> Debug for List<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("&")?;
        self.0.fmt(f)
    }
}

/// Prints as the variant of an enum that is named by a kebab-case or snake_case word.
#[derive(Deserialize)]
#[serde(transparent)]
struct Id(String);

impl Debug for Id {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectorId::{}", camel_case(&self.0))
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Code(String);

impl Debug for Code {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "DenialCode::{}", camel_case(&self.0))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connector {
    id: Id,
    title: Text,
    vendor: Text,
    plan: Text,
    effect: Text,
    #[serde(default)]
    hosts: List<Text>,
    #[serde(default)]
    optional_hosts: List<HostNote>,
    #[serde(default)]
    never_inspect: List<HostNote>,
    #[serde(default)]
    deny_advice: List<HostNote>,
    #[serde(default)]
    refused_rules: List<HostNote>,
    #[serde(default)]
    siblings: List<HostNote>,
    #[serde(default)]
    fields: List<Field>,
    headers: List<Header>,
    #[serde(default)]
    websocket: bool,
    #[serde(default)]
    conflicts: List<Conflict>,
    #[serde(default)]
    denials: List<Denial>,
    #[serde(default)]
    request_id_headers: List<Text>,
    #[serde(default)]
    tenant_paths: List<Text>,
    #[serde(default)]
    notes: List<Text>,
    source: Text,
    checked: Text,
    confidence: Confidence,
    unverified: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostNote {
    host: Text,
    reason: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    name: Text,
    kind: FieldKind,
    #[serde(default)]
    list: bool,
    #[serde(default = "yes")]
    required: bool,
    count_max: Option<usize>,
    count_seen: Option<usize>,
    help: Text,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FieldKind {
    Choice(List<Text>),
    Directory,
    Domain,
    GoogleAudience,
    Guid,
    HeaderName,
    Number,
    OpenaiOrganization,
    SlackTeam,
    Tenant,
    Text,
    Token,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: Text,
    value: Text,
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    GoogleResources,
    Numbered {
        values_per_header: usize,
        headers_max: usize,
    },
    #[default]
    Plain,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conflict {
    with: Id,
    reason: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Denial {
    code: Code,
    #[serde(default)]
    statuses: List<u16>,
    #[serde(default)]
    header: Option<HeaderMark>,
    #[serde(default)]
    body: List<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderMark {
    name: Text,
    contains: Text,
}

#[derive(Debug, Deserialize)]
enum Confidence {
    A,
    B,
    C,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Global {
    never_inspect: List<HostNote>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EchNames {
    ech_public_names: List<HostNote>,
}

fn yes() -> bool {
    true
}

fn main() -> Result<(), Box<dyn error::Error>> {
    let folder = path::Path::new(&env::var("CARGO_MANIFEST_DIR")?).join(DATA_FOLDER);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?.iter().map(|e| e.path()).collect();
    files.sort();

    let mut connectors = String::new();
    let mut global = String::new();
    let mut ech = String::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        if file.ends_with(NEVER_INSPECT_FILE) {
            let Global { never_inspect } = read(&file, &text)?;
            write!(global, "{never_inspect:?}")?;
            continue;
        }
        if file.ends_with(ECH_PUBLIC_NAMES_FILE) {
            let EchNames { ech_public_names } = read(&file, &text)?;
            write!(ech, "{ech_public_names:?}")?;
            continue;
        }
        let connector: Connector = read(&file, &text)?;
        if file.file_stem().and_then(|stem| stem.to_str()) != Some(connector.id.0.as_str()) {
            return Err(format!("{}: id {:?} is not the file's name", file.display(), connector.id.0).into());
        }
        writeln!(connectors, "        {:?} => &{connector:?},", connector.id)?;
    }

    let generated = format!(
        "pub(super) fn find(id: ConnectorId) -> &'static Connector {{\n    match id {{\n{connectors}    }}\n}}\n\n\
         pub(super) const NEVER_INSPECT: &[HostNote] = {global};\n\n\
         pub(super) const ECH_PUBLIC_NAMES: &[HostNote] = {ech};\n"
    );
    fs::write(path::Path::new(&env::var("OUT_DIR")?).join("connectors.rs"), generated)?;
    Ok(())
}

fn read<'text, T: Deserialize<'text>>(file: &path::Path, text: &'text str) -> Result<T, Box<dyn error::Error>> {
    toml::from_str(text).map_err(|error| format!("{}: {error}", file.display()).into())
}

/// `microsoft-entra` and `microsoft_entra` become `MicrosoftEntra`, `AADSTS500021` becomes `Aadsts500021`.
fn camel_case(word: &str) -> String {
    let part = |part: &str| {
        let lower = part.to_ascii_lowercase();
        let mut letters = lower.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    word.split(['-', '_']).map(part).collect()
}
