//! A restriction: a connector with the operator's values, checked, and the hosts that it covers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::document::{Placed, Section};
use super::findings::Findings;
use super::host_rule;
use super::pattern::HostPattern;
use super::suggest::did_you_mean;
use super::{FindingCode, SetHeader};
use crate::catalogue::encode::{self, Values};
use crate::catalogue::value::{MICROSOFT_CONSUMER_TENANT, MICROSOFT_PASSTHROUGH_TENANT, canonical};
use crate::catalogue::{Connector, ConnectorId, Field, FieldKind, connector, connectors, reserved_domain};
use crate::limits::HEADER_VALUE_BYTES_MAX;

/// A checked restriction.
#[derive(Debug)]
pub(super) struct Restriction<'doc> {
    pub(super) name: Placed<&'doc str>,
    /// `None` when the document names no connector that there is: enough was said then.
    pub(super) connector: Option<&'static Connector>,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) headers: Vec<SetHeader>,
    /// Whether WebSockets are allowed, where the document says so.
    pub(super) websocket: Option<bool>,
}

/// Keys that every restriction has beside its connector's fields.
const COMMON_KEYS: [&str; 6] = ["name", "connector", "allow_unverified", "only_hosts", "extra_hosts", "websocket"];

impl<'doc> Restriction<'doc> {
    /// Reads `[[restriction]]`. `None` when it has no name, without which nothing can refer to it.
    pub(super) fn read(section: &Section<'doc>, findings: &mut Findings) -> Option<Self> {
        let name = section.required_string("name", findings);
        let connector = find_connector(section, findings);
        let Some(connector) = connector else {
            return name.map(|name| Self {
                name,
                connector: None,
                hosts: Vec::new(),
                headers: Vec::new(),
                websocket: None,
            });
        };
        refuse_unknown_keys(section, connector, findings);
        refuse_unverified(section, connector, findings);
        let values = read_values(section, connector, findings);
        let hosts = read_hosts(section, connector, findings);
        let headers = build_headers(section, connector, &values, findings);
        let websocket = section.boolean("websocket", findings);
        name.map(|name| Self { name, connector: Some(connector), hosts, headers, websocket })
    }
}

fn find_connector(section: &Section<'_>, findings: &mut Findings) -> Option<&'static Connector> {
    let word = section.required_string("connector", findings)?;
    let found = ConnectorId::parse(word.value);
    if found.is_none() {
        let known = ConnectorId::ALL.iter().map(|id| id.label());
        findings
            .error(word.at, format!("there is no connector {:?}", word.value))
            .code(FindingCode::Unknown)
            .help(did_you_mean(word.value, known).unwrap_or_else(|| "\"penstock catalogue list\" shows them".into()));
    }
    found.map(connector)
}

fn refuse_unknown_keys(section: &Section<'_>, connector: &Connector, findings: &mut Findings) {
    let fields = connector.fields.iter().map(|field| field.name);
    let known: Vec<&str> = fields.chain(COMMON_KEYS).collect();
    section.refuse_unknown_keys(&known, &format!("connector {}", connector.id), findings);
}

fn refuse_unverified(section: &Section<'_>, connector: &Connector, findings: &mut Findings) {
    let allowed = section.boolean("allow_unverified", findings);
    let Some(reason) = connector.unverified else { return };
    if allowed != Some(true) {
        findings
            .error(section.at_of("connector"), format!("connector {} is not verified: {reason}", connector.id))
            .code(FindingCode::Unverified)
            .help("to use it all the same, add allow_unverified = true");
    }
}

fn read_values(section: &Section<'_>, connector: &Connector, findings: &mut Findings) -> Values {
    let mut values = Values::default();
    for field in connector.fields {
        let given = if field.list { section.strings(field.name, findings) } else { single(section, field, findings) };
        let Some(given) = given else {
            if field.required && !section.has(field.name) {
                let message = format!("connector {} needs \"{}\"", connector.id, field.name);
                let asks = REQUESTER_FIELDS.contains(&field.name);
                let code = if asks { FindingCode::RequesterMissing } else { FindingCode::Invalid };
                findings.error(section.at, message).code(code).help(field.help);
            }
            continue;
        };
        if given.value.is_empty() && field.list {
            findings.error(given.at, format!("\"{}\" is empty", field.name)).help(field.help);
        }
        let checked = check_values(field, &given.value, findings);
        check_count(field, given.at, checked.len(), findings);
        values.insert(field.name, checked);
    }
    values
}

fn build_headers(
    section: &Section<'_>,
    connector: &Connector,
    values: &Values,
    findings: &mut Findings,
) -> Vec<SetHeader> {
    let mut headers = Vec::new();
    for (source, name, value) in encode::headers(connector, values) {
        if value.len() > HEADER_VALUE_BYTES_MAX {
            let (at, bytes) = (section.at_of(encode::first_field(source.value)), value.len());
            findings
                .error(at, format!("{name} would be {bytes} bytes long; {HEADER_VALUE_BYTES_MAX} is the most"))
                .code(FindingCode::HeaderOversize)
                .help("name fewer, or use the shorter form where a value has two");
        }
        headers.push(SetHeader { name: name.into(), value: value.into() });
    }
    headers
}

/// A field of one value as a list of one.
fn single<'doc>(
    section: &Section<'doc>,
    field: &Field,
    findings: &mut Findings,
) -> Option<Placed<Vec<Placed<&'doc str>>>> {
    let given = section.string(field.name, findings)?;
    Some(Placed { at: given.at, value: Vec::from([given]) })
}

