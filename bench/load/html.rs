//! A result, or curves of growth, as one HTML file that needs nothing else: no script, no font, no address.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;

use crate::chart::{Chart, Line, short};
use crate::outcome::{Outcome, Phase, SCHEMA, Sample, StreamFigures};

pub(crate) const GROWTH_SCHEMA: &str = "penstock-growth/1";

/// Curves of `bench/run --growth`.
#[derive(Debug, Deserialize)]
pub(crate) struct Growth {
    title: String,
    notes: Vec<String>,
    curves: Vec<Curve>,
}

#[derive(Debug, Deserialize)]
struct Curve {
    title: String,
    /// What grows.
    x: String,
    /// What it costs, with the unit.
    y: String,
    lines: Vec<CurveLine>,
}

#[derive(Debug, Deserialize)]
struct CurveLine {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The page for a file of either schema.
pub(crate) fn page(text: &str) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    match serde_json::from_str::<Head>(text)?.schema.as_str() {
        SCHEMA => Ok(of_outcome(&serde_json::from_str(text)?)),
        GROWTH_SCHEMA => Ok(of_growth(&serde_json::from_str(text)?)),
        other => anyhow::bail!("`{other}` is no schema of this tool: {SCHEMA} and {GROWTH_SCHEMA} are"),
    }
}

fn of_outcome(outcome: &Outcome) -> String {
    let samples = &outcome.samples;
    let chart = |of: fn(&Sample) -> f64| over_time(samples, of);
    let cpu = outcome.cpu.as_ref();
    let body = html! {
        p { (outcome.title) }
        dl {
            (fact("Operations/s", &short(outcome.total.operations_per_second)))
            (fact("Requests/s", &short(outcome.total.requests_per_second)))
            (fact("TLS handshakes/s", &short(outcome.total.handshakes_per_second)))
            (fact("MB/s", &short(outcome.total.megabytes_per_second)))
            (fact("Flows at the end", &short(outcome.total.flows as f64)))
            @if let Some(cost) = cpu.and_then(|cpu| cpu.us_per_operation) { (fact("CPU an operation", &format!("{} us", short(cost)))) }
            @if let Some(cpu) = cpu { (fact("CPU", &format!("{} cores", short(cpu.cores)))) }
            @if let Some(bytes) = outcome.memory.as_ref().and_then(|memory| memory.bytes_per_flow) {
                (fact("Memory a flow", &format!("{}B", short(bytes))))
            }
        }
        h2 { "Validity" }
        ul { @for rule in &outcome.validity { li class=[(!rule.holds).then_some("broken")] { (rule) } } }
        h2 { "Over time" }
        (figure("Operations a second", &chart(|sample| sample.operations_per_second)))
        (figure("MB a second", &chart(|sample| sample.megabytes_per_second)))
        (figure("Open flows", &chart(|sample| sample.flows as f64)))
        (figure("CPU of the proxy, percent of one core", &chart(|sample| sample.cpu_percent)))
        (figure("Memory of the proxy, bytes", &chart(|sample| sample.memory_bytes as f64)))
        (figure("Descriptors of the proxy", &chart(|sample| sample.descriptors as f64)))
        (figure("Failures in the second", &chart(|sample| sample.failures as f64)))
        h2 { "Streams" }
        @for stream in &outcome.streams { (of_stream(stream)) }
        @if !outcome.processes.is_empty() { h2 { "Processes" } (processes(outcome)) }
        p.small { "penstock-load " (outcome.version) ", proxy " (outcome.proxy) " by " (outcome.via) ", ramp-up " (short(outcome.ramp_s)) " s, sustained "
            (short(outcome.sustain_s)) " s, " (outcome.cpus) " CPUs. Rates and latencies are of the sustain phase." }
    };
    document(&outcome.profile, &body)
}

