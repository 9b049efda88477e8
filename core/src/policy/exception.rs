//! `[[exception]]`: who is free of which restrictions, why, and until when.
//!
//! An exception ends by the clock of the decision, not by a push: a data plane that is cut off from control ends it on time
//! too. Without a clock in the facts none counts, so whoever forgets to ask for the time restricts too much, never too
//! little. Flows that run when it ends go on to their end, as they do when a policy changes.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use serde::Serialize;

use super::document::{Placed, Section};
use super::findings::Findings;
use super::index::{HostMarks, InspectedNumber};
use super::profile::read_network;
use super::restriction::Restriction;
use super::snapshot::Profile;
use super::source::{SourceSet, UserSet};
use super::suggest::did_you_mean;
use super::{Diagnostic, FindingCode, FlowFacts, Snapshot};
use crate::audit::timestamp;
use crate::moment::{self, DAY_MS};

/// A checked exception.
#[derive(Debug)]
pub(super) struct Exception {
    /// Where it stands in the document.
    pub(super) at: usize,
    /// Places in the plan's restrictions, in order.
    pub(super) restrictions: Vec<usize>,
    users: UserSet,
    sources: SourceSet,
    /// Unix time, milliseconds, inclusive.
    from_ms: u64,
    /// The same, exclusive.
    until_ms: u64,
    shown: ShownException,
}

/// An exception as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownException {
    /// Users, groups (`group:NAME`) and networks.
    pub who: Vec<Box<str>>,
    /// The operator's reason.
    pub why: Box<str>,
    /// RFC 3339: its first moment, where the document names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Box<str>>,
    /// RFC 3339: the first moment after it.
    pub until: Box<str>,
    /// Names of the restrictions that it lifts.
    pub restrictions: Vec<Box<str>>,
}

/// What an exception makes of one inspected pattern in one profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relief {
    /// The pattern's place in the profile's edits.
    pub(super) place: usize,
    /// Place in [`Snapshot::exceptions`].
    pub(super) exception: usize,
    /// The edit of the restrictions that are left; `None` when none is, and the flow passes.
    pub(super) instead: Option<InspectedNumber>,
}

impl Exception {
    /// Reads `[[exception]]`. `None` when it lacks what it needs.
    pub(super) fn read(
        section: &Section<'_>,
        restrictions: &[Restriction<'_>],
        findings: &mut Findings,
    ) -> Option<Self> {
        let keys = ["who", "why", "from", "until", "restrictions"];
        section.refuse_unknown_keys(&keys, section.title(), findings);
        for (key, help) in [
            ("who", "name users, groups or networks: who = [\"alice\", \"group:auditors\", \"10.1.2.3\"]"),
            ("restrictions", "name those that are lifted: restrictions = [\"chatgpt\"]"),
            ("until", "an exception ends: until = \"2026-12-31\" is through that day, UTC"),
            ("why", "whoever reviews it must know: why = \"support case 4711, approved by Bob\""),
        ] {
            if !section.has(key) {
                findings.error(section.at, format!("[[exception]] has no \"{key}\"")).help(help);
            }
        }
        let why = section.string("why", findings).and_then(|why| read_reason(why, findings));
        let lifted = read_restrictions(section, restrictions, findings);
        let from = section.moment("from", findings).and_then(|text| read_moment(text, 0, findings));
        let until = section.moment("until", findings).and_then(|text| read_moment(text, DAY_MS, findings))?;
        let from_ms = from.map_or(0, |from| from.value);
        if until.value <= from_ms {
            findings
                .error(until.at, "the exception ends before it begins")
                .help("\"until\" is a later moment than \"from\"");
        }
        let who = section.strings("who", findings)?;
        let (users, sources) = read_who(&who, findings);
        let shown = ShownException {
            who: who.value.iter().map(|who| who.value.into()).collect(),
            why: why?.into(),
            from: from.map(|from| timestamp(from.value).into()),
            until: timestamp(until.value).into(),
            restrictions: lifted.iter().filter_map(|&place| Some(restrictions.get(place)?.name.value.into())).collect(),
        };
        Some(Self { at: section.at, restrictions: lifted, users, sources, from_ms, until_ms: until.value, shown })
    }

    pub(super) const fn covered(&self) -> (&SourceSet, &UserSet) {
        (&self.sources, &self.users)
    }

    /// Whether it holds at that moment; not without one.
    fn is_active(&self, unix_ms: Option<u64>) -> bool {
        unix_ms.is_some_and(|now| (self.from_ms..self.until_ms).contains(&now))
    }

    /// One finding for each exception, in the order of the text: what the lint says once its time is over.
    pub(super) fn expiries(exceptions: &[Self], file: &str, text: &str) -> Vec<Diagnostic> {
        let mut findings = Findings::default();
        for exception in exceptions {
            let ShownException { until, why, .. } = &exception.shown;
            findings
                .warning(exception.at, format!("the exception ended at {until} ({why}): it does nothing any more"))
                .code(FindingCode::ExceptionExpired)
                .help("remove it, or give it a later \"until\" if the reason still stands");
        }
        findings.into_diagnostics(file, text)
    }
}

fn read_reason<'doc>(why: Placed<&'doc str>, findings: &mut Findings) -> Option<&'doc str> {
    let is_reason = !why.value.trim().is_empty() && !why.value.chars().any(char::is_control);
    if !is_reason {
        findings
            .error(why.at, format!("{:?} is no reason", why.value))
            .help("write a line that whoever reviews the policy understands");
    }
    is_reason.then_some(why.value)
}