/// The values in canonical form, without those that are refused or repeated.
fn check_values(field: &Field, given: &[Placed<&str>], findings: &mut Findings) -> Vec<String> {
    let mut checked: Vec<String> = Vec::with_capacity(given.len());
    for value in given {
        match canonical(field.kind, value.value) {
            Ok(text) if checked.contains(&text) => {
                findings.warning(value.at, format!("\"{}\" names {text:?} twice", field.name)).help("remove one");
            }
            Ok(text) => {
                warn_of_class(field, &text, value.at, findings);
                warn_of_invented(field, &text, value.at, findings);
                checked.push(text);
            }
            Err(reject) => {
                let shown: String = value.value.chars().take(SHOWN_CHARACTERS_MAX).collect();
                findings
                    .error(value.at, format!("\"{}\": {shown:?} {}", field.name, reject.reason))
                    .code(if is_empty_guid(value.value) {
                        FindingCode::InventedName
                    } else {
                        FindingCode::ValueMalformed
                    })
                    .help(reject.help.unwrap_or_else(|| field.help.into()));
            }
        }
    }
    checked
}

/// Tenants that stand for all consumer accounts are legal to permit, and seldom meant.
fn warn_of_class(field: &Field, text: &str, at: usize, findings: &mut Findings) {
    if field.kind != FieldKind::Tenant {
        return;
    }
    let class = match text {
        MICROSOFT_PASSTHROUGH_TENANT => "lets consumer accounts through Entra applications",
        MICROSOFT_CONSUMER_TENANT => "is the tenant of all consumer accounts",
        _ => return,
    };
    findings
        .warning(at, format!("{text} {class}"))
        .code(FindingCode::TenantOfConsumers)
        .help("leave it out unless personal accounts are to be let in");
}

/// A domain that stands in documents as an example: no vendor has a tenant of that name.
fn warn_of_invented(field: &Field, text: &str, at: usize, findings: &mut Findings) {
    let is_name = matches!(field.kind, FieldKind::Domain | FieldKind::GoogleAudience | FieldKind::Tenant);
    if let Some(domain) = reserved_domain(text).filter(|_| is_name) {
        findings
            .warning(at, format!("{text:?} looks invented: nobody can register a name under .{domain}"))
            .code(FindingCode::InventedName)
            .help(field.help);
    }
}

