//! What ties an answer of the provider to the browser that asked.
//!
//! The browser keeps a secret of 256 bits in a cookie, and everything that travels is a hash of it: the state, the nonce,
//! the verifier of PKCE. So no table of sign-ins under way exists that strangers could fill, every daemon that shares the
//! configuration can take the answer, and whoever brings a state without its cookie (login CSRF) brings nothing.

use zeroize::Zeroizing;

use crate::access::{hash_secret, random_secret};

/// One sign-in under way.
pub(crate) struct Ticket(Zeroizing<String>);

impl Ticket {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        random_secret().map(Self)
    }

    /// Reads what [`Self::secret`] gave.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let is_whole = text.len() == SECRET_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// For the cookie.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    pub(super) fn state(&self) -> String {
        self.word("state")
    }

    pub(super) fn nonce(&self) -> String {
        self.word("nonce")
    }

    /// 64 characters; RFC 7636 section 4.1 wants 43 to 128.
    pub(super) fn verifier(&self) -> String {
        self.word("verifier")
    }

    fn word(&self, of: &str) -> String {
        hash_secret(&format!("{of} {}", *self.0))
    }
}

const SECRET_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_differs_and_tells_nothing_of_the_rest() {
        let ticket = Ticket::new().unwrap();
        let again = Ticket::read(ticket.secret()).unwrap();
        let words = [ticket.state(), ticket.nonce(), ticket.verifier(), ticket.secret().to_owned()];
        assert_eq!([again.state(), again.nonce(), again.verifier()], words[..3]);
        assert!((0..4).all(|one| (0..one).all(|other| words[one] != words[other])), "{words:?}");
        assert!(words.iter().all(|word| word.len() == 64));
        for no_ticket in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
            assert!(Ticket::read(no_ticket).is_none(), "{no_ticket:?}");
        }
    }
}
