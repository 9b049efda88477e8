//! The way to the provider and back.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClaimName, CoreClaimType, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm, CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AuthType, AuthorizationCode, ClaimsVerificationError, Client,
    ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdTokenFields, IdTokenVerifier, IssuerUrl, JsonWebKeySet, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, ProviderMetadata, RedirectUrl, RequestTokenError, Scope, StandardErrorResponse,
    StandardTokenResponse, SubjectIdentifier, TokenResponse as _, UserInfoClaims, UserInfoError,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{Mutex, Semaphore};

use super::error::OidcError;
use super::http::Http;
use super::person;
use super::ticket::Ticket;
use crate::access::Person;
use crate::config::OidcSettings;
use crate::peer;

/// The provider of the configuration.
pub(crate) struct Provider {
    settings: OidcSettings,
    redirect: RedirectUrl,
    http: Http,
    /// What it says of itself; held while it is asked, so that it is asked once.
    known: Mutex<Option<Known>>,
    /// Exchanges that may be under way at once.
    exchanges: Semaphore,
    /// States of late that were answered.
    used: std::sync::Mutex<VecDeque<String>>,
}

/// What the browser brings back (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Default, Deserialize)]
pub(crate) struct Answer {
    code: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
    state: Option<String>,
}

#[derive(Clone)]
struct Known {
    metadata: Metadata,
    since: Instant,
}

/// Claims beside those of the standard.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Claims {
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

/// RFC 9207 section 3.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Promises {
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl AdditionalProviderMetadata for Promises {}

type Metadata = ProviderMetadata<
    Promises,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
