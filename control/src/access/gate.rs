//! Lets in or refuses: sign-in, sessions, API tokens; and keeps the users.

use std::net::IpAddr;
use std::sync::Arc;

use penstock_core::audit::timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::guess::Guesses;
use super::password::{self, Password, PasswordError};
use super::{Doors, Identity, Role, Way, is_vouched, secret};
use crate::audit::moment;
use crate::store::{AccessStore, SessionRecord, StoreError, TokenRecord, UserChange, UserOutcome, UserRecord};

/// Everything that decides who is let in.
pub(crate) struct Gate {
    pub(super) store: Arc<dyn AccessStore>,
    doors: Doors,
    guesses: Guesses,
    /// Hashing a password costs 19 MiB and a core: so many at once.
    hashing: Arc<Semaphore>,
}

/// Why somebody is not let in, or a change to users and tokens is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("there is no {0} of that name")]
    Absent(&'static str),
    #[error("wrong name or password")]
    Credentials,
    #[error("a token lives for 1 to {TOKEN_DAYS_MAX} days")]
    Days,
    #[error("this is the last admin: nobody could manage users any more")]
    LastAdmin,
    #[error(
        "the OpenID provider says who this user is: name and role are changed there, and there is no password here"
    )]
    Elsewhere,
    #[error("a name has 1 to {NAME_CHARACTERS_MAX} letters, digits or any of . _ @ -")]
    Name,
    #[error("the OpenID provider gives you no role here; ask who keeps its groups")]
    NoRole,
    #[error("another person of this name signed in before; an admin removes that user to make room")]
    OtherPerson,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("signing in by password is turned off; sign in by the OpenID provider")]
    PasswordsOff,
    #[error("no randomness: {0}")]
    Randomness(getrandom::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is a user of that name already")]
    Taken,
    #[error("too many failed attempts; try again in {seconds} seconds")]
    Wait { seconds: u64 },
}

impl From<getrandom::Error> for AccessError {
    fn from(error: getrandom::Error) -> Self {
        Self::Randomness(error)
    }
}

/// A session that was opened.
pub(crate) struct SignedIn {
    /// The cookie's value; known to the browser alone.
    pub(crate) cookie: Zeroizing<String>,
    pub(crate) identity: Identity,
}

/// A user, as lists show it.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct AccountView {
    pub(crate) name: String,
    #[schema(value_type = Role)]
    pub(crate) role: String,
    pub(crate) created: String,
    #[schema(required)]
    pub(crate) signed_in: Option<String>,
}

/// A token, as lists show it.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(crate) struct TokenView {
    pub(crate) id: String,
    pub(crate) comment: String,
    #[schema(value_type = Role)]
    pub(crate) role: String,
    /// The user who made it; null when it was the holder of the token file.
    #[schema(required)]
    pub(crate) owner: Option<String>,
    pub(crate) created: String,
    pub(crate) expires: String,
    pub(crate) expired: bool,
    #[schema(required)]
    pub(crate) used: Option<String>,
}

/// A token that was made. The only time that it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewToken {
    pub(crate) token: String,
    #[serde(flatten)]
    pub(crate) view: TokenView,
}

