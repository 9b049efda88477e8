//! Label sets: which places a metric's cells have, and the words that name each place.
//!
//! A set is a tuple of [`Label`]s, or one type that implies several labels (a [`Fault`] is leg, phase and kind). The
//! flat index puts the last label innermost. The network never makes a label, so every table has its final size when
//! the process starts.

use penstock_core::catalogue::{ConnectorId, DenialCode};
use penstock_core::flow::{Fault, FaultKind, Label, Leg, Phase};
use penstock_core::labelled;

/// A point in the product of closed label sets.
pub(crate) trait LabelSet: Copy + 'static {
    /// How many points there are.
    const COUNT: usize;
    /// How many labels name one point.
    const KEYS: usize;
    /// The flat index of this point, below [`Self::COUNT`].
    fn index(self) -> usize;
    /// The words of the point at `index`, in the order of the catalogue's label keys.
    fn labels_at(index: usize) -> Vec<&'static str>;
}

impl LabelSet for () {
    const COUNT: usize = 1;
    const KEYS: usize = 0;
    fn index(self) -> usize {
        0
    }
    fn labels_at(_index: usize) -> Vec<&'static str> {
        Vec::new()
    }
}

impl<A: Label> LabelSet for (A,) {
    const COUNT: usize = A::COUNT;
    const KEYS: usize = 1;
    fn index(self) -> usize {
        self.0.index()
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        vec![A::label_at(index)]
    }
}

impl<A: Label, B: Label> LabelSet for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;
    const KEYS: usize = 2;
    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        vec![A::label_at(index / B::COUNT), B::label_at(index % B::COUNT)]
    }
}

impl<A: Label, B: Label, C: Label> LabelSet for (A, B, C) {
    const COUNT: usize = A::COUNT * B::COUNT * C::COUNT;
    const KEYS: usize = 3;
    fn index(self) -> usize {
        (self.0.index() * B::COUNT + self.1.index()) * C::COUNT + self.2.index()
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        let (outer, inner) = (index / C::COUNT, index % C::COUNT);
        vec![A::label_at(outer / B::COUNT), B::label_at(outer % B::COUNT), C::label_at(inner)]
    }
}

impl LabelSet for Fault {
    const COUNT: usize = <(Leg, Phase, FaultKind) as LabelSet>::COUNT;
    const KEYS: usize = 3;
    fn index(self) -> usize {
        (self.leg, self.phase, self.kind).index()
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        <(Leg, Phase, FaultKind) as LabelSet>::labels_at(index)
    }
}

impl LabelSet for ConnectorId {
    const COUNT: usize = <Self as Label>::COUNT;
    const KEYS: usize = 1;
    fn index(self) -> usize {
        Label::index(self)
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        vec![Self::label_at(index)]
    }
}

/// A code belongs to one connector, so there are as many points as codes.
impl LabelSet for DenialCode {
    const COUNT: usize = <Self as Label>::COUNT;
    const KEYS: usize = 2;
    fn index(self) -> usize {
        Label::index(self)
    }
    fn labels_at(index: usize) -> Vec<&'static str> {
        Self::ALL.get(index).map_or_else(|| vec!["", ""], |code| vec![code.connector().label(), code.label()])
    }
}

labelled! {
    /// Which certificate an expiry belongs to.
    pub enum CertificateKind {
        /// The short-lived CA that signs leaves.
        Issuer = "issuer",
        /// The CA that users trust.
        Root = "root",
    }
}

labelled! {
    /// The HTTP version of an inspected request.
    pub enum Http {
        /// HTTP/1.0 and HTTP/1.1.
        One = "1.1",
        /// HTTP/2.
        Two = "2",
    }
}

labelled! {
    /// What came of a handshake with a client that began on a guess at what the origin would do.
    pub enum Overlap {
        /// The origin did what was guessed.
        Confirmed = "confirmed",
        /// The client's handshake failed first.
        Downstream = "downstream_failed",
        /// The origin chose another protocol.
        Refuted = "wrong_guess",
        /// The origin's handshake failed, or its certificate was refused.
        Upstream = "upstream_failed",
    }
}

labelled! {
    /// Why a policy of a control is not taken.
    pub enum PolicyRefusal {
        /// Its epoch is below the one in force.
        Behind = "behind",
        /// It cannot be installed here.
        Unusable = "unusable",
    }
}

labelled! {
    /// Whether a TLS handshake resumed an earlier one.
    pub enum Resumed {
        /// A full handshake.
        False = "false",
        /// An abbreviated one.
        True = "true",
    }
}

impl From<bool> for Resumed {
    fn from(resumed: bool) -> Self {
        if resumed { Self::True } else { Self::False }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every index names a different point, and the point's own index leads back to its words.
    fn is_a_bijection<L: LabelSet>(points: impl Iterator<Item = (L, Vec<&'static str>)>) {
        let mut seen = HashSet::new();
        for (point, words) in points {
            assert_eq!(L::labels_at(point.index()), words);
            assert_eq!(words.len(), L::KEYS);
            assert!(point.index() < L::COUNT);
            assert!(seen.insert(point.index()), "{words:?} shares a cell");
        }
        assert_eq!(seen.len(), L::COUNT);
    }

    #[test]
    fn each_point_has_its_own_cell_and_words() {
        is_a_bijection(std::iter::once(((), Vec::new())));
        is_a_bijection(Leg::ALL.iter().map(|&leg| ((leg,), vec![leg.label()])));
        is_a_bijection(
            Leg::ALL
                .iter()
                .flat_map(|&leg| Resumed::ALL.iter().map(move |&r| ((leg, r), vec![leg.label(), r.label()]))),
        );
        let faults = Leg::ALL.iter().flat_map(|&leg| {
            Phase::ALL.iter().flat_map(move |&phase| {
                FaultKind::ALL
                    .iter()
                    .map(move |&kind| (Fault { leg, phase, kind }, vec![leg.label(), phase.label(), kind.label()]))
            })
        });
        is_a_bijection(faults);
        is_a_bijection(ConnectorId::ALL.iter().map(|&id| (id, vec![id.label()])));
        is_a_bijection(DenialCode::ALL.iter().map(|&code| (code, vec![code.connector().label(), code.label()])));
    }
}
