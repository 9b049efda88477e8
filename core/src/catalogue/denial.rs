//! Recognises a vendor's refusal in its response: status, headers, and texts in the first bytes of the body.
//!
//! The texts of all connectors in question go into one automaton, which is built with the policy snapshot and walked
//! byte by byte, so that a text cut by a chunk border is found. Fed by the HTTP editors with the content as the client
//! will see it; a compressed body shows nothing here, and the status alone never makes a refusal.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};
use memchr::{memchr, memchr2, memchr3};
use serde::{Serialize, Serializer};
use smallvec::SmallVec;

use super::{ConnectorId, Denial, connector};
use crate::labelled;
use crate::limits::DENIAL_SCAN_BYTES_MAX;

labelled! {
    /// What a vendor's refusal is called in metrics and audit: the vendor's own code where it has one.
    pub enum DenialCode {
        /// Entra, first version: the tenant is not permitted.
        Aadsts500021 = "AADSTS500021",
        /// Entra, second version: the policy does not allow the tenant.
        Aadsts5000211 = "AADSTS5000211",
        /// Entra, first version: the other form of the refusal.
        Aadsts500022 = "AADSTS500022",
        /// Google: the account's domain may not sign in.
        AccountNotAllowedInNetwork = "account_not_allowed_in_network",
        /// Microsoft: the account is a consumer account.
        ConsumerAccountBlocked = "consumer_account_blocked",
        /// GitHub: another enterprise, or none.
        EnterpriseRestriction = "enterprise_restriction",
        /// Dropbox: another team, or none.
        NetworkControl = "network_control",
        /// Google Cloud: the header that the policy sets is malformed.
        OrgRestrictionHeaderInvalid = "ORG_RESTRICTION_HEADER_INVALID",
        /// Google Cloud: a resource of another organization.
        OrgRestrictionViolation = "ORG_RESTRICTION_VIOLATION",
        /// Claude: another organization, or none.
        TenantRestrictionViolation = "tenant_restriction_violation",
    }
}

impl DenialCode {
    /// The connector that the code belongs to.
    pub const fn connector(self) -> ConnectorId {
        match self {
            Self::Aadsts500021 | Self::Aadsts500022 => ConnectorId::MicrosoftEntra,
            Self::Aadsts5000211 => ConnectorId::MicrosoftEntraV2,
            Self::AccountNotAllowedInNetwork => ConnectorId::GoogleWorkspace,
            Self::ConsumerAccountBlocked => ConnectorId::MicrosoftConsumer,
            Self::EnterpriseRestriction => ConnectorId::GithubEnterprise,
            Self::NetworkControl => ConnectorId::Dropbox,
            Self::OrgRestrictionHeaderInvalid | Self::OrgRestrictionViolation => ConnectorId::GoogleCloud,
            Self::TenantRestrictionViolation => ConnectorId::AnthropicClaude,
        }
    }
}

impl Serialize for DenialCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// The signatures of some connectors, ready to search with. Shared by all scanners of a snapshot.
pub struct DenialSignatures {
    signatures: Vec<&'static Denial>,
    /// For each pattern of the automaton, its signature.
    pattern_signatures: Vec<u16>,
    /// `None` when no signature has a text.
    texts: Option<Texts>,
}

/// The texts to search for.
struct Texts {
    automaton: DFA,
    /// The state in which no text has begun.
    start: StateID,
    /// The bytes with which texts begin. Up to three are searched for by `memchr`, several times as fast as byte by byte.
    first_bytes: SmallVec<[u8; 3]>,
}

impl DenialSignatures {
    /// Collects the signatures of `connectors` and builds the automaton: some hundred microseconds.
    pub fn new(connectors: &[ConnectorId]) -> Self {
        let signatures: Vec<&'static Denial> = connectors.iter().flat_map(|&id| connector(id).denials).collect();
        let mut patterns = Vec::new();
        let mut pattern_signatures = Vec::new();
        for (index, signature) in (0_u16..).zip(&signatures) {
            for text in signature.body {
                patterns.push(*text);
                pattern_signatures.push(index);
            }
        }
        let texts = if patterns.is_empty() { None } else { Texts::new(&patterns) };
        Self { signatures, pattern_signatures, texts }
    }

    /// The signature with the longest text that ends at `state` and has `status`, and whether a word could go on there.
    fn longest_at(&self, automaton: &DFA, state: StateID, status: u16) -> Option<Found> {
        let matches = (0..automaton.match_len(state)).map(|index| automaton.match_pattern(state, index));
        let known = matches.filter_map(|pattern| {
            let signature = self.signatures.get(usize::from(*self.pattern_signatures.get(pattern.as_usize())?))?;
            has_status(signature, status).then_some((automaton.pattern_len(pattern), signature))
        });
        let (bytes, signature) = known.max_by_key(|(bytes, _)| *bytes)?;
        let text = signature.body.iter().find(|text| text.len() == bytes);
        let may_continue = text.is_some_and(|text| text.ends_with(|last: char| last.is_ascii_alphanumeric()));
        Some(Found { code: signature.code, may_continue })
    }
}