fn read_restrictions(section: &Section<'_>, known: &[Restriction<'_>], findings: &mut Findings) -> Vec<usize> {
    let Some(list) = section.strings("restrictions", findings) else { return Vec::new() };
    if list.value.is_empty() {
        findings.error(list.at, "\"restrictions\" is empty, so nothing is lifted").help("name the restrictions");
    }
    let mut places = Vec::new();
    for word in list.value {
        match known.iter().position(|restriction| restriction.name.value == word.value) {
            Some(place) => places.push(place),
            None => findings
                .error(word.at, format!("there is no restriction {:?}", word.value))
                .code(FindingCode::Unknown)
                .help_if(did_you_mean(word.value, known.iter().map(|restriction| restriction.name.value))),
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// A date stands for its beginning and `day_ms` more.
fn read_moment(text: Placed<&str>, day_ms: u64, findings: &mut Findings) -> Option<Placed<u64>> {
    let is_date = text.value.len() == "2026-12-31".len();
    let moment = moment::parse(text.value).map(|moment| moment + if is_date { day_ms } else { 0 });
    if moment.is_none() {
        findings
            .error(text.at, format!("{:?} is no moment", text.value))
            .help("write a date, \"2026-12-31\", or a date and time with its zone, \"2026-12-31T17:00:00Z\"");
    }
    moment.map(|value| Placed { at: text.at, value })
}

fn read_who(list: &Placed<Vec<Placed<&str>>>, findings: &mut Findings) -> (UserSet, SourceSet) {
    if list.value.is_empty() {
        findings.error(list.at, "\"who\" is empty, so nobody would be covered").help("name users, groups or networks");
    }
    let (mut users, mut networks) = (UserSet::default(), Vec::new());
    for &who in &list.value {
        if who.value.contains('/') || who.value.parse::<core::net::IpAddr>().is_ok() {
            networks.extend(read_network(who, findings));
        } else {
            users.read(who, findings);
        }
    }
    (users, SourceSet::new(&networks))
}

impl Snapshot {
    /// The exceptions, in the document's order.
    pub fn exceptions(&self) -> impl Iterator<Item = &ShownException> {
        self.exceptions.iter().map(|exception| &exception.shown)
    }

    /// What is doubtful about the document at that moment (Unix time, milliseconds), exceptions that are over included, in
    /// the order of the text.
    pub fn findings(&self, unix_ms: u64) -> Vec<Diagnostic> {
        let mut findings: Vec<_> = self.warnings().iter().chain(self.expired_exceptions(unix_ms)).cloned().collect();
        findings.sort_by_key(|finding| (finding.line, finding.column));
        findings
    }

    fn expired_exceptions(&self, unix_ms: u64) -> impl Iterator<Item = &Diagnostic> {
        let both = self.exceptions.iter().zip(&self.stamp.expiries);
        both.filter(move |(exception, _)| exception.until_ms <= unix_ms).map(|(_, finding)| finding)
    }

    /// The exception that lifts restrictions of a flow to `name`, if one does.
    pub(super) fn exception_for(&self, name: &str, facts: &FlowFacts<'_>) -> Option<&ShownException> {
        let profile = self.profile_for(facts.source, facts.user, facts.groups)?;
        let relief = self.relief(self.hosts.find(name), facts, profile)?;
        self.exceptions.get(relief.exception).map(|exception| &exception.shown)
    }

    /// What the rules say of a name to this flow. A host of which every restriction is lifted is as good as excluded.
    pub(super) fn marks_for(&self, name: &str, facts: &FlowFacts<'_>, profile: &Profile) -> HostMarks {
        let marks = self.hosts.find(name);
        match self.relief(marks, facts, profile) {
            Some(Relief { instead: Some(instead), .. }) => HostMarks { inspected: Some(*instead), ..marks },
            Some(Relief { instead: None, .. }) => HostMarks { excluded: true, ..marks },
            None => marks,
        }
    }

    /// The first exception that counts, where the host is inspected at all.
    fn relief<'profile>(
        &self,
        marks: HostMarks,
        facts: &FlowFacts<'_>,
        profile: &'profile Profile,
    ) -> Option<&'profile Relief> {
        if profile.reliefs.is_empty() || marks.excluded {
            return None;
        }
        let place = marks.inspected?.place();
        let first = profile.reliefs.partition_point(|relief| relief.place < place);
        let here = profile.reliefs.get(first..)?.iter().take_while(|relief| relief.place == place);
        let user = facts.user.or_else(|| self.users.find(facts.source));
        let covers = |exception: &Exception| {
            exception.is_active(facts.unix_ms)
                && (exception.sources.contains(facts.source)
                    || user.is_some_and(|user| exception.users.covers(user, facts.groups)))
        };
        here.into_iter().find(|relief| self.exceptions.get(relief.exception).is_some_and(covers))
    }
}