fn is_empty_guid(text: &str) -> bool {
    text.contains('0') && text.bytes().all(|byte| matches!(byte, b'0' | b'-' | b'{' | b'}'))
}

fn check_count(field: &Field, at: usize, count: usize, findings: &mut Findings) {
    if let Some(max) = field.count_max.filter(|&max| count > max) {
        findings
            .error(at, format!("\"{}\" has {count} values; the vendor takes {max}", field.name))
            .code(FindingCode::ListTooLong)
            .help("list the tenants that are used, and give the rest a profile of their own");
    } else if let Some(seen) = field.count_seen.filter(|&seen| count > seen) {
        findings
            .warning(at, format!("\"{}\" has {count} values; other products stop at {seen}", field.name))
            .code(FindingCode::ListTooLong)
            .help("try it against the vendor before it is enforced: a request with too many is refused whole");
    }
}

fn read_hosts(section: &Section<'_>, connector: &'static Connector, findings: &mut Findings) -> Vec<HostPattern> {
    let known = host_rule::patterns(connector.known_hosts());
    let mut hosts = match section.strings("only_hosts", findings) {
        Some(only) => only.value.iter().filter_map(|&rule| read_only(rule, connector, &known, findings)).collect(),
        None => host_rule::patterns(connector.hosts.iter().copied()),
    };
    if let Some(extra) = section.strings("extra_hosts", findings) {
        hosts.extend(extra.value.iter().filter_map(|&rule| read_extra(rule, connector, &known, findings)));
    }
    if hosts.is_empty() && !section.has("extra_hosts") && !section.has("only_hosts") {
        findings
            .error(section.at, format!("connector {} has no hosts of its own", connector.id))
            .help("name those that the vendor gave you in extra_hosts");
    } else if hosts.is_empty() {
        findings.error(section.at, "the restriction covers no host");
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// A rule that narrows the connector's hosts down.
fn read_only(
    rule: Placed<&str>,
    connector: &Connector,
    known: &[HostPattern],
    findings: &mut Findings,
) -> Option<HostPattern> {
    let pattern = host_rule::read_inspected(rule, connector, findings)?;
    if known.iter().any(|known| known.covers(&pattern)) {
        return Some(pattern);
    }
    let list = connector.known_hosts().collect::<Vec<_>>().join(", ");
    findings
        .error(rule.at, format!("\"{pattern}\" is not among the hosts of connector {}", connector.id))
        .help(format!("only_hosts narrows these down: {list}; other hosts go into extra_hosts"));
    None
}

/// A rule that widens them. The header says whose network this is, so it never goes to hosts of another vendor's
/// connector, and where nobody says that it is enforced the operator is told.
fn read_extra(
    rule: Placed<&str>,
    connector: &'static Connector,
    known: &[HostPattern],
    findings: &mut Findings,
) -> Option<HostPattern> {
    let pattern = host_rule::read_inspected(rule, connector, findings)?;
    if known.iter().any(|known| known.covers(&pattern)) {
        return Some(pattern);
    }
    let others = connectors().filter(|other| other.id != connector.id);
    let owner = others
        .into_iter()
        .find(|other| host_rule::patterns(other.hosts.iter().copied()).iter().any(|theirs| theirs.overlaps(&pattern)));
    if let Some(owner) = owner {
        let message =
            format!("\"{pattern}\" belongs to connector {}: headers of {} may not go there", owner.id, connector.id);
        findings.error(rule.at, message);
        return None;
    }
    if !connector.hosts.is_empty() {
        let message = format!("nothing says that {} enforces the restriction at \"{pattern}\"", connector.vendor);
        findings.warning(rule.at, message).help("whoever runs that host will see the header's value");
    }
    Some(pattern)
}

/// Fields that say whose network this is: without them a vendor refuses nothing, or tells somebody else.
const REQUESTER_FIELDS: [&str; 3] = ["context_tenant", "requester", "requester_id"];
/// How much of a refused value is shown.
const SHOWN_CHARACTERS_MAX: usize = 64;
