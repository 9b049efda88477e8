//! Line charts as inline SVG: they need no script, print, and take their colours from the page.

use std::fmt::Write as _;

/// A line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// In order of `x`.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart. Its vertical axis begins at zero.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) lines: Vec<Line>,
    /// What the horizontal axis counts.
    pub(crate) unit: &'static str,
    /// Decades instead of even steps on the horizontal axis.
    pub(crate) is_logarithmic: bool,
    /// A stretch of the horizontal axis that is marked, with its word.
    pub(crate) mark: Option<(f64, f64, &'static str)>,
}

impl Chart {
    /// The picture. Names of lines are escaped; classes `l0` to `l4` colour them.
    pub(crate) fn svg(&self) -> String {
        let place = |x: f64| if self.is_logarithmic { x.max(f64::MIN_POSITIVE).log10() } else { x };
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let range = points().map(|(x, _)| place(*x)).fold(None, |range: Option<(f64, f64)>, x| {
            Some(range.map_or((x, x), |(left, right)| (left.min(x), right.max(x))))
        });
        let (left, right) = range.unwrap_or((0.0, 1.0));
        let step = step(points().map(|(_, y)| *y).fold(0.0, f64::max));
        let top = step * STEPS;
        let across = |x: f64| {
            let share = (place(x) - left) / (right - left).max(1e-9);
            LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
        };
        let down = |y: f64| TOP + (1.0 - y.clamp(0.0, top) / top) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#);
        if let Some((from, to, word)) = self.mark {
            let (from, to) = (across(from), across(to));
            let (width, height) = ((to - from).max(0.0), HEIGHT - TOP - BOTTOM);
            let _ = write!(svg, r#"<rect class="mark" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height}"/>"#);
            let _ = write!(svg, r#"<text x="{:.1}" y="{}">{}</text>"#, from + 4.0, TOP + 12.0, escape(word));
        }
        for number in 0..=STEPS as u32 {
            let value = step * f64::from(number);
            let y = down(value);
            let _ = write!(svg, r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
            let _ = write!(svg, r#"<text class="y" x="{}" y="{:.1}">{}</text>"#, LEFT - 6.0, y + 4.0, short(value));
        }
        for x in self.marks(left, right) {
            let _ = write!(
                svg,
                r#"<text class="x" x="{:.1}" y="{}">{}</text>"#,
                across(x),
                HEIGHT - BOTTOM + 16.0,
                short(x)
            );
        }
        let _ =
            write!(svg, r#"<text class="y" x="{}" y="{}">{}</text>"#, WIDTH - RIGHT, HEIGHT - 4.0, escape(self.unit));
        for (index, line) in self.lines.iter().enumerate() {
            let path: Vec<String> =
                line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", across(*x), down(*y))).collect();
            let class = index % COLOURS;
            let _ = write!(
                svg,
                r#"<polyline class="l{class}" points="{}"><title>{}</title></polyline>"#,
                path.join(" "),
                escape(&line.name)
            );
        }
        svg + "</svg>"
    }

    /// Where the horizontal axis has numbers.
    fn marks(&self, left: f64, right: f64) -> Vec<f64> {
        if !self.is_logarithmic {
            return (0..=4).map(|number| left + (right - left) * f64::from(number) / 4.0).collect();
        }
        let points = self.lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x);
        let mut marks: Vec<f64> = points.collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        marks
    }
}

/// Of 1, 2 and 5 the step that reaches `max` in [`STEPS`].
fn step(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let raw = (max / STEPS).max(1e-9);
    let decade = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * decade >= raw * 0.999_999);
    factor.unwrap_or(10.0) * decade
}

/// A number in a few characters.
pub(crate) fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        1e9.. => (value / 1e9, "G"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = if scaled.abs() >= 100.0 || scaled.fract().abs() < 1e-9 {
        0
    } else if scaled.abs() < 0.1 {
        3
    } else if scaled.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{suffix}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const COLOURS: usize = 5;
const STEPS: f64 = 4.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 34.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)], is_logarithmic: bool) -> Chart {
        let line = Line { name: "<b>".to_owned(), points: points.to_vec() };
        Chart { lines: vec![line], unit: "s", is_logarithmic, mark: Some((0.0, 1.0, "sustain")) }
    }

    #[test]
    fn the_highest_point_is_within_the_picture_and_the_axis_has_round_numbers() {
        let svg = chart(&[(0.0, 0.0), (10.0, 730.0)], false).svg();
        assert!(svg.contains(r#"points="52.0,186.0 628.0,"#), "{svg}");
        assert!(svg.contains(">800</text>") && svg.contains(">200</text>"), "{svg}");
        assert_eq!((step(730.0), step(4.0), step(0.9), step(0.0)), (200.0, 1.0, 0.5, 1.0));
    }

    #[test]
    fn names_are_escaped_and_nothing_is_not_a_number() {
        for points in [&[][..], &[(1.0, 0.0)], &[(3.0, 7.0), (3.0, 7.0)]] {
            for is_logarithmic in [false, true] {
                let svg = chart(points, is_logarithmic).svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<b>"), "{svg}");
            }
        }
    }

    #[test]
    fn decades_are_as_far_apart_as_each_other() {
        let svg = chart(&[(10.0, 1.0), (100.0, 1.0), (1_000.0, 1.0)], true).svg();
        assert!(svg.contains("52.0,") && svg.contains("340.0,") && svg.contains("628.0,"), "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.015, 0.25, 12.34, 999.0, 12_000.0, 3_400_000.0, 2e9].map(short);
        assert_eq!(shown, ["0", "0.015", "0.25", "12.3", "999", "12k", "3.40M", "2G"]);
    }
}
