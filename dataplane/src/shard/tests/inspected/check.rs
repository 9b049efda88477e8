//! What must hold of inspected flows when all has ended.

use std::sync::Arc;

use penstock_core::audit::Event;
use penstock_core::policy::Verdict;

use super::message::{Framing, Message, Planned, Version};
use super::plan::{Manner, Visit};
use super::secure::{Fate, Outcome};
use super::speech::{Answering, Asking};
use super::{FORGED, IMPOSTOR};
use crate::metrics::ShardCells;
use crate::shard::tests::peer::End;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// What the policy sets on each request.
const SET: [(&str, &str); 2] = [
    ("Restrict-Access-To-Tenants", "contoso.com"),
    ("Restrict-Access-Context", "bbbbcccc-1111-dddd-2222-eeee3333ffff"),
];
/// Of which an answer of the product's own begins with one.
const OWN: [&str; 2] = ["HTTP/1.1 502 ", "HTTP/1.1 504 "];
/// To a request for another host.
const MISDIRECTED: &str = "HTTP/1.1 421 ";

/// What came of a seed.
pub(in super::super) struct Ended {
    pub(super) visits: Vec<Visited>,
    pub(super) cells: Arc<ShardCells>,
}

impl Ended {
    /// What was seen, to be counted over a sweep.
    pub(in super::super) fn marks(&self) -> [(&'static str, bool); 11] {
        let any = |holds: &dyn Fn(&Visited, &Outcome<Answering>) -> bool| {
            self.visits.iter().any(|visit| visit.origin.as_ref().is_some_and(|origin| holds(visit, origin)))
        };
        let is_whole = |messages: &[Message]| messages.iter().all(|message| message.whole);
        let died = |visit: &Visited| visit.plan.fates != [Fate::Finish; 2];
        [
            ("answers", any(&|visit, _| visit.client.speech.answers.whole_count() > 0)),
            ("second visits", self.visits.len() == 2),
            ("broken handshakes", any(&|visit, origin| died(visit) && !(visit.client.handshaken && origin.handshaken))),
            ("requests cut short", any(&|_, origin| !is_whole(&origin.speech.requests.messages))),
            ("answers cut short", any(&|visit, _| died(visit) && !is_whole(&visit.client.speech.answers.messages))),
            (
                "misdirected requests",
                any(&|visit, _| visit.client.speech.answers.messages.iter().any(|it| it.line.starts_with(MISDIRECTED))),
            ),
            (
                "answers over HTTP/2",
                any(&|visit, _| visit.plan.version == Version::Two && visit.client.speech.answers.whole_count() > 0),
            ),
            (
                "answers until the close cut short",
                any(&|visit, _| {
                    let last = visit.client.speech.answers.messages.get(visit.plan.answers.len() - 1);
                    visit.plan.cut_bytes.is_some() && last.is_some_and(|last| !last.body.is_empty())
                }),
            ),
            ("drains", any(&|visit, _| visit.plan.drain.is_some())),
            (
                "trailers",
                any(&|visit, _| visit.client.speech.answers.messages.iter().any(|it| !it.trailers.is_empty())),
            ),
            (
                "bodies beyond a first window",
                any(&|visit, origin| {
                    let is_large = |messages: &[Message], window: u32| {
                        messages.iter().any(|it| it.whole && it.body.len() > window as usize)
                    };
                    visit.plan.version == Version::Two
                        && is_large(&visit.client.speech.answers.messages, visit.plan.windows[0])
                        && is_large(&origin.speech.requests.messages, visit.plan.windows[1])
                }),
            ),
        ]
    }

    pub(in super::super) fn check(&self) {
        assert_eq!(self.cells.flows.total(), self.visits.len() as u64, "each counted once");
        for verdict in [Verdict::Pass, Verdict::Inspect, Verdict::Deny] {
            assert_eq!(self.cells.flows_active.value((verdict,)), 0, "{verdict:?} still active");
        }
        assert_eq!(self.cells.pipes_in_use.value(()), 0, "pipes in use");
        let events = || self.visits.iter().flat_map(|visit| &visit.events);
        let recorded = events().filter(|event| event.method.is_some()).count();
        assert_eq!(self.cells.requests.total(), recorded as u64, "requests and their records");
        self.visits.iter().for_each(Visited::check);
    }
}

/// What came of a visit.
pub(super) struct Visited {
    pub(super) plan: Visit,
    pub(super) client: Outcome<Asking>,
    /// `None` when it was never dialled.
    pub(super) origin: Option<Outcome<Answering>>,
    pub(super) events: Vec<Event>,
    pub(super) faults: u64,
}

impl Visited {
    fn check(&self) {
        self.check_client();
        let Some(origin) = &self.origin else {
            assert!(!self.plan.is_calm(), "never dialled; {}", self.story());
            return;
        };
        self.check_origin(origin);
        if self.plan.is_calm() {
            self.check_whole(origin);
        }
    }