fn of_stream(stream: &StreamFigures) -> Markup {
    let lines = stream.latency.iter().map(|(kind, latency)| Line {
        name: kind.clone(),
        points: [(1.0, latency.p50), (2.0, latency.p90), (3.0, latency.p99), (4.0, latency.p999)]
            .map(|(place, value)| (place, value as f64 / 1e3))
            .to_vec(),
    });
    let chart =
        Chart { lines: lines.collect(), unit: "1: p50, 2: p90, 3: p99, 4: p99.9", is_logarithmic: false, mark: None };
    let pace = stream.rate.map_or_else(
        || format!("{} at once", stream.concurrency),
        |rate| format!("{} a second, at most {} at once", short(rate), stream.concurrency),
    );
    html! {
        h3 { (stream.name) }
        p { (stream.verdict) ", " (stream.work) ", " (stream.host) ", " (pace) ": "
            (short(stream.figures.operations_per_second)) " operations/s, " (short(stream.figures.connections_per_second)) " connections/s, "
            (short(stream.figures.megabytes_per_second)) " MB/s" }
        @for (kind, count) in &stream.figures.whole.failures { p.broken { "failed at " (kind) ": " (count) } }
        @if !stream.latency.is_empty() {
            (figure("Latency by percentile, milliseconds", &chart))
            div.wide { table {
                tr { th { "us" } th { "p50" } th { "p90" } th { "p99" } th { "p99.9" } th { "max" } th { "count" } }
                @for (kind, latency) in &stream.latency {
                    tr { th { (kind) }
                        @for value in [latency.p50, latency.p90, latency.p99, latency.p999, latency.max, latency.count] { td { (value) } } }
                }
            } }
        }
    }
}

fn processes(outcome: &Outcome) -> Markup {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    html! {
        div.wide { table {
            tr { th { "process" } th { "user ms" } th { "system ms" } th { "MB before" } th { "MB held" } th { "MB after" } th { "descriptors held" } }
            @for process in &outcome.processes {
                tr { th { (process.name) } td { (process.cpu_user_ms) } td { (process.cpu_system_ms) } td { (megabytes(process.before.memory_bytes())) }
                    td { (megabytes(process.end.memory_bytes())) } td { (megabytes(process.after.memory_bytes())) } td { (process.end.descriptors) } }
            }
        } }
    }
}

fn of_growth(growth: &Growth) -> String {
    let body = html! {
        @for curve in &growth.curves {
            @let lines: Vec<Line> = curve.lines.iter().map(|line| Line { name: line.name.clone(), points: line.points.clone() }).collect();
            h2 { (curve.title) }
            (figure(&format!("{} by {}", curve.y, curve.x), &Chart { lines, unit: "logarithmic", is_logarithmic: true, mark: None }))
            div.wide { table {
                tr { th { (curve.x) } @for line in &curve.lines { th { (line.name) } } }
                @for (index, (x, _)) in curve.lines.first().map(|line| line.points.as_slice()).unwrap_or_default().iter().enumerate() {
                    tr { th { (short(*x)) } @for line in &curve.lines { td { @if let Some((_, y)) = line.points.get(index) { (short(*y)) } } } }
                }
            } }
        }
        ul { @for note in &growth.notes { li { (note) } } }
    };
    document(&growth.title, &body)
}

fn over_time(samples: &[Sample], of: fn(&Sample) -> f64) -> Chart {
    let points = samples.iter().map(|sample| (sample.at_s, of(sample))).collect();
    let sustained: Vec<f64> =
        samples.iter().filter(|sample| sample.phase == Phase::Sustain).map(|sample| sample.at_s).collect();
    let mark = sustained.first().zip(sustained.last()).map(|(first, last)| (*first, *last, "sustain"));
    let lines = vec![Line { name: String::new(), points }];
    Chart { lines, unit: "seconds", is_logarithmic: false, mark }
}