impl Gate {
    pub(crate) fn new(store: Arc<dyn AccessStore>, doors: Doors) -> Self {
        Self { store, doors, guesses: Guesses::new(), hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)) }
    }

    /// Makes the first admin where there is no user at all, and answers the password, which is kept as a hash alone.
    pub(crate) async fn first_password(&self) -> Result<Option<Zeroizing<String>>, AccessError> {
        if !self.store.users().await?.is_empty() {
            return Ok(None);
        }
        let password = secret::password()?;
        let user = self.user_record(FIRST_ADMIN, Role::Admin, password.clone().into()).await?;
        // Of several daemons that start at once, one makes it.
        match self.store.add_first_user(user).await? {
            UserOutcome::Taken => Ok(None),
            outcome => settled(outcome).map(|()| Some(password)),
        }
    }

    /// Opens a session for who knows the password.
    pub(crate) async fn sign_in(&self, name: &str, password: Password, from: IpAddr) -> Result<SignedIn, AccessError> {
        let user = self.prove(name, password, from).await?;
        self.open(&user).await
    }

    /// Opens a session of somebody who proved who it is.
    pub(super) async fn open(&self, user: &UserRecord) -> Result<SignedIn, AccessError> {
        let now_ms = moment::now_ms();
        let cookie = secret::random()?;
        let hash = secret::hash(&cookie);
        let session = SessionRecord { hash, user: user.name.clone(), opened_ms: now_ms, used_ms: now_ms };
        let identity = identity_of(&session, user, &cookie).ok_or(AccessError::Credentials)?;
        self.store.open_session(session, now_ms.saturating_sub(SESSION_IDLE_MS)).await?;
        Ok(SignedIn { cookie, identity })
    }

    /// The user of this name and password, within the bound on guesses.
    async fn prove(&self, name: &str, password: Password, from: IpAddr) -> Result<UserRecord, AccessError> {
        self.guesses.take(name, from, moment::now_ms()).map_err(|seconds| AccessError::Wait { seconds })?;
        if !self.doors.passwords {
            return Err(AccessError::PasswordsOff);
        }
        let user = self.store.user(name.to_owned()).await?.filter(|user| !is_vouched(&user.name));
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let is_right = self.hashing(move || password::verify(hash.as_deref(), &password)).await?;
        match user {
            Some(user) if is_right => {
                self.guesses.right(name, from);
                Ok(user)
            }
            _ => Err(AccessError::Credentials),
        }
    }

    /// Takes an attempt to sign in without a password off the account of its source.
    pub(crate) fn attempt(&self, from: IpAddr) -> Result<(), AccessError> {
        self.guesses.take_source(from, moment::now_ms()).map_err(|seconds| AccessError::Wait { seconds })
    }

    /// That attempt was right.
    pub(crate) fn attempt_was_right(&self, from: IpAddr) {
        self.guesses.right_source(from);
    }

    /// Whether users may sign in by password.
    pub(crate) fn has_passwords(&self) -> bool {
        self.doors.passwords
    }

    /// Who holds this cookie, while the session lives.
    pub(crate) async fn session(&self, cookie: &str) -> Result<Option<Identity>, AccessError> {
        let Some((session, user)) = self.store.session(secret::hash(cookie)).await? else { return Ok(None) };
        let now_ms = moment::now_ms();
        let is_over = now_ms.saturating_sub(session.used_ms) > SESSION_IDLE_MS
            || self.doors.life_ms(&user.name).is_none_or(|life_ms| now_ms.saturating_sub(session.opened_ms) > life_ms);
        if is_over {
            self.store.close_session(session.hash).await?;
            return Ok(None);
        }
        if now_ms.saturating_sub(session.used_ms) > TOUCH_MS {
            self.store.touch_session(session.hash.clone(), now_ms).await?;
        }
        Ok(identity_of(&session, &user, cookie))
    }

    pub(crate) async fn sign_out(&self, identity: &Identity) -> Result<(), AccessError> {
        if let Way::Session { hash, .. } = &identity.way {
            self.store.close_session(hash.clone()).await?;
        }
        Ok(())
    }

    /// Who holds this API token, while it lives.
    pub(crate) async fn token(&self, token: &str) -> Result<Option<Identity>, AccessError> {
        if !token.starts_with(TOKEN_PREFIX) {
            return Ok(None);
        }
        let Some(record) = self.store.token(secret::hash(token)).await? else { return Ok(None) };
        let now_ms = moment::now_ms();
        if record.expires_ms <= now_ms {
            return Ok(None);
        }
        if record.used_ms.is_none_or(|used_ms| now_ms.saturating_sub(used_ms) > TOUCH_MS) {
            self.store.touch_token(record.id.clone(), now_ms).await?;
        }
        let name = format!("token:{}", record.id);
        Ok(Role::parse(&record.role).map(|role| Identity { name, role, way: Way::Token }))
    }

    pub(crate) async fn users(&self) -> Result<Vec<AccountView>, AccessError> {
        let users = self.store.users().await?;
        let view = |user: UserRecord| AccountView {
            name: user.name,
            role: user.role,
            created: timestamp(user.created_ms),
            signed_in: user.signed_in_ms.map(timestamp),
        };
        Ok(users.into_iter().map(view).collect())
    }

    pub(crate) async fn add_user(&self, name: &str, role: Role, password: Password) -> Result<(), AccessError> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || ".-_@".contains(character);
        if name.is_empty() || name.len() > NAME_CHARACTERS_MAX || !name.chars().all(is_plain) {
            return Err(AccessError::Name);
        }
        let user = self.user_record(name, role, password).await?;
        settled(self.store.add_user(user).await?)
    }

    async fn user_record(&self, name: &str, role: Role, password: Password) -> Result<UserRecord, AccessError> {
        let password_hash = self.hash(name, password).await?;
        let (name, role) = (name.to_owned(), role.label().to_owned());
        Ok(UserRecord { name, role, password_hash, created_ms: moment::now_ms(), signed_in_ms: None })
    }

    /// Changes role, password, or both. A new password ends the user's sessions.
    pub(crate) async fn change_user(
        &self,
        name: &str,
        role: Option<Role>,
        password: Option<Password>,
    ) -> Result<(), AccessError> {
        if is_vouched(name) {
            return Err(AccessError::Elsewhere);
        }
        let password_hash = match password {
            Some(password) => Some(self.hash(name, password).await?),
            None => None,
        };
        let change = UserChange { role: role.map(|role| role.label().to_owned()), password_hash };
        settled(self.store.change_user(name.to_owned(), change).await?)
    }

    /// A user's own change of password: whoever found a browser unlocked does not know the old one.
    pub(crate) async fn change_own_password(
        &self,
        name: &str,
        from: IpAddr,
        old: Password,
        new: Password,
    ) -> Result<(), AccessError> {
        if is_vouched(name) {
            return Err(AccessError::Elsewhere);
        }
        self.prove(name, old, from).await?;
        self.change_user(name, None, Some(new)).await
    }

    pub(crate) async fn remove_user(&self, name: &str) -> Result<(), AccessError> {
        settled(self.store.remove_user(name.to_owned()).await?)
    }

    pub(crate) async fn tokens(&self) -> Result<Vec<TokenView>, AccessError> {
        let now_ms = moment::now_ms();
        Ok(self.store.tokens().await?.into_iter().map(|token| TokenView::of(token, now_ms)).collect())
    }

    pub(crate) async fn add_token(
        &self,
        by: &Identity,
        role: Role,
        days: u32,
        comment: String,
    ) -> Result<NewToken, AccessError> {
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            return Err(AccessError::Days);
        }
        let token = format!("{TOKEN_PREFIX}{}", *secret::random()?);
        let hash = secret::hash(&token);
        let now_ms = moment::now_ms();
        let record = TokenRecord {
            id: hash.chars().take(TOKEN_ID_CHARACTERS).collect(),
            hash,
            comment: comment.chars().filter(|character| !character.is_control()).take(COMMENT_CHARACTERS_MAX).collect(),
            role: role.label().to_owned(),
            owner: by.user().map(str::to_owned),
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(u64::from(days) * 86_400_000),
            used_ms: None,
        };
        self.store.add_token(record.clone()).await?;
        Ok(NewToken { token, view: TokenView::of(record, now_ms) })
    }

    pub(crate) async fn remove_token(&self, id: &str) -> Result<(), AccessError> {
        let was_there = self.store.remove_token(id.to_owned()).await?;
        if was_there { Ok(()) } else { Err(AccessError::Absent("token")) }
    }

    async fn hash(&self, name: &str, password: Password) -> Result<String, AccessError> {
        let name = name.to_owned();
        Ok(self.hashing(move || password::hash(&name, &password)).await??)
    }

    /// Runs slow work off the reactor, a few at once.
    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccessError> {
        let stopped = || AccessError::Store(StoreError::Stopped);
        let permit = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| stopped())?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| stopped())
    }
}