    fn story(&self) -> String {
        let Self { plan, client, origin, events, faults } = self;
        let tell = |messages: &[Message]| {
            let tell = |it: &Message| {
                format!("{}.. {} {}", &it.line[..12], it.body.len(), if it.whole { "whole" } else { "part" })
            };
            messages.iter().map(tell).collect::<Vec<_>>().join(", ")
        };
        let client = format!("{:?} clean {}: {}", client.end, client.clean, tell(&client.speech.answers.messages));
        let origin = origin.as_ref();
        let origin =
            origin.map(|it| format!("{:?} clean {}: {}", it.end, it.clean, tell(&it.speech.requests.messages)));
        let said: Vec<_> = events.iter().filter_map(|event| event.fault.as_deref()).collect();
        format!("{plan:?}\nclient {client}\norigin {origin:?}\n{faults} faults {said:?}")
    }

    /// The client has nothing that the origin did not say, but for an answer of the product's own as the last.
    fn check_client(&self) {
        let Self { plan, client, origin, .. } = self;
        let story = self.story();
        let prelude = std::str::from_utf8(&client.prelude).expect("ASCII");
        let is_own = OWN.iter().any(|own| prelude.starts_with(own));
        assert!(is_own || ESTABLISHED.starts_with(&client.prelude), "asked for a tunnel, got {prelude:?}; {story}");
        let messages = &client.speech.answers.messages;
        let answered = origin.as_ref().map_or(0, |origin| origin.speech.answered);
        for (number, message) in messages.iter().enumerate() {
            let place = if plan.version == Version::One { number } else { message.stream as usize / 2 };
            if plan.is_misdirected && message.line.starts_with(MISDIRECTED) {
                assert_eq!(place + 1, plan.requests.len(), "whose request was refused? {story}");
                continue;
            }
            if OWN.iter().any(|own| message.line.starts_with(own)) {
                let is_last = plan.version == Version::Two || number + 1 == messages.len();
                assert!(is_last && !plan.is_calm(), "an answer of our own; {story}");
                continue;
            }
            assert!(place < answered, "an answer that the origin did not give; {story}");
            check_message(message, &plan.answers[place], &story);
            assert!(!message.whole || message.trailers == plan.answers[place].trailers(), "other trailers; {story}");
            let ends_with_connection = plan.answers[place].framing == Framing::Close;
            if ends_with_connection && client.clean {
                assert_eq!(message.body.len(), plan.answers[place].body.len(), "a part taken for the whole; {story}");
            }
        }
        if plan.origin == Manner::Impostor {
            assert!(messages.iter().all(|message| OWN[0].starts_with(&message.line[..12])), "of an impostor; {story}");
        }
    }

    /// The origin has what the client said, with the configured headers and never the client's own.
    fn check_origin(&self, origin: &Outcome<Answering>) {
        let story = self.story();
        let requests = &origin.speech.requests;
        assert!(self.plan.origin != Manner::Impostor || requests.messages.is_empty(), "sent to an impostor; {story}");
        let most = self.plan.requests.len() - usize::from(self.plan.is_misdirected);
        assert!(requests.messages.len() <= most, "requests that nobody made, or for another host; {story}");
        let recorded = self.events.iter().filter(|event| event.method.is_some()).count();
        assert!(requests.messages.len() <= recorded, "a request without a record; {story}");
        for (message, planned) in requests.messages.iter().zip(&self.plan.requests) {
            check_message(message, planned, &story);
            assert_eq!(message.trailers, [], "a hop may take a header from there; {story}");
            for (name, value) in SET {
                assert_eq!(message.all(name), [value], "{name}; {story}");
            }
            let forged = message.fields.iter().find(|(_, value)| value.contains(FORGED));
            assert_eq!(forged, None, "{story}");
        }
        let rest = String::from_utf8_lossy(requests.rest());
        assert!(!rest.contains(FORGED) && !rest.contains(IMPOSTOR), "{rest:?}; {story}");
    }

    fn check_whole(&self, origin: &Outcome<Answering>) {
        let Self { plan, client, .. } = self;
        let story = self.story();
        assert_eq!((client.end, client.clean), (End::Eof, true), "{story}");
        assert_eq!(client.speech.answers.messages.len(), plan.answers.len(), "{story}");
        for (message, planned) in client.speech.answers.messages.iter().zip(&plan.answers) {
            assert_eq!(message.body.len(), planned.body.len(), "{story}");
        }
        if !plan.is_early {
            assert_eq!(origin.speech.requests.whole_count(), plan.requests.len(), "{story}");
            assert_eq!(self.faults, 0, "{story}");
        }
    }
}

fn check_message(message: &Message, planned: &Planned, story: &str) {
    assert_eq!(message.line, planned.line, "{story}");
    assert_eq!(message.all("X-Part"), [planned.part.as_str()], "{story}");
    assert!(planned.body.starts_with(&message.body), "other bytes; {story}");
    assert!(!message.whole || message.body == planned.body, "a part taken for the whole; {story}");
}