fn figure(title: &str, chart: &Chart) -> Markup {
    html! {
        figure {
            figcaption { (title) @if chart.lines.len() > 1 {
                @for (index, line) in chart.lines.iter().enumerate() { " " span class={ "l" (index % 5) } { (line.name) } }
            } }
            (PreEscaped(chart.svg()))
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "penstock-load: " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { h1 { (title) } (body) }
        }
    };
    page.into_string()
}

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --ground: #fff; --mark: #eef3f8;
  --c0: #1f6feb; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #0e7490; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --line: #303a47; --ground: #12171e; --mark: #1b232d;
  --c0: #6ea8fe; --c1: #fb923c; --c2: #4ade80; --c3: #c084fc; --c4: #22d3ee; --bad: #f87171; } }
body { font: 16px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: .5rem 0; } h2 { font-size: 1.15rem; margin: 1.6rem 0 .4rem; } h3 { font-size: 1rem; margin: 1.2rem 0 0; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .6rem; margin: 1rem 0; }
dl div { border: 1px solid var(--line); border-radius: .4rem; padding: .4rem .6rem; } dt { color: var(--soft); font-size: .8rem; }
dd { margin: 0; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
figure { margin: .8rem 0; } figcaption { color: var(--soft); font-size: .85rem; } figcaption span { font-weight: 600; }
svg { width: 100%; height: auto; display: block; } svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .y { text-anchor: end; } svg .x { text-anchor: middle; } .grid { stroke: var(--line); } .mark { fill: var(--mark); }
polyline { fill: none; stroke-width: 1.8; } polyline.l0 { stroke: var(--c0); } polyline.l1 { stroke: var(--c1); } polyline.l2 { stroke: var(--c2); }
polyline.l3 { stroke: var(--c3); } polyline.l4 { stroke: var(--c4); }
span.l0 { color: var(--c0); } span.l1 { color: var(--c1); } span.l2 { color: var(--c2); } span.l3 { color: var(--c3); } span.l4 { color: var(--c4); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; } th:first-child { text-align: left; }
ul { padding-left: 1.2rem; } .broken { color: var(--bad); } .small { color: var(--soft); font-size: .8rem; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::fixture;

    /// A page that needs nothing from anywhere.
    fn assert_is_alone(page: &str) {
        for word in ["http:", "https:", "//", "<script", "src=", "href=", "url(", "@import", "<link"] {
            assert!(!page.contains(word), "{word} is in the page");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
    }

    #[test]
    fn the_page_of_a_result_stands_alone_and_shows_its_figures() {
        let mut outcome = fixture::outcome();
        outcome.title = "<script>alert(1)</script>".to_owned();
        outcome.streams[0].name = "a<b".to_owned();
        let page = page(&serde_json::to_string(&outcome).unwrap()).unwrap();
        assert_is_alone(&page);
        for word in
            ["a&lt;b", "150 us", "BROKEN: failed operations", "failed at reset: 2", "penstock-dataplane", "2000B"]
        {
            assert!(page.contains(word), "{word} is not in {page}");
        }
        assert!(page.matches("<polyline").count() >= 8, "{page}");
    }

    #[test]
    fn the_page_of_curves_stands_alone_too() {
        let growth = serde_json::json!({
            "schema": GROWTH_SCHEMA, "title": "Growth", "notes": ["by <hand>"],
            "curves": [{"title": "Flows", "x": "flows", "y": "bytes", "lines": [{"name": "pass", "points": [[10, 100.5], [15_000, 20_000]]}]}],
        });
        let page = page(&growth.to_string()).unwrap();
        assert_is_alone(&page);
        assert!(page.contains("bytes by flows") && page.contains("15k") && page.contains("by &lt;hand&gt;"), "{page}");
    }

    #[test]
    fn another_schema_is_refused() {
        let error = page(r#"{"schema": "other/1"}"#).unwrap_err().to_string();
        assert!(error.contains("`other/1` is no schema"), "{error}");
    }
}