impl TokenView {
    fn of(record: TokenRecord, now_ms: u64) -> Self {
        Self {
            id: record.id,
            comment: record.comment,
            role: record.role,
            owner: record.owner,
            created: timestamp(record.created_ms),
            expires: timestamp(record.expires_ms),
            expired: record.expires_ms <= now_ms,
            used: record.used_ms.map(timestamp),
        }
    }
}

fn identity_of(session: &SessionRecord, user: &UserRecord, cookie: &str) -> Option<Identity> {
    let way = Way::Session { csrf: secret::csrf(cookie), hash: session.hash.clone() };
    Role::parse(&user.role).map(|role| Identity { name: user.name.clone(), role, way })
}

pub(super) fn settled(outcome: UserOutcome) -> Result<(), AccessError> {
    match outcome {
        UserOutcome::Absent => Err(AccessError::Absent("user")),
        UserOutcome::Done => Ok(()),
        UserOutcome::LastAdmin => Err(AccessError::LastAdmin),
        UserOutcome::Taken => Err(AccessError::Taken),
    }
}

/// Name of the user that the first start makes.
pub(crate) const FIRST_ADMIN: &str = "admin";
/// Begins every API token, so that scanners of leaked secrets know one.
const TOKEN_PREFIX: &str = "penstock_";
const TOKEN_ID_CHARACTERS: usize = 12;
const TOKEN_DAYS_MAX: u32 = 3650;
const NAME_CHARACTERS_MAX: usize = 64;
const COMMENT_CHARACTERS_MAX: usize = 200;
const HASHES_AT_ONCE: usize = 2;
/// A session that is not used for so long is over.
const SESSION_IDLE_MS: u64 = 30 * 60_000;
/// Uses are noted no finer than this.
const TOUCH_MS: u64 = 60_000;
