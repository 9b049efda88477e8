//! `[oidc]`: an OpenID provider that says who signs in to the web UI. What is wrong in it is told with its line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use openidconnect::url::Url;
use serde::Deserialize;

use super::export::host_and_port;
use super::store::is_loopback;
use crate::role::Role;

/// The `[oidc]` table as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOidc {
    issuer: ProviderUrl,
    client_id: String,
    client_secret_file: PathBuf,
    redirect_url: Option<ProviderUrl>,
    name: Option<String>,
    scopes: Option<Vec<String>>,
    username_claim: Option<String>,
    roles_claim: Option<String>,
    roles: BTreeMap<String, Role>,
    passwords: Option<bool>,
    session_minutes: Option<u32>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_plaintext: bool,
}

/// The `[oidc]` table, checked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "RawOidc")]
pub struct OidcSettings {
    /// `https://HOST[:PORT][/PATH]`, to the letter as the provider calls itself in its discovery document.
    pub issuer: String,
    /// What the provider calls the appliance.
    pub client_id: String,
    /// File with the secret that the provider gave for it; readable by its owner alone, read at each use.
    pub client_secret_file: PathBuf,
    /// Where the provider sends browsers back to, as it is registered there: the listener's URL as browsers see it, and
    /// [`CALLBACK`]. Default: made of `listen`.
    pub redirect_url: Option<String>,
    /// What the button calls the provider. Default `your organisation`.
    pub name: String,
    /// What is asked for beside `openid`. Default `profile` and `email`.
    pub scopes: Vec<String>,
    /// Claim that names the user, of the ID token or else of what the provider tells of who holds the
    /// access token (userinfo). Default `preferred_username`.
    pub username_claim: String,
    /// The same with groups or roles, a word or a list of them. A JSON pointer where it begins with `/`:
    /// `/realm_access/roles`. Default `groups`.
    pub roles_claim: String,
    /// Which word of that claim gives which role; of several, the first of admin, operator, auditor, viewer.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Whether users of the appliance's own may still sign in by password. Default true.
    pub passwords: bool,
    /// A session is over after so many minutes, used or not. Default and most 720.
    pub session_minutes: u32,
    /// PEM: authorities that are trusted beside those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Speak in the clear with another host than this one. Default false.
    pub allow_plaintext: bool,
}

/// A URL of `http` or `https` with a host and nothing behind its path.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct ProviderUrl(String, Url);

impl TryFrom<String> for ProviderUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let url = Url::parse(&text).map_err(|error| format!("no URL: {error}"))?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        if !is_web {
            return Err("must begin with https:// and name a host".to_owned());
        }
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if is_plain { Ok(Self(text, url)) } else { Err("must end with its path".to_owned()) }
    }
}

impl ProviderUrl {
    fn is_safe(&self) -> bool {
        self.1.scheme() == "https" || self.1.host_str().is_some_and(is_here)
    }
}

/// Whether a URL's host is this machine; an address of IPv6 stands in brackets there.
pub(crate) fn is_here(host: &str) -> bool {
    host_and_port(host, Some(1)).is_some_and(|(host, _)| is_loopback(&host))
}

impl TryFrom<RawOidc> for OidcSettings {
    type Error = String;

    fn try_from(raw: RawOidc) -> Result<Self, String> {
        if !raw.issuer.is_safe() && !raw.allow_plaintext {
            return Err("issuer: who signs in would be told in the clear: use https://, or say allow_plaintext = true"
                .to_owned());
        }
        if let Some(redirect) = &raw.redirect_url {
            if redirect.1.path() != CALLBACK {
                return Err(format!("redirect_url: its path must be {CALLBACK}"));
            }
            if !redirect.is_safe() && !raw.allow_plaintext {
                return Err("redirect_url: sessions would cross the network in the clear: use https://, or say \
                    allow_plaintext = true"
                    .to_owned());
            }
        }
        let is_word = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_word(&raw.client_id) {
            return Err("client_id: must be a word".to_owned());
        }
        let scopes = raw.scopes.unwrap_or_else(|| vec!["profile".to_owned(), "email".to_owned()]);
        if !scopes.iter().all(is_word) {
            return Err("scopes: each must be a word".to_owned());
        }
        if raw.roles.is_empty() {
            return Err("roles: nobody could sign in: say which group has which role".to_owned());
        }
        let session_minutes = raw.session_minutes.unwrap_or(SESSION_MINUTES_MAX);
        if !(1..=SESSION_MINUTES_MAX).contains(&session_minutes) {
            return Err(format!("session_minutes: must be between 1 and {SESSION_MINUTES_MAX}"));
        }
        Ok(Self {
            issuer: raw.issuer.0,
            client_id: raw.client_id,
            client_secret_file: raw.client_secret_file,
            redirect_url: raw.redirect_url.map(|url| url.0),
            name: raw.name.unwrap_or_else(|| "your organisation".to_owned()),
            scopes,
            username_claim: raw.username_claim.unwrap_or_else(|| "preferred_username".to_owned()),
            roles_claim: raw.roles_claim.unwrap_or_else(|| "groups".to_owned()),
            roles: raw.roles,
            passwords: raw.passwords.unwrap_or(true),
            session_minutes,
            ca_file: raw.ca_file,
            allow_plaintext: raw.allow_plaintext,
        })
    }
}

