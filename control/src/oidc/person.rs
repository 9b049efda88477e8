//! From the ID token's claims to a name and a role.

use serde_json::Value;

use super::error::OidcError;
use crate::access::{Person, Role};
use crate::config::OidcSettings;

/// Whether the claims have everything that is looked for.
pub(super) fn is_told(settings: &OidcSettings, claims: &Value) -> bool {
    [&settings.username_claim, &settings.roles_claim].iter().all(|name| find(claims, name).is_some())
}

/// Who a verified ID token is about. Somebody of no role is somebody, too: the trail names that one.
pub(super) fn person(settings: &OidcSettings, claims: &Value) -> Result<Person, OidcError> {
    let claim = &settings.username_claim;
    let Some(name) = find(claims, claim).and_then(Value::as_str) else {
        return Err(OidcError::Name(format!("it tells no claim {claim:?}")));
    };
    if claim == "email" && claims.get("email_verified") == Some(&Value::Bool(false)) {
        return Err(OidcError::Name("the address was not verified".to_owned()));
    }
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let identity = format!("{} {subject}", settings.issuer);
    let unfit = || OidcError::Name(format!("the claim {claim:?} has characters that no name has, or too many"));
    Person::new(name, &identity, role(settings, claims)).ok_or_else(unfit)
}

/// The most that any of the words gives.
fn role(settings: &OidcSettings, claims: &Value) -> Option<Role> {
    let words: Vec<&str> = match find(claims, &settings.roles_claim)? {
        Value::String(word) => vec![word],
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let given: Vec<Role> = words.iter().filter_map(|word| settings.roles.get(*word).copied()).collect();
    Role::ALL.into_iter().find(|role| given.contains(role))
}

fn find<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(more: &str) -> OidcSettings {
        let text = format!(
            "issuer = 'https://id.example'\nclient_id = 'a'\nclient_secret_file = '/s'\n{more}\n\
             [roles]\nadmins = 'admin'\nwatchers = 'viewer'\nauditors = 'auditor'"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_highest_role_that_a_word_gives_is_taken() {
        let role = |more: &str, claims: Value| role(&settings(more), &claims);
        assert_eq!(role("", json!({ "groups": ["staff", "watchers", "auditors"] })), Some(Role::Auditor));
        assert_eq!(role("", json!({ "groups": ["watchers", "admins"] })), Some(Role::Admin));
        assert_eq!(role("", json!({ "groups": "watchers" })), Some(Role::Viewer));
        let nested = json!({ "realm_access": { "roles": ["admins"] } });
        assert_eq!(role("roles_claim = '/realm_access/roles'", nested), Some(Role::Admin));
        let none =
            [json!({}), json!({ "groups": [] }), json!({ "groups": ["Admins", 1, null] }), json!({ "groups": true })];
        for claims in none {
            assert_eq!(role("", claims.clone()), None, "{claims}");
        }
    }

    #[test]
    fn a_name_is_what_the_claim_says_or_nobody_comes_in() {
        let claims =
            json!({ "sub": "1", "preferred_username": "alice", "email": "a@b.example", "email_verified": false });
        assert_eq!(person(&settings(""), &claims).unwrap().name(), "oidc:alice");
        for (more, told) in [
            ("username_claim = 'upn'", "no claim \"upn\""),
            ("username_claim = 'email'", "not verified"),
            ("username_claim = 'email_verified'", "no claim"),
        ] {
            assert!(person(&settings(more), &claims).unwrap_err().to_string().contains(told), "{more}");
        }
        assert!(person(&settings(""), &json!({ "sub": "1", "preferred_username": "a\nb" })).is_err());
    }
}
