//! What an inspected flow's requests leave behind: one audit event each, and the counters of requests, stripped
//! headers and denials.

use std::collections::VecDeque;

use penstock_core::audit::{Event as AuditEvent, Status};
use penstock_core::http::{EditFault, Event, Request, Response};
use penstock_core::policy::{Decision, Mode};

use super::close;
use super::record::Flow;
use crate::metrics::Http;

/// The requests of one flow that wait for their answer.
pub(crate) struct Requests<'a> {
    flow: &'a Flow,
    mode: Mode,
    decision: &'a Decision,
    version: Http,
    /// In the order of their numbers; bounded by the exchange's pipeline or streams.
    waiting: VecDeque<Request>,
}

impl<'a> Requests<'a> {
    pub(crate) const fn new(flow: &'a Flow, decision: &'a Decision, version: Http) -> Self {
        Self { flow, mode: decision.mode, decision, version, waiting: VecDeque::new() }
    }

    /// Counts and records what the exchange has seen.
    pub(crate) fn handle_event(&mut self, event: Event) {
        match event {
            Event::Refused(refused) => {
                // The flow goes on, so its end will not count this.
                self.flow.shard.cells.faults.add(refused.fault(), 1);
                self.refuse(refused);
            }
            Event::Request(request) => self.handle_request(request),
            Event::Response(response) => self.handle_response(&response),
        }
    }

    /// Records a refusal.
    pub(crate) fn refuse(&self, refused: EditFault) {
        let mut event = self.event(Status::Fault);
        event.code = Some(refused.label().to_owned());
        event.fault = Some(refused.fault().to_string());
        self.flow.shard.audit.record(event);
    }

    fn handle_request(&mut self, request: Request) {
        #[cfg(debug_assertions)]
        self.flow.shard.config.faults.strike_path(&request.path);
        let cells = &self.flow.shard.cells;
        if let Some(connector) = self.decision.connectors.first() {
            cells.requests.add((*connector, self.version, self.mode), 1);
        }
        // In report-only the list says what enforcing would remove; nothing was.
        let removed = if self.mode == Mode::Enforce { request.stripped.as_slice() } else { &[] };
        for name in removed {
            if let Some(connector) = self.decision.edit.connector_of(name.as_bytes()) {
                cells.headers_stripped.add(connector, 1);
            }
        }
        self.waiting.push_back(request);
    }

    fn handle_response(&mut self, response: &Response) {
        let Some(position) = self.waiting.iter().position(|request| request.number == response.number) else { return };
        let Some(request) = self.waiting.remove(position) else { return };
        let status = match (response.denial, response.status) {
            (Some(denial), _) => {
                self.flow.shard.cells.denials.add(denial, 1);
                Status::Denied
            }
            (None, None) => Status::Fault,
            (None, Some(_)) if self.mode == Mode::ReportOnly && !request.stripped.is_empty() => Status::WouldDeny,
            (None, Some(_)) => Status::Allowed,
        };
        let mut event = self.request_event(status, request);
        event.code = response.denial.map(|denial| denial.label().to_owned());
        event.vendor_request_id = response.vendor_request_id.as_deref().map(str::to_owned);
        self.flow.shard.audit.record(event);
    }

    fn request_event(&self, status: Status, request: Request) -> AuditEvent {
        let mut event = self.event(status);
        event.method = Some(request.method.to_owned());
        event.path = Some(request.path);
        event.target_tenant = request.target_tenant;
        if let Some(agent) = request.agent {
            event.client = Some(agent);
        }
        event.headers_stripped = request.stripped.iter().map(|name| (*name).to_owned()).collect();
        event
    }

    fn event(&self, status: Status) -> AuditEvent {
        let mut event = close::event(self.flow, status);
        event.http = Some(self.version.label().to_owned());
        if self.mode == Mode::Enforce {
            event.headers_set = self.decision.edit.set().iter().map(|header| header.name.to_string()).collect();
        }
        event
    }
}

/// A flow whose task is dropped, by a panic or at the end of a drain, has not said what became of its requests: they are
/// recorded all the same, since the origin may have acted on them.
impl Drop for Requests<'_> {
    fn drop(&mut self) {
        for request in std::mem::take(&mut self.waiting) {
            self.flow.shard.audit.record(self.request_event(Status::Fault, request));
        }
    }
}
