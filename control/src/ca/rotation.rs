//! How one root follows another: announced, then signing while the old one is still served, then alone.
//!
//! ```text
//!             rotate                 overlap is over, or --now            --finish, or the old root's end
//! one root ──────────▶ announced ──────────────────────────▶ switched ──────────────────────────────▶ one root
//!             both are served,              both are served,
//!             the old one signs             the new one signs; the old one's word for it goes along
//! ```

use super::root::{Certificate, Root, RootFacts};

/// Where a rotation stands, with what belongs to it.
pub(super) enum Rotation {
    /// The next root is served and does not sign yet.
    Announced {
        /// The next root.
        next: Box<Root>,
        /// The signing root's certificate for it.
        cross: Option<Vec<u8>>,
    },
    /// None is under way.
    None,
    /// The old root is served and signs no more; its key is gone.
    Switched {
        /// The old root.
        old: Box<Certificate>,
        /// Its certificate for the root that signs now.
        cross: Option<Vec<u8>>,
    },
}

/// What is asked of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// Make the next root and serve it beside the one that signs.
    Announce,
    /// Serve the new root alone.
    Finish,
    /// Let the next root sign from now on; one is made when there is none.
    Switch,
}

/// Where a rotation stands, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationFacts {
    /// Both are served, the old one signs.
    Announced {
        /// The next root.
        next: RootFacts,
        /// Unix second at which it begins to sign.
        switches_at: i64,
        /// Whether clients that have the old root alone will believe the next one's leaves.
        is_cross_signed: bool,
    },
    /// Both are served, the new one signs.
    Switched {
        /// The old root.
        old: RootFacts,
        /// Whether clients that have the old root alone believe the new one's leaves.
        is_cross_signed: bool,
    },
}
