//! What a policy would have done with what happened: recorded events, judged again by the function that decides flows.
//!
//! An event tells the source, the user, the name and mostly the tenant that was aimed at. It does not tell everything, and
//! flows that pass uninspected leave none: [`Forecast::limits`] says so, and what cannot be known is counted as unknown and
//! never as allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use penstock_core::audit::{Event, Status};
use penstock_core::catalogue::ConnectorId;
use penstock_core::policy::{Decision, FlowFacts, SetHeader, Snapshot, Verdict};
use penstock_core::sni::Sni;
use serde::Serialize;
use utoipa::ToSchema;

use super::{masked_address, masked_name};

/// Judges events one after the other.
pub(crate) struct Forecaster<'a> {
    snapshot: &'a Snapshot,
    unix_ms: u64,
    counts: Counts,
    people: BTreeMap<Person, Fate>,
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Forecast {
    pub(crate) events: Counts,
    /// People (or sources, where no user is known) of whom something would have been denied that was not.
    pub(crate) newly_denied: usize,
    /// Those of whom something may have been denied.
    pub(crate) unknown: usize,
    /// Those of whom something was denied and would not be any more.
    pub(crate) freed: usize,
    /// The hardest hit first.
    pub(crate) people: Vec<PersonView>,
    /// People who are not listed.
    pub(crate) people_left_out: usize,
    /// What the answer cannot know.
    pub(crate) limits: Vec<&'static str>,
}

/// Events by what becomes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ForecastCounts)]
pub(crate) struct Counts {
    /// Allowed then and under the policy.
    pub(crate) allowed: u64,
    /// Denied then and under the policy.
    pub(crate) denied_already: u64,
    /// Denied then, and not by the policy.
    pub(crate) freed: u64,
    pub(crate) newly_denied: u64,
    /// The event does not tell enough.
    pub(crate) unknown: u64,
    /// Names no host, or failed for another reason: not judged.
    pub(crate) left_out: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Person {
    Source(String),
    User(String),
}

#[derive(Default)]
struct Fate {
    newly_denied: u64,
    unknown: u64,
    freed: u64,
    connectors: BTreeSet<String>,
    tenants: BTreeSet<String>,
}

/// A person of the answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForecastPerson)]
pub(crate) struct PersonView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) source: Option<String>,
    pub(crate) newly_denied: u64,
    pub(crate) unknown: u64,
    pub(crate) freed: u64,
    pub(crate) connectors: Vec<String>,
    /// Tenants that were aimed at, as the requests named them.
    pub(crate) tenants: Vec<String>,
}

/// What the policy would have made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Denied,
    Unknown,
}

const PEOPLE_MAX: usize = 1_000;
/// Connectors and tenants that are listed for one person.
const LISTED_MAX: usize = 20;
const LIMITS: [&str; 5] = [
    "flows that passed uninspected left no event, so sign-ins at hosts that only the candidate inspects are missing",
    "a tenant named by its domain cannot be told from one named by its id: where the list has only the other form, the event is unknown",
    "requests that name no tenant (\"common\", most of ChatGPT and Google) are unknown where they would be inspected",
    "the groups of users are not recorded: what the policy says of groups is not looked at",
    "Microsoft's second version is decided in Microsoft's cloud: everything under it is unknown",
];

impl<'a> Forecaster<'a> {
    /// `unix_ms` is the moment at which the policy is taken to hold: exceptions count by it.
    pub(crate) fn new(snapshot: &'a Snapshot, unix_ms: u64) -> Self {
        Self { snapshot, unix_ms, counts: Counts::default(), people: BTreeMap::new() }
    }

    /// Takes one event.
    pub(crate) fn handle(&mut self, event: &Event) {
        let was_denied = event.status == Status::Denied.label();
        let outcome = if event.status == Status::Fault.label() { None } else { self.judge(event) };
        let Some(outcome) = outcome else {
            self.counts.left_out += 1;
            return;
        };
        let change = |fate: &mut Fate| match (outcome, was_denied) {
            (Outcome::Denied, false) => fate.newly_denied += 1,
            (Outcome::Unknown, false) => fate.unknown += 1,
            _ => fate.freed += 1,
        };
        match (outcome, was_denied) {
            (Outcome::Allowed, false) => self.counts.allowed += 1,
            (Outcome::Denied | Outcome::Unknown, true) => self.counts.denied_already += 1,
            (Outcome::Allowed, true) => {
                self.counts.freed += 1;
                self.tell(event, change);
            }
            (Outcome::Denied, false) => {
                self.counts.newly_denied += 1;
                self.tell(event, change);
            }
            (Outcome::Unknown, false) => {
                self.counts.unknown += 1;
                self.tell(event, change);
            }
        }
    }

