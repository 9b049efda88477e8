//! The roles, what there is to do, and the one table that says who may do what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user or a token may do. [`Role::may`] is the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Admin,
    Auditor,
    Operator,
    Viewer,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// One's own session and password.
    Account,
    ChangePolicy,
    /// Users and tokens.
    ManageAccess,
    /// Which data planes belong to the fleet.
    ManageNodes,
    /// With names of people masked.
    ReadEvents,
    /// Policy, catalogue, nodes, authority, metrics.
    ReadState,
    ReadTrail,
    RotateAuthority,
    SignIn,
    SignOut,
    /// Check and explain: changes nothing.
    TryPolicy,
    /// See the names of people in events, or look for one.
    Unmask,
    /// Users and tokens, as a list.
    ViewAccess,
}

impl Role {
    /// From most to least.
    pub(crate) const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::Auditor, Self::Viewer];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    pub(crate) fn parse(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.label() == label)
    }

    /// The table. What is not named here is refused.
    pub(crate) const fn may(self, act: Act) -> bool {
        match act {
            Act::Account | Act::ReadEvents | Act::ReadState | Act::SignIn | Act::SignOut | Act::TryPolicy => true,
            Act::ChangePolicy => matches!(self, Self::Admin | Self::Operator),
            Act::ManageAccess | Act::ManageNodes | Act::RotateAuthority => matches!(self, Self::Admin),
            Act::ReadTrail | Act::Unmask | Act::ViewAccess => matches!(self, Self::Admin | Self::Auditor),
        }
    }

    /// In a sentence, for those who give it.
    pub(crate) const fn summary(self) -> &'static str {
        match self {
            Self::Admin => "everything, users and tokens too",
            Self::Auditor => "sees everything, also names of people and the trail; changes nothing",
            Self::Operator => "sees state and events, changes the policy",
            Self::Viewer => "sees state and events, with names of people masked",
        }
    }
}

impl Act {
    pub(crate) const ALL: [Self; 13] = [
        Self::Account,
        Self::ChangePolicy,
        Self::ManageAccess,
        Self::ManageNodes,
        Self::ReadEvents,
        Self::ReadState,
        Self::ReadTrail,
        Self::RotateAuthority,
        Self::SignIn,
        Self::SignOut,
        Self::TryPolicy,
        Self::Unmask,
        Self::ViewAccess,
    ];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::ChangePolicy => "change_policy",
            Self::ManageAccess => "manage_access",
            Self::ManageNodes => "manage_nodes",
            Self::ReadEvents => "read_events",
            Self::ReadState => "read_state",
            Self::ReadTrail => "read_trail",
            Self::RotateAuthority => "rotate_authority",
            Self::SignIn => "sign_in",
            Self::SignOut => "sign_out",
            Self::TryPolicy => "try_policy",
            Self::Unmask => "unmask",
            Self::ViewAccess => "view_access",
        }
    }

    /// Whether the trail tells of it: what changes something, and what shows people.
    pub(crate) const fn is_recorded(self) -> bool {
        !matches!(self, Self::ReadEvents | Self::ReadState | Self::ReadTrail | Self::TryPolicy | Self::ViewAccess)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out once more, so that no cell changes unnoticed.
    #[test]
    fn the_table_is_as_documented() {
        let beyond_viewing = |role: Role| -> Vec<&str> {
            let more = |act: &&Act| role.may(**act) && !Role::Viewer.may(**act);
            Act::ALL.iter().filter(more).map(|act| act.label()).collect()
        };
        let viewer: Vec<&str> = Act::ALL.iter().filter(|act| Role::Viewer.may(**act)).map(|act| act.label()).collect();
        assert_eq!(viewer, ["account", "read_events", "read_state", "sign_in", "sign_out", "try_policy"]);
        assert_eq!(beyond_viewing(Role::Operator), ["change_policy"]);
        assert_eq!(beyond_viewing(Role::Auditor), ["read_trail", "unmask", "view_access"]);
        assert_eq!(viewer.len() + beyond_viewing(Role::Admin).len(), Act::ALL.len());
        assert!(Role::ALL.iter().all(|role| Role::parse(role.label()) == Some(*role)));
        assert_eq!(Role::parse("root"), None);
    }
}