impl OidcSettings {
    /// Where the provider sends browsers back to; `None` where `listen` does not say and `redirect_url` was left out.
    pub fn redirect(&self, listen: SocketAddr, has_tls: bool) -> Option<String> {
        let scheme = if has_tls { "https" } else { "http" };
        let derived = (!listen.ip().is_unspecified()).then(|| format!("{scheme}://{listen}{CALLBACK}"));
        self.redirect_url.clone().or(derived)
    }
}

/// Path to which the provider sends browsers back.
pub const CALLBACK: &str = "/sign-in/oidc/callback";
/// As long as any session.
const SESSION_MINUTES_MAX: u32 = 720;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<OidcSettings, String> {
        let text =
            format!("state_directory = '/x'\n[oidc]\nclient_id = 'penstock'\nclient_secret_file = '/s'\n{lines}");
        let raw: super::super::RawConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
        Ok(raw.oidc.unwrap())
    }

    const ROLES: &str = "roles = { staff = 'viewer' }";

    #[test]
    fn it_is_read_with_its_defaults() {
        let settings = read(&format!("issuer = 'https://id.example/realms/a'\n{ROLES}")).unwrap();
        assert_eq!((settings.username_claim.as_str(), settings.roles_claim.as_str()), ("preferred_username", "groups"));
        assert_eq!((settings.session_minutes, settings.passwords), (720, true));
        let listen = "127.0.0.1:7080".parse().unwrap();
        assert_eq!(settings.redirect(listen, true).unwrap(), "https://127.0.0.1:7080/sign-in/oidc/callback");
        assert_eq!(settings.redirect("0.0.0.0:7080".parse().unwrap(), true), None);
        for here in ["http://localhost:9000", "http://127.0.0.1:9000", "http://[::1]:9000"] {
            read(&format!("issuer = '{here}'\n{ROLES}")).unwrap();
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let good = "issuer = 'https://id.example'";
        for (lines, place, told) in [
            (format!("issuer = 'id.example'\n{ROLES}"), "line 5", "no URL"),
            (format!("issuer = 'ftp://id.example'\n{ROLES}"), "line 5", "must begin with https://"),
            (format!("issuer = 'https://id.example/?a=b'\n{ROLES}"), "line 5", "end with its path"),
            (format!("issuer = 'http://id.example'\n{ROLES}"), "line 2", "in the clear"),
            (format!("{good}\nroles = {{ staff = 'root' }}"), "line 6", "unknown variant `root`"),
            (format!("{good}\nroles = {{}}"), "line 2", "nobody could sign in"),
            (good.to_owned(), "line 2", "missing field `roles`"),
            (format!("{good}\n{ROLES}\nsession_minutes = 0"), "line 2", "between 1 and 720"),
            (format!("{good}\n{ROLES}\nsession_minutes = 721"), "line 2", "between 1 and 720"),
            (format!("{good}\n{ROLES}\nredirect_url = 'https://a.example/back'"), "line 2", "path must be"),
            (
                format!("{good}\n{ROLES}\nredirect_url = 'http://a.example/sign-in/oidc/callback'"),
                "line 2",
                "in the clear",
            ),
            (format!("{good}\n{ROLES}\nscopes = ['a b']"), "line 2", "each must be a word"),
            (format!("{good}\n{ROLES}\nclient_secret = 'x'"), "line 7", "unknown field"),
        ] {
            let refused = read(&lines).unwrap_err();
            assert!(refused.contains(told) && refused.contains(place), "{lines}: {refused}");
        }
    }
}