    /// `None` when the event names no host.
    fn judge(&self, event: &Event) -> Option<Outcome> {
        let sni = Sni::parse(event.sni.as_deref()?.as_bytes()).ok()?;
        let source: IpAddr = event.source.parse().ok()?;
        let facts = FlowFacts {
            user: event.user.as_deref(),
            sni: Some(&sni),
            unix_ms: Some(self.unix_ms),
            ..FlowFacts::of(source)
        };
        let decision = self.snapshot.decide(&facts);
        Some(match decision.verdict {
            Verdict::Deny => Outcome::Denied,
            Verdict::Inspect => judge_request(&decision, event.target_tenant.as_deref()),
            Verdict::Pass => Outcome::Allowed,
        })
    }

    fn tell(&mut self, event: &Event, change: impl FnOnce(&mut Fate)) {
        let person = match &event.user {
            Some(user) => Person::User(user.clone()),
            None => Person::Source(event.source.clone()),
        };
        let fate = self.people.entry(person).or_default();
        change(fate);
        for (set, value) in [(&mut fate.connectors, &event.connector), (&mut fate.tenants, &event.target_tenant)] {
            if let Some(value) = value
                && set.len() < LISTED_MAX
            {
                set.insert(value.clone());
            }
        }
    }

    /// The answer; people are masked or not.
    pub(crate) fn finish(self, is_masked: bool) -> Forecast {
        let count = |of: fn(&Fate) -> u64| self.people.values().filter(|fate| of(fate) > 0).count();
        let (newly_denied, unknown) = (count(|fate| fate.newly_denied), count(|fate| fate.unknown));
        let freed = count(|fate| fate.freed);
        let mut people: Vec<(Person, Fate)> = self.people.into_iter().collect();
        people.sort_by_key(|(_, fate)| std::cmp::Reverse((fate.newly_denied, fate.unknown, fate.freed)));
        let people_left_out = people.len().saturating_sub(PEOPLE_MAX);
        people.truncate(PEOPLE_MAX);
        let people = people.into_iter().map(|(person, fate)| view(person, fate, is_masked)).collect();
        Forecast { events: self.counts, newly_denied, unknown, freed, people, people_left_out, limits: LIMITS.to_vec() }
    }
}

fn view(person: Person, fate: Fate, is_masked: bool) -> PersonView {
    let (user, source) = match (person, is_masked) {
        (Person::User(user), true) => (Some(masked_name(&user)), None),
        (Person::User(user), false) => (Some(user), None),
        (Person::Source(source), true) => (None, Some(masked_address(&source))),
        (Person::Source(source), false) => (None, Some(source)),
    };
    let Fate { newly_denied, unknown, freed, connectors, tenants } = fate;
    let (connectors, tenants) = (connectors.into_iter().collect(), tenants.into_iter().collect());
    PersonView { user, source, newly_denied, unknown, freed, connectors, tenants }
}

/// What the vendors would say to the headers. The first restriction that refuses is enough.
fn judge_request(decision: &Decision, tenant: Option<&str>) -> Outcome {
    let set = decision.edit.set();
    let outcomes = decision.connectors.iter().map(|id| judge_connector(*id, set, tenant));
    // A report-only profile sets nothing, so nothing is refused.
    outcomes.filter(|_| !set.is_empty()).fold(Outcome::Allowed, |worst, outcome| match (worst, outcome) {
        (Outcome::Denied, _) | (_, Outcome::Denied) => Outcome::Denied,
        (Outcome::Unknown, _) | (_, Outcome::Unknown) => Outcome::Unknown,
        _ => Outcome::Allowed,
    })
}