type TokenFields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<TokenFields, CoreTokenType>;
type Party = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Provider {
    /// Checks what can be checked without the provider: the secret's file, and where browsers come back to.
    pub(crate) fn new(settings: OidcSettings, redirect: String) -> io::Result<Arc<Self>> {
        peer::read_private(&settings.client_secret_file)?;
        let redirect = RedirectUrl::new(redirect).map_err(io::Error::other)?;
        let http = Http::new(&settings);
        let exchanges = Semaphore::new(EXCHANGES_MAX);
        Ok(Arc::new(Self { settings, redirect, http, known: Mutex::default(), exchanges, used: Default::default() }))
    }

    /// What the button calls it.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Asks the provider about itself, ahead of the first who signs in.
    pub(crate) async fn greet(&self) {
        if let Err(error) = self.known().await {
            tracing::warn!(%error, "nobody signs in by the OpenID provider meanwhile; each who tries asks it again");
        }
    }

    /// Where the browser is sent.
    pub(crate) async fn begin(&self, ticket: &Ticket) -> Result<String, OidcError> {
        let party = self.party(self.known().await?.metadata)?;
        let (state, nonce, verifier) = (ticket.state(), ticket.nonce(), PkceCodeVerifier::new(ticket.verifier()));
        let request = party.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        );
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        let (url, _, _) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        Ok(url.into())
    }

    /// Who the answer is about. Of one ticket one answer is looked at.
    pub(crate) async fn conclude(&self, ticket: Option<&Ticket>, answer: Answer) -> Result<Person, OidcError> {
        let ticket = ticket.filter(|ticket| answer.state.as_deref() == Some(&*ticket.state()));
        let ticket = ticket.ok_or(OidcError::Astray)?;
        let known = self.known().await?;
        let is_promised = known.metadata.additional_metadata().authorization_response_iss_parameter_supported;
        let is_theirs = answer.iss.as_ref().map_or(!is_promised, |issuer| *issuer == self.settings.issuer);
        if !is_theirs {
            return Err(OidcError::MixUp);
        }
        self.use_up(ticket.state())?;
        let code = match answer {
            Answer { error: Some(error), error_description, .. } => {
                let described = error_description.map_or_else(String::new, |words| format!(" ({words})"));
                return Err(OidcError::Refused(shown(&format!("{error}{described}"))));
            }
            Answer { code: Some(code), .. } => code,
            Answer { .. } => return Err(OidcError::Refused("nothing".to_owned())),
        };
        let _permit = self.exchanges.try_acquire().map_err(|_| OidcError::Busy)?;
        let tokens = self.exchange(known.metadata.clone(), ticket, code).await?;
        let claims = match self.verify(known.metadata.jwks(), ticket, &tokens) {
            // Keys are changed every so often.
            Err(ClaimsVerificationError::SignatureVerification(_)) => {
                let keys = self.fresh_keys(&known.metadata).await?;
                self.verify(&keys, ticket, &tokens)
            }
            verified => verified,
        };
        let mut claims = claims.map_err(|error| OidcError::Token(shown(&error.to_string())))?;
        if !person::is_told(&self.settings, &claims) {
            self.complete(known.metadata, &tokens, &mut claims).await?;
        }
        person::person(&self.settings, &claims)
    }

    /// Adds what the provider tells of the person by the access token alone (OpenID Connect Core 1.0 section 5.4), where it
    /// tells anything. Its word on the ID token's own subject is taken, on no other.
    async fn complete(&self, metadata: Metadata, tokens: &Tokens, claims: &mut Value) -> Result<(), OidcError> {
        if metadata.userinfo_endpoint().is_none() {
            return Ok(());
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let subject = SubjectIdentifier::new(subject.to_owned());
        let party = self.party(metadata)?;
        let request = party.user_info(tokens.access_token().clone(), Some(subject));
        let request = request.map_err(|error| OidcError::Configuration(error.to_string()))?;
        let answer: Result<UserInfoClaims<Claims, CoreGenderClaim>, _> = request.request_async(&self.http).await;
        let more = answer.map_err(|error| match error {
            UserInfoError::Request(error) => OidcError::Unreachable(error.to_string()),
            other => OidcError::Token(told(&other)),
        })?;
        let more = serde_json::to_value(more).map_err(|error| OidcError::Token(error.to_string()))?;
        if let (Value::Object(claims), Value::Object(more)) = (claims, more) {
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    async fn exchange(&self, metadata: Metadata, ticket: &Ticket, code: String) -> Result<Tokens, OidcError> {
        let party = self.party(metadata)?;
        let request = party.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| OidcError::Configuration(error.to_string()))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(ticket.verifier()));
        request.request_async(&self.http).await.map_err(|error| match error {
            RequestTokenError::Request(error) => OidcError::Unreachable(error.to_string()),
            RequestTokenError::ServerResponse(answer) => OidcError::Exchange(shown(&answer.to_string())),
            RequestTokenError::Parse(error, _) => OidcError::Token(shown(&error.to_string())),
            RequestTokenError::Other(error) => OidcError::Token(shown(&error)),
        })
    }

    /// Every check of OpenID Connect Core 1.0 section 3.1.3.7; the claims when all hold.
    fn verify(
        &self,
        keys: &JsonWebKeySet<CoreJsonWebKey>,
        ticket: &Ticket,
        tokens: &Tokens,
    ) -> Result<Value, ClaimsVerificationError> {
        let other = |told: &str| ClaimsVerificationError::Other(told.to_owned());
        let token = tokens.id_token().ok_or_else(|| other("there is no ID token"))?;
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|error| other(&error.to_string()))?;
        // As of a client without a secret: no algorithm that signs by what the client knows, and none that signs nothing.
        let verifier = IdTokenVerifier::new_public_client(self.client_id(), issuer, keys.clone())
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(|| (SystemTime::now() - SKEW).into())
            .set_issue_time_verifier_fn(|issued| is_of_now(issued.into()));
        let claims = token.claims(&verifier, &Nonce::new(ticket.nonce()))?;
        if claims.authorized_party().is_some_and(|party| *party != self.client_id()) {
            return Err(ClaimsVerificationError::InvalidAudience("it is for another party (azp)".to_owned()));
        }
        if claims.subject().is_empty() {
            return Err(ClaimsVerificationError::InvalidSubject("it is about nobody (sub)".to_owned()));
        }
        serde_json::to_value(claims).map_err(|error| other(&error.to_string()))
    }

    async fn fresh_keys(&self, metadata: &Metadata) -> Result<JsonWebKeySet<CoreJsonWebKey>, OidcError> {
        let asked = JsonWebKeySet::fetch_async(metadata.jwks_uri(), &self.http).await;
        let keys = asked.map_err(|error| OidcError::Unreachable(told(&error)))?;
        if let Some(known) = &mut *self.known.lock().await {
            known.metadata = known.metadata.clone().set_jwks(keys.clone());
        }
        Ok(keys)
    }

    /// What the provider says of itself. What it said an hour ago is good while it is silent.
    async fn known(&self) -> Result<Known, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && known.since.elapsed() < KNOWN_FOR
        {
            return Ok(known.clone());
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone());
        let issuer = issuer.map_err(|error| OidcError::Configuration(error.to_string()))?;
        match Metadata::discover_async(issuer, &self.http).await {
            Ok(metadata) => Ok(known.insert(Known { metadata, since: Instant::now() }).clone()),
            Err(error) => match &mut *known {
                Some(known) => {
                    tracing::warn!(error = told(&error), "the OpenID provider is silent; what it said before is used");
                    known.since = Instant::now();
                    Ok(known.clone())
                }
                None => Err(OidcError::Unreachable(told(&error))),
            },
        }
    }

    /// The appliance, as the provider knows it.
    fn party(&self, metadata: Metadata) -> Result<Party, OidcError> {
        let secret = peer::read_private(&self.settings.client_secret_file)?;
        let secret = ClientSecret::new(secret.trim().to_owned());
        // Where nothing is said it is the header (OpenID Connect Discovery 1.0 section 3).
        let methods = metadata.token_endpoint_auth_methods_supported();
        let by_header = methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let kind = if by_header { AuthType::BasicAuth } else { AuthType::RequestBody };
        let party = Party::from_provider_metadata(metadata, self.client_id(), Some(secret));
        Ok(party.set_redirect_uri(self.redirect.clone()).set_auth_type(kind))
    }

    fn client_id(&self) -> ClientId {
        ClientId::new(self.settings.client_id.clone())
    }

    /// A state counts once, whatever the provider would say to its code.
    fn use_up(&self, state: String) -> Result<(), OidcError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.contains(&state) {
            return Err(OidcError::Replayed);
        }
        if used.len() >= USED_MAX {
            used.pop_front();
        }
        used.push_back(state);
        Ok(())
    }
}

/// Whether a token was made just now: an old one is somebody's leavings.
fn is_of_now(issued: SystemTime) -> Result<(), String> {
    let now = SystemTime::now();
    if issued > now + SKEW {
        return Err("it was made in the future (iat)".to_owned());
    }
    if issued + FRESH + SKEW < now { Err("it was made long ago (iat)".to_owned()) } else { Ok(()) }
}

/// An error with what it comes from, which alone says what happened.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    shown(&told)
}

/// Words from elsewhere, fit for a page, the log and the trail.
fn shown(words: &str) -> String {
    words.chars().filter(|character| !character.is_control()).take(SHOWN_CHARACTERS_MAX).collect()
}

/// Signatures by keys that the provider publishes.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
];
/// By so much the clocks may differ.
const SKEW: Duration = Duration::from_secs(60);
/// Within which a code is exchanged.
const FRESH: Duration = Duration::from_secs(600);
/// Before the provider is asked about itself again.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// Each of one connection and ten seconds at most.
const EXCHANGES_MAX: usize = 16;
/// 64 bytes each.
const USED_MAX: usize = 4_096;
const SHOWN_CHARACTERS_MAX: usize = 300;