impl Texts {
    fn new(texts: &[&str]) -> Option<Self> {
        let automaton = DFA::builder().match_kind(MatchKind::Standard).build(texts).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let mut first_bytes: SmallVec<[u8; 3]> = texts.iter().filter_map(|text| text.bytes().next()).collect();
        first_bytes.sort_unstable();
        first_bytes.dedup();
        Some(Self { automaton, start, first_bytes })
    }

    /// What is left of `piece` from the first byte at which a text may begin.
    fn skip<'piece>(&self, piece: &'piece [u8]) -> &'piece [u8] {
        let begin = match *self.first_bytes {
            [a] => memchr(a, piece),
            [a, b] => memchr2(a, b, piece),
            [a, b, c] => memchr3(a, b, c, piece),
            _ => Some(0),
        };
        begin.and_then(|begin| piece.get(begin..)).unwrap_or_default()
    }
}

impl fmt::Debug for DenialSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.signatures.iter().map(|signature| signature.code)).finish()
    }
}

/// Judges one response: its head, then its body in pieces of any size.
#[derive(Debug)]
pub struct DenialScanner {
    shared: Arc<DenialSignatures>,
    status: u16,
    /// Bytes of the body that may still be searched; 0 when nothing can be found any more.
    scan_bytes_left: usize,
    state: Option<StateID>,
    found: Option<Found>,
}

/// What was found, and how sure it is.
#[derive(Clone, Copy, Debug)]
struct Found {
    code: DenialCode,
    /// The text ended with the last byte that was seen and ends in a letter or digit: the next byte may show that the
    /// text is only the start of a longer word (AADSTS500021 of AADSTS5000211).
    may_continue: bool,
}

impl DenialScanner {
    /// A scanner for the signatures of `connectors` alone. Inspected flows take theirs from the header edit, where the
    /// automaton is shared.
    pub fn new(connectors: &[ConnectorId]) -> Self {
        Self::shared(Arc::new(DenialSignatures::new(connectors)))
    }

    /// A scanner that searches with signatures built before.
    pub const fn shared(shared: Arc<DenialSignatures>) -> Self {
        Self { shared, status: 0, scan_bytes_left: 0, state: None, found: None }
    }

    /// Takes the final head of a response and forgets the response before it.
    pub fn handle_head<'head>(&mut self, status: u16, headers: impl Iterator<Item = (&'head [u8], &'head [u8])>) {
        self.status = status;
        self.found = None;
        self.state = None;
        let shared = Arc::clone(&self.shared);
        let in_question = || shared.signatures.iter().filter(|signature| has_status(signature, status));
        if in_question().any(|signature| signature.header.is_some()) {
            for (name, value) in headers {
                let code = in_question().find(|signature| has_header(signature, name, value)).map(|found| found.code);
                self.found = self.found.or_else(|| code.map(|code| Found { code, may_continue: false }));
            }
        }
        let searchable = self.found.is_none() && in_question().any(|signature| !signature.body.is_empty());
        self.scan_bytes_left = if searchable { DENIAL_SCAN_BYTES_MAX } else { 0 };
    }

    /// Takes the next piece of the body.
    pub fn handle_body(&mut self, piece: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let Some(texts) = &shared.texts else { return };
        let mut rest = piece.get(..self.scan_bytes_left).unwrap_or(piece);
        self.scan_bytes_left -= rest.len();
        let mut state = self.state.unwrap_or(texts.start);
        loop {
            if state == texts.start && self.found.is_none() {
                rest = texts.skip(rest);
            }
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            state = texts.automaton.next_state(Anchored::No, state, byte);
            if self.found.is_none() && !texts.automaton.is_special(state) {
                continue;
            }
            let is_match = texts.automaton.is_match(state);
            let ended = is_match.then(|| shared.longest_at(&texts.automaton, state, self.status)).flatten();
            self.found = match (ended, self.found) {
                (Some(longer), _) => Some(longer),
                // A longer word that no signature knows.
                (None, Some(_)) if byte.is_ascii_alphanumeric() => None,
                (None, before) => before.map(|found| Found { may_continue: false, ..found }),
            };
            if self.found.is_some_and(|found| !found.may_continue) {
                self.scan_bytes_left = 0;
                return;
            }
        }
        self.state = Some(state);
    }

    /// Whether more of the body could change the answer.
    pub const fn wants_body(&self) -> bool {
        self.scan_bytes_left > 0
    }

    /// The refusal that was recognised so far.
    pub fn found(&self) -> Option<DenialCode> {
        self.found.map(|found| found.code)
    }
}

fn has_status(signature: &Denial, status: u16) -> bool {
    signature.statuses.is_empty() || signature.statuses.contains(&status)
}

fn has_header(signature: &Denial, name: &[u8], value: &[u8]) -> bool {
    signature.header.is_some_and(|mark| {
        name.eq_ignore_ascii_case(mark.name.as_bytes())
            && value.windows(mark.contains.len()).any(|window| window == mark.contains.as_bytes())
    })
}
