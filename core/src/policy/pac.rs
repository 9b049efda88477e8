//! The proxy auto-configuration script: which hosts a browser asks the proxy for, and which it dials itself.
//!
//! Pure text out of a snapshot. Every name in it went through `HostPattern` and the proxy's own name is a checked
//! authority, so nothing that could end a string or begin a statement gets in. The script resolves no names, which would
//! be slow and tell DNS of every visit, and uses nothing that the oldest interpreter lacks.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;

use super::Snapshot;
use super::document::Section;
use super::findings::Findings;
use super::host_rule;
use super::pattern::{HostPattern, Scope};
use super::profile::read_sources;
use super::source::SourceSet;
use crate::proxy::Authority;

/// `[pac]`, and the hosts that always go to the proxy.
#[derive(Debug, Default)]
pub(super) struct Pac {
    default: Route,
    bypass: Vec<HostPattern>,
    /// Who is steered at all; `None` for everybody.
    sources: Option<SourceSet>,
    pub(super) groups: Vec<PacGroup>,
    /// Inspected and denied hosts.
    steered: Vec<HostPattern>,
}

/// `[[pac.group]]`: sources for which the rest is different.
#[derive(Debug)]
pub(super) struct PacGroup {
    sources: SourceSet,
    default: Option<Route>,
    bypass: Vec<HostPattern>,
}

/// Where a host is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Route {
    Direct,
    #[default]
    Proxy,
}

impl Pac {
    /// Reads `[pac]` and its groups.
    pub(super) fn read(section: Option<&Section<'_>>, findings: &mut Findings) -> Self {
        let Some(section) = section else {
            return Self::default();
        };
        section.refuse_unknown_keys(&["default", "bypass", "sources", "group"], section.title(), findings);
        let groups = section.tables("group", "[[pac.group]]", findings);
        Self {
            default: read_route(section, findings).unwrap_or_default(),
            bypass: read_bypass(section, findings),
            sources: section.strings("sources", findings).map(|list| read_sources(&list, findings)),
            groups: groups.iter().map(|group| PacGroup::read(group, findings)).collect(),
            steered: Vec::new(),
        }
    }

    /// The same with the hosts that always go to the proxy: what is inspected, and what is denied, so that it is.
    pub(super) fn steering(mut self, mut steered: Vec<HostPattern>) -> Self {
        steered.sort();
        steered.dedup();
        self.steered = steered;
        self
    }
}

impl PacGroup {
    fn read(section: &Section<'_>, findings: &mut Findings) -> Self {
        section.refuse_unknown_keys(&["sources", "default", "bypass"], section.title(), findings);
        if !section.has("sources") {
            findings.error(section.at, "[[pac.group]] has no \"sources\"");
        }
        let sources = section.strings("sources", findings).map(|list| read_sources(&list, findings));
        Self {
            sources: sources.unwrap_or_default(),
            default: read_route(section, findings),
            bypass: read_bypass(section, findings),
        }
    }
}

fn read_route(section: &Section<'_>, findings: &mut Findings) -> Option<Route> {
    let word = section.string("default", findings)?;
    match word.value {
        "direct" => Some(Route::Direct),
        "proxy" => Some(Route::Proxy),
        other => {
            findings.error(word.at, format!("\"default\" is \"proxy\" or \"direct\", not {other:?}"));
            None
        }
    }
}

fn read_bypass(section: &Section<'_>, findings: &mut Findings) -> Vec<HostPattern> {
    host_rule::read_list(section, "bypass", findings).into_iter().map(|rule| rule.value).collect()
}

impl Snapshot {
    /// The script for a browser at `source` that knows this proxy as `proxy`.
    pub fn pac(&self, source: IpAddr, proxy: &Authority) -> String {
        let pac = &self.pac;
        let group = pac.groups.iter().find(|group| group.sources.contains(source));
        if group.is_none() && pac.sources.as_ref().is_some_and(|sources| !sources.contains(source)) {
            return String::from(UNSTEERED);
        }
        let default = group.and_then(|group| group.default).unwrap_or(pac.default);
        let default = match default {
            Route::Direct => "\"DIRECT\"",
            Route::Proxy => "proxy",
        };
        let bypass = pac.bypass.iter().chain(group.into_iter().flat_map(|group| &group.bypass));
        let mut script = format!("var proxy = \"PROXY {proxy}\";\n");
        write_table(&mut script, "steered", &pac.steered.iter().collect::<Vec<_>>());
        write_table(&mut script, "bypassed", &bypass.collect::<Vec<_>>());
        script.push_str(FUNCTIONS);
        let _ = write!(script, "  return {default};\n}}\n");
        script
    }
}

/// One table: names and suffixes as keys, which begin with a dot so that none is a word of the language, and the rules
/// with an asterisk inside as expressions.
fn write_table(script: &mut String, table: &str, patterns: &[&HostPattern]) {
    for (part, scope) in [("names", Scope::Exact), ("suffixes", Scope::Below)] {
        let keys = patterns.iter().filter(|pattern| pattern.scope() == scope);
        let keys: Vec<String> = keys.map(|pattern| format!("\".{}\": 1", pattern.name())).collect();
        let _ = writeln!(script, "var {table}_{part} = {{{}}};", keys.join(", "));
    }
    let inner = patterns.iter().filter(|pattern| pattern.scope() == Scope::Inner);
    let inner: Vec<String> = inner.map(|pattern| expression(pattern.name())).collect();
    let _ = writeln!(script, "var {table}_inner = [{}];", inner.join(", "));
}

/// An asterisk stands for any bytes of one label, and a leading `*.` for one label or more.
fn expression(pattern: &str) -> String {
    let (front, rest) = pattern.strip_prefix("*.").map_or(("", pattern), |rest| ("([^.]+\\.)+", rest));
    format!("/^{front}{}$/", rest.to_string().replace('.', "\\.").replace('*', "[^.]*"))
}

/// For those who are not steered (yet).
const UNSTEERED: &str = "function FindProxyForURL(url, host) {\n  return \"DIRECT\";\n}\n";

const FUNCTIONS: &str = r#"function covered(names, suffixes, inner, host) {
  if (names.hasOwnProperty("." + host)) return true;
  for (var dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    if (suffixes.hasOwnProperty(host.substring(dot))) return true;
  }
  for (var index = 0; index < inner.length; index++) {
    if (inner[index].test(host)) return true;
  }
  return false;
}
function isPrivate(host) {
  if (host.indexOf(":") >= 0) {
    return /^\[?(::1?$|::1?\]|::ffff:|f[cd][0-9a-f][0-9a-f]:|fe[89ab][0-9a-f]:)/.test(host);
  }
  if (/^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host)) {
    return /^(0|10|127)\.|^169\.254\.|^192\.168\.|^172\.(1[6-9]|2[0-9]|3[01])\.|^100\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\./.test(host);
  }
  return host.indexOf(".") < 0 || /\.(local|localhost|internal|home\.arpa)$/.test(host);
}
function FindProxyForURL(url, host) {
  host = host.toLowerCase().replace(/\.$/, "");
  if (covered(steered_names, steered_suffixes, steered_inner, host)) return proxy;
  if (covered(bypassed_names, bypassed_suffixes, bypassed_inner, host)) return "DIRECT";
  if (isPrivate(host)) return "DIRECT";
"#;
