//! A connector's headers with the operator's values in them.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::{Connector, Encoding, Header};

/// The checked values of a connector's fields.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// In the order of the fields; a field that takes one value has a list of one.
    fields: Vec<(&'static str, Vec<String>)>,
}

impl Values {
    /// Adds a field's values.
    pub fn insert(&mut self, field: &'static str, values: Vec<String>) {
        self.fields.push((field, values));
    }

    /// The values of a field; none when it was left out.
    pub fn of(&self, field: &str) -> &[String] {
        self.fields.iter().find(|(name, _)| *name == field).map_or(&[], |(_, values)| values.as_slice())
    }
}

/// The headers of `connector` in the order in which they are set: where each comes from, its name and its value.
pub fn headers(connector: &Connector, values: &Values) -> Vec<(&'static Header, String, String)> {
    let encode =
        |header: &'static Header| encode(header, values).into_iter().map(move |(name, value)| (header, name, value));
    connector.headers.iter().flat_map(encode).collect()
}

/// The field that a template names first; the template itself when it is literal.
pub fn first_field(template: &str) -> &str {
    let field = template.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    field.map_or(template, |(field, _)| field)
}

fn encode(header: &Header, values: &Values) -> Vec<(String, String)> {
    let name = fill(header.name, values);
    match header.encoding {
        Encoding::GoogleResources => [(name, google_resources(values))].into(),
        Encoding::Numbered { values_per_header, .. } => numbered(&name, header, values, values_per_header),
        Encoding::Plain => [(name, fill(header.value, values))].into(),
    }
}

/// `template` with each `{field}` replaced by the field's values.
fn fill(template: &str, values: &Values) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (field, after) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(before);
        filled.push_str(&values.of(field).join(","));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// One header while the values fit, else a first one that ends in `;n=K` and K-1 numbered ones. The vendor refuses a
/// request that lacks one of the declared headers.
fn numbered(name: &str, header: &Header, values: &Values, values_per_header: usize) -> Vec<(String, String)> {
    let parts: Vec<String> =
        values.of(first_field(header.value)).chunks(values_per_header.max(1)).map(|part| part.join(",")).collect();
    let count = parts.len();
    let place = |(index, part): (usize, String)| match (index, count) {
        (0, 1) => (name.to_string(), part),
        (0, _) => (name.to_string(), format!("{part};n={count}")),
        _ => (format!("{name}{index}"), part),
    };
    parts.into_iter().enumerate().map(place).collect()
}

/// URL-safe base64 (RFC 4648 section 5) of the JSON object that Google documents. The values are digits and fixed words,
/// so nothing in them needs escaping.
fn google_resources(values: &Values) -> String {
    let quoted = |id: &String| format!("\"organizations/{id}\"");
    let resources = values.of("organization_ids").iter().map(quoted).collect::<Vec<_>>().join(",");
    let options = values.of("options").first().map_or("strict", String::as_str);
    URL_SAFE.encode(format!("{{\"resources\":[{resources}],\"options\":\"{options}\"}}"))
}
