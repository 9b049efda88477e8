//! Refusals over time: counted here, drawn by the chart library, and there as a table for those who do not see it.

use maud::{Markup, html};
use penstock_core::audit::timestamp;
use serde_json::json;

use super::frame;
use crate::admin::{Admin, Problem};
use crate::audit::moment;
use crate::store::{EventQuery, Order};

/// Counts per step of time.
pub(super) struct Chart {
    start_ms: u64,
    step_ms: u64,
    denied: Vec<u64>,
    would_deny: Vec<u64>,
    /// More events match than are counted.
    is_cut: bool,
}

impl Chart {
    /// Counts what the query finds between two moments.
    pub(super) async fn of(admin: &Admin, query: EventQuery, start_ms: u64, end_ms: u64) -> Result<Self, Problem> {
        let query = EventQuery { cursor: None, order: Order::NewestFirst, count_max: COUNTED_EVENTS_MAX, ..query };
        let page = admin.events.events(query).await?;
        let mut chart = Self::empty(start_ms, end_ms);
        chart.is_cut = page.more;
        for event in page.events {
            let Ok(time_ms) = moment::parse(&event.time, end_ms) else { continue };
            chart.count(time_ms, &event.status);
        }
        Ok(chart)
    }

    fn empty(start_ms: u64, end_ms: u64) -> Self {
        let span_ms = end_ms.saturating_sub(start_ms);
        let step_ms = STEPS_MS.iter().copied().find(|step_ms| span_ms / step_ms < POINTS_MAX).unwrap_or(MONTH_MS);
        let start_ms = start_ms - start_ms % step_ms;
        let points = usize::try_from(end_ms.saturating_sub(start_ms) / step_ms).unwrap_or(0) + 1;
        let points = points.min(POINTS_LIMIT);
        Self { start_ms, step_ms, denied: vec![0; points], would_deny: vec![0; points], is_cut: false }
    }

    fn count(&mut self, time_ms: u64, status: &str) {
        let Some(since_ms) = time_ms.checked_sub(self.start_ms) else { return };
        let counts = match status {
            "denied" => &mut self.denied,
            "would_deny" => &mut self.would_deny,
            _ => return,
        };
        let point = usize::try_from(since_ms / self.step_ms).ok().and_then(|index| counts.get_mut(index));
        point.into_iter().for_each(|count| *count += 1);
    }

    pub(super) fn draw(&self) -> Markup {
        let times: Vec<u64> = (0..).take(self.denied.len()).map(|index| self.moment(index) / 1000).collect();
        let data = json!({ "times": times, "denied": self.denied, "wouldDeny": self.would_deny }).to_string();
        let (denied, would_deny) = (self.denied.iter().sum::<u64>(), self.would_deny.iter().sum::<u64>());
        html! {
            div class="chart" data-chart=(data) role="img"
                aria-label={ (denied) " refused and " (would_deny) " that would have been refused; the table below has the figures" } {}
            p class="muted small" {
                (denied) " refused, " (would_deny) " would have been refused"
                @if self.is_cut { "; only the newest " (COUNTED_EVENTS_MAX) " are counted" }
            }
            @if denied + would_deny > 0 {
                details {
                    summary { "As a table" }
                    (frame::table("Refusals over time", &["from", "denied", "would deny"], html! {
                        @for (index, (denied, would_deny)) in (0..).zip(self.denied.iter().zip(&self.would_deny)) {
                            @if denied + would_deny > 0 {
                                tr {
                                    td { (frame::moment(&timestamp(self.moment(index)))) }
                                    td class="number" { (denied) }
                                    td class="number" { (would_deny) }
                                }
                            }
                        }
                    }))
                }
            }
        }
    }

    fn moment(&self, index: u64) -> u64 {
        self.start_ms.saturating_add(index.saturating_mul(self.step_ms))
    }
}

/// Events that one chart counts.
const COUNTED_EVENTS_MAX: usize = 10_000;
/// About so many points look well.
const POINTS_MAX: u64 = 60;
const POINTS_LIMIT: usize = 1_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
const MONTH_MS: u64 = 30 * DAY_MS;
const STEPS_MS: [u64; 9] =
    [MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 30 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, DAY_MS, 7 * DAY_MS, MONTH_MS];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_fall_into_their_step_and_others_into_none() {
        let start_ms = 1_795_000_000_000;
        let mut chart = Chart::empty(start_ms, start_ms + DAY_MS);
        assert_eq!((chart.step_ms, chart.denied.len()), (30 * MINUTE_MS, 49));
        chart.count(start_ms + 1, "denied");
        chart.count(start_ms + DAY_MS, "would_deny");
        chart.count(start_ms - DAY_MS, "denied");
        chart.count(start_ms + 2 * DAY_MS, "denied");
        chart.count(start_ms + 1, "allowed");
        assert_eq!((chart.denied.iter().sum::<u64>(), chart.would_deny.last()), (1, Some(&1)));
        assert!(chart.draw().into_string().contains("1 refused, 1 would have been refused"));
    }

    #[test]
    fn an_interval_without_bounds_draws_a_bounded_number_of_points() {
        assert!(Chart::empty(0, u64::MAX).denied.len() <= POINTS_LIMIT);
        assert_eq!(Chart::empty(5, 5).denied.len(), 1);
    }
}
