//! Signing in without a password: an OpenID provider vouches for somebody.
//!
//! Who does so is a user like others, under a name that no user of the appliance's own can have. In the place of a
//! password's hash stands what tells the person from others of that name; no password opens it.

use super::doors::VOUCHED;
use super::{AccessError, Gate, Role, SignedIn, secret};
use crate::audit::moment;
use crate::store::{UserChange, UserRecord};

/// Somebody whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    name: String,
    proof: String,
    role: Option<Role>,
}

impl Person {
    /// Takes the claim that names the user, what tells the person from all others (issuer and subject), and the role that
    /// the provider's groups give, if they give one. `None` where the name is none that lists and the trail could show.
    pub(crate) fn new(claim: &str, identity: &str, role: Option<Role>) -> Option<Self> {
        let is_fit = |character: char| {
            character != '/' && (character.is_alphanumeric() || character.is_ascii_graphic() || character == ' ')
        };
        let characters = claim.chars().count();
        if claim.trim() != claim || !(1..=NAME_CHARACTERS_MAX).contains(&characters) || !claim.chars().all(is_fit) {
            return None;
        }
        let proof = format!("{VOUCHED}{}", secret::hash(identity));
        Some(Self { name: format!("{VOUCHED}{claim}"), proof, role })
    }

    /// As lists and the trail name it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Gate {
    /// Opens a session. The first one makes the user; each gives the role of now, so that a role that was taken away at the
    /// provider ends with the next sign-in.
    pub(crate) async fn sign_in_vouched(&self, person: &Person) -> Result<SignedIn, AccessError> {
        let Person { name, proof, role } = person;
        let known = self.store.user(name.clone()).await?;
        if known.as_ref().is_some_and(|known| known.password_hash != *proof) {
            return Err(AccessError::OtherPerson);
        }
        let Some(role) = role.map(|role| role.label().to_owned()) else {
            if known.is_some() {
                // As with a new password: sessions of the role of once end.
                let change = UserChange { role: None, password_hash: Some(proof.clone()) };
                super::gate::settled(self.store.change_user(name.clone(), change).await?)?;
            }
            return Err(AccessError::NoRole);
        };
        let user = match known {
            Some(known) if known.role == role => known,
            Some(known) => {
                let change = UserChange { role: Some(role.clone()), password_hash: None };
                super::gate::settled(self.store.change_user(name.clone(), change).await?)?;
                UserRecord { role, ..known }
            }
            None => {
                let (name, password_hash) = (name.clone(), proof.clone());
                let user = UserRecord { name, role, password_hash, created_ms: moment::now_ms(), signed_in_ms: None };
                super::gate::settled(self.store.add_user(user.clone()).await?)?;
                user
            }
        };
        self.open(&user).await
    }
}

/// With what stands before it, a name fits into the trail.
const NAME_CHARACTERS_MAX: usize = 64 - VOUCHED.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_can_be_shown() {
        let name = |claim: &str| Person::new(claim, "i s", None).map(|person| person.name);
        for fit in ["alice@contoso.com", "a_x.com#EXT#@contoso.com", "CONTOSO\\alice", "Zoë Müller", "auth0|12"] {
            assert_eq!(name(fit), Some(format!("oidc:{fit}")));
        }
        for unfit in ["", " alice", "a\nb", "a/b", "\u{202e}ecila", &"a".repeat(60)] {
            assert_eq!(name(unfit), None, "{unfit:?}");
        }
        assert_ne!(Person::new("a", "i s", None), Person::new("a", "i t", None), "another subject is another person");
    }
}
