//! Who asks.

use super::{Act, Role};

/// One who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// As the trail names it: the user, `token:ID`, or `token:file`.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) way: Way,
}

/// How the one who asks proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The token file of this machine: whoever reads it is root here, or was given it.
    File,
    /// A browser's cookie. The word that its forms must bring along, and the hash that names the session.
    Session { csrf: String, hash: String },
    /// An API token.
    Token,
}

impl Identity {
    /// The holder of the token file.
    pub(crate) fn file() -> Self {
        Self { name: "token:file".to_owned(), role: Role::Admin, way: Way::File }
    }

    pub(crate) fn may(&self, act: Act) -> bool {
        self.role.may(act)
    }

    /// Who a change is by: only the token file's holder, who is known by no name, may say.
    pub(crate) fn author(&self, claimed: Option<String>) -> String {
        match self.way {
            Way::File => claimed.unwrap_or_else(|| "api".to_owned()),
            Way::Session { .. } | Way::Token => self.name.clone(),
        }
    }

    /// The user behind it; none for the token file and for tokens.
    pub(crate) fn user(&self) -> Option<&str> {
        matches!(self.way, Way::Session { .. }).then_some(self.name.as_str())
    }

    /// The word that this session's forms carry; empty where there is no session.
    pub(crate) fn csrf(&self) -> &str {
        match &self.way {
            Way::Session { csrf, .. } => csrf,
            Way::File | Way::Token => "",
        }
    }
}
