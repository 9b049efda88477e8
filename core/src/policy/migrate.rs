//! From Microsoft's first version of tenant restrictions to the second: the document changed, and what is left to do in
//! the tenant.
//!
//! The text is changed where it must be and nowhere else, so comments and order stay. With the second version the list of
//! tenants moves out of the header into the operator's own cross-tenant access settings, which no document can do.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::ops::Range;

use toml::de::DeTable;

use super::document::{Document, Section};
use super::findings::Findings;
use super::{Diagnostic, compile};
use crate::catalogue::ConnectorId;
use crate::catalogue::value::MICROSOFT_CONSUMER_TENANT;

/// A document that was migrated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The new text.
    pub text: String,
    /// What was changed, a line each.
    pub changes: Vec<String>,
    /// What is left to do in the tenant, in order.
    pub steps: Vec<String>,
}

/// A piece of text and what takes its place.
struct Edit {
    range: Range<usize>,
    text: String,
}

/// Tells what `text` is with the second version. `policy_id` is the id of the tenant's policy, which Graph tells.
///
/// # Errors
///
/// What is wrong with the document, before or after.
pub fn migrate_entra(file: &str, text: &str, policy_id: &str) -> Result<Migration, Vec<Diagnostic>> {
    compile(file, text, None, 0)?;
    let (root, _) = DeTable::parse_recoverable(text);
    let mut findings = Findings::default();
    let document = Document::read(text, root.get_ref(), &mut findings);
    let (mut edits, mut changes, mut tenants) = (Vec::new(), Vec::new(), Vec::new());
    let named = |id: ConnectorId| -> Vec<&str> {
        let of_connector = document.restrictions.iter().filter(move |section| word(section, "connector") == id.label());
        of_connector.map(|section| word(section, "name")).collect()
    };
    let (first, consumer) = (named(ConnectorId::MicrosoftEntra), named(ConnectorId::MicrosoftConsumer));
    for section in &document.restrictions {
        if word(section, "connector") == ConnectorId::MicrosoftEntra.label() {
            let listed = section.strings("permitted_tenants", &mut findings);
            tenants.extend(listed.into_iter().flat_map(|list| list.value).map(|tenant| tenant.value));
            edits.extend(edits_of(section, text, policy_id));
            changes.push(format!("restriction {:?}: connector microsoft-entra-v2", word(section, "name")));
        }
    }
    for profile in &document.profiles {
        let chosen = profile.strings("restrictions", &mut findings).map(|list| list.value).unwrap_or_default();
        let chosen: Vec<&str> = chosen.into_iter().map(|name| name.value).collect();
        let takes_first = chosen.iter().any(|name| first.contains(name));
        let kept: Vec<&str> = chosen.iter().copied().filter(|name| !consumer.contains(name)).collect();
        let Some((_, value)) = profile.span("restrictions").filter(|_| takes_first && kept.len() < chosen.len()) else {
            continue;
        };
        let kept: Vec<String> = kept.iter().map(|name| format!("{name:?}")).collect();
        edits.push(Edit { range: value, text: format!("[{}]", kept.join(", ")) });
        changes.push(format!(
            "profile {:?}: without microsoft-consumer, whose header the second version's own takes the place of",
            word(profile, "name")
        ));
    }
    let text = apply(text, edits);
    compile(file, &text, None, 0)?;
    let steps = if changes.is_empty() { Vec::new() } else { steps(&tenants) };
    Ok(Migration { text, changes, steps })
}

fn word<'doc>(section: &Section<'doc>, key: &str) -> &'doc str {
    section.string(key, &mut Findings::default()).map_or("", |word| word.value)
}

/// The connector, and its two fields in the place of the old ones.
fn edits_of(section: &Section<'_>, text: &str, policy_id: &str) -> Vec<Edit> {
    let own = word(section, "context_tenant");
    let mut edits = Vec::new();
    if let Some((_, value)) = section.span("connector") {
        edits.push(Edit {
            range: with_comment(value, text),
            text: format!("{:?}", ConnectorId::MicrosoftEntraV2.label()),
        });
    }
    for (key, new) in [
        ("permitted_tenants", format!("tenant_id = {own:?}")),
        ("context_tenant", format!("policy_id = {policy_id:?}")),
    ] {
        if let Some((key, value)) = section.span(key) {
            edits.push(Edit { range: with_comment(key.start..value.end, text), text: new });
        }
    }
    edits
}

/// With the comment behind it, which told of what was there.
fn with_comment(range: Range<usize>, text: &str) -> Range<usize> {
    let rest = text.get(range.end..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    if line.trim_start().starts_with('#') { range.start..range.end + line.trim_end().len() } else { range }
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.range.start);
    let (mut new, mut at) = (String::new(), 0);
    for edit in edits {
        new.push_str(text.get(at..edit.range.start).unwrap_or_default());
        new.push_str(&edit.text);
        at = edit.range.end;
    }
    new.push_str(text.get(at..).unwrap_or_default());
    new
}

/// Microsoft's migration guide, with this document's tenants.
fn steps(tenants: &[&str]) -> Vec<String> {
    let mut steps = Vec::from([
        "Block by default: Entra admin center > External Identities > Cross-tenant access settings > Default settings > Tenant restrictions, all users and all applications (Graph: PATCH /policies/crossTenantAccessPolicy/default, tenantRestrictions).".to_string(),
    ]);
    for tenant in tenants {
        if *tenant == MICROSOFT_CONSUMER_TENANT {
            continue;
        }
        let find = if tenant.contains('.') {
            format!(
                " Its directory id stands in https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration."
            )
        } else {
            String::new()
        };
        steps.push(format!(
            "Permit {tenant}: add it under Organizational settings, and set Tenant restrictions there to allow (Graph: POST /policies/crossTenantAccessPolicy/partners).{find} Your own tenant needs no entry."
        ));
    }
    let consumers = match tenants.contains(&MICROSOFT_CONSUMER_TENANT) {
        true => "allow",
        false => "leave blocked",
    };
    steps.push(format!(
        "Consumer accounts are the tenant {MICROSOFT_CONSUMER_TENANT}: {consumers} it there. The header goes to login.live.com too, in the place of restrict-msa."
    ));
    steps.extend([
        "Try it on few people: a profile of its own with the new restriction, an assignment with rollout_percent; never both versions in one profile.".to_string(),
        "Publish the changed document. Sign-ins of service principals to other tenants are refused with AADSTS5000211 from then on.".to_string(),
        "The second version holds for Microsoft accounts alone: restrictions for other vendors stay as they are.".to_string(),
    ]);
    steps
}