fn judge_connector(id: ConnectorId, set: &[SetHeader], tenant: Option<&str>) -> Outcome {
    let prefix = match id {
        ConnectorId::MicrosoftEntra => "Restrict-Access-To-Tenants",
        ConnectorId::AnthropicClaude => "anthropic-allowed-org-ids",
        _ => return Outcome::Unknown,
    };
    let lists = set.iter().filter(|header| header.name.starts_with(prefix));
    let permitted: Vec<&str> =
        lists.flat_map(|header| header.value.split(';').next().unwrap_or_default().split(',')).collect();
    let Some(tenant) = tenant.filter(|tenant| is_id(tenant) || tenant.contains('.')) else { return Outcome::Unknown };
    if permitted.iter().any(|permitted| permitted.eq_ignore_ascii_case(tenant)) {
        return Outcome::Allowed;
    }
    match permitted.iter().all(|permitted| is_id(permitted) == is_id(tenant)) {
        true => Outcome::Denied,
        false => Outcome::Unknown,
    }
}

/// A GUID, as opposed to a domain or a word such as `common`.
fn is_id(tenant: &str) -> bool {
    tenant.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_core::policy::compile;

    const POLICY: &str = r#"
[[restriction]]
name = "entra"
connector = "microsoft-entra"
permitted_tenants = ["TENANTS"]
context_tenant = "bbbbcccc-1111-dddd-2222-eeee3333ffff"
[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["entra"]
[[assignment]]
profile = "staff"
sources = ["10.0.0.0/8"]
[deny]
hosts = ["onedrive.live.com"]
[[exception]]
who = ["bob"]
why = "he moves"
until = 2026-12-31
restrictions = ["entra"]
"#;

    fn event(user: &str, sni: &str, tenant: Option<&str>, status: &str) -> Event {
        Event {
            source: "10.1.2.3".to_owned(),
            user: Some(user.to_owned()),
            sni: Some(sni.to_owned()),
            target_tenant: tenant.map(str::to_owned),
            connector: Some("microsoft-entra".to_owned()),
            status: status.to_owned(),
            ..Event::default()
        }
    }

    fn forecast(tenants: &str, events: &[Event]) -> Forecast {
        let snapshot = compile("p", &POLICY.replace("TENANTS", tenants), None, 1).unwrap();
        let mut forecaster = Forecaster::new(&snapshot, 1_795_305_600_000);
        events.iter().for_each(|event| forecaster.handle(event));
        forecaster.finish(false)
    }

    const LOGIN: &str = "login.microsoftonline.com";

    #[test]
    fn each_event_is_judged_by_what_it_tells() {
        let own = "bbbbcccc-1111-dddd-2222-eeee3333ffff";
        let told = forecast(
            own,
            &[
                event("alice", LOGIN, Some(own), "allowed"),
                event("alice", LOGIN, Some("aaaabbbb-0000-cccc-1111-dddd2222eeee"), "allowed"),
                event("carol", LOGIN, Some("fabrikam.com"), "allowed"),
                event("carol", LOGIN, Some("common"), "allowed"),
                event("dave", "onedrive.live.com", None, "allowed"),
                event("bob", LOGIN, Some("aaaabbbb-0000-cccc-1111-dddd2222eeee"), "denied"),
                event("erin", LOGIN, Some("aaaabbbb-0000-cccc-1111-dddd2222eeee"), "denied"),
                event("erin", LOGIN, None, "fault"),
            ],
        );
        let Counts { allowed, denied_already, freed, newly_denied, unknown, left_out } = told.events;
        assert_eq!((allowed, newly_denied, unknown, freed, denied_already, left_out), (1, 2, 2, 1, 1, 1));
        assert_eq!((told.newly_denied, told.unknown, told.freed), (2, 1, 1));
        let users: Vec<_> = told.people.iter().map(|person| person.user.as_deref().unwrap()).collect();
        assert_eq!(users, ["alice", "dave", "carol", "bob"]);
        assert_eq!(told.people[0].tenants, ["aaaabbbb-0000-cccc-1111-dddd2222eeee"]);
        assert!(told.limits.len() >= 4);
    }

    #[test]
    fn a_domain_is_compared_with_domains_alone() {
        let one = [event("alice", LOGIN, Some("fabrikam.com"), "allowed")];
        assert_eq!(forecast("contoso.com", &one).events.newly_denied, 1);
        assert_eq!(forecast("Fabrikam.com", &one).events.allowed, 1);
        assert_eq!(forecast("aaaabbbb-0000-cccc-1111-dddd2222eeee", &one).events.unknown, 1);
    }
}
