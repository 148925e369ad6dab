//! The roofline (Williams, Waterman, Patterson 2009): what is reached over operations a byte, below what is possible.
//!
//! ```text
//! GFLOP/s                    ______________ peak
//!    │               ╱ ●   ● ●
//!    │         ╱ ●       ●
//!    │   ╱ ○                                  both axes logarithmic
//!    └──────────────────────────── operations a byte
//! ```
//! In the terminal the roof is drawn in Braille dots, eight a cell; convolutions are ●, linear layers and products ○.

mod svg;

use std::fmt::Write;

use switchback_core::text::escape;

use super::roof::Roof;
pub(super) use svg::svg;

/// One roof and what stands under it.
#[derive(Clone, Debug)]
pub(super) struct Roofline {
    /// Safe to show.
    pub(super) title: String,
    pub(super) roof: Roof,
    pub(super) points: Vec<Point>,
}

/// What one layer or shape reached.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// Not safe to show.
    pub(super) label: String,
    /// Operations a byte.
    pub(super) intensity: f64,
    pub(super) gflops: f64,
    /// A convolution; else a linear layer or a product.
    pub(super) convolution: bool,
}

/// Decades of both axes that hold the ridge and every point.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axes {
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn of(roofline: &Roofline) -> Self {
        let Roof { gflops: peak, gigabytes_per_second: bandwidth } = roofline.roof;
        let range = |values: Vec<f64>| {
            let logs = values.into_iter().map(f64::log10).filter(|v| v.is_finite());
            let (low, high) = logs.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            [low.floor(), high.ceil().max(low.floor() + 1.0)]
        };
        let ridge = peak / bandwidth;
        let xs = roofline.points.iter().map(|p| p.intensity).chain([ridge, 10.0 * ridge]).collect();
        let ys = roofline.points.iter().map(|p| p.gflops).chain([peak, 1.3 * peak]).collect();
        Self { x: range(xs), y: range(ys) }
    }

    /// Shares of the width and height, from the left and from below.
    fn place(&self, intensity: f64, gflops: f64) -> [f64; 2] {
        let share = |v: f64, [low, high]: [f64; 2]| (v.log10() - low) / (high - low);
        [share(intensity, self.x), share(gflops, self.y)]
    }

    /// Of the roof at share `x` of the width.
    fn roof(&self, roof: &Roof, x: f64) -> f64 {
        let intensity = 10f64.powf(self.x[0] + x * (self.x[1] - self.x[0]));
        self.place(intensity, roof.gflops.min(intensity * roof.gigabytes_per_second))[1]
    }
}

/// `roofline` in `columns × rows` cells of text, labels of the axes beside and below; every line ends.
pub(super) fn text(roofline: &Roofline, columns: usize, rows: usize) -> String {
    const MARGIN: usize = 8;
    let width = columns.saturating_sub(MARGIN + 1).max(16);
    let rows = rows.max(6);
    let axes = Axes::of(roofline);
    let mut dots = vec![vec![0u8; width]; rows];
    for i in 0..2 * width {
        let x = (i as f64 + 0.5) / (2 * width) as f64;
        let y = axes.roof(&roofline.roof, x);
        if let Some(row) = cell(1.0 - y, 4 * rows) {
            dots[row / 4][i / 2] |= BRAILLE[row % 4][i % 2];
        }
    }
    let glyph = |bits: u8| char::from_u32(0x2800 + u32::from(bits)).expect("a Braille pattern");
    let mut cells: Vec<Vec<char>> =
        dots.iter().map(|row| row.iter().map(|&b| if b == 0 { ' ' } else { glyph(b) }).collect()).collect();
    for p in &roofline.points {
        let [x, y] = axes.place(p.intensity, p.gflops);
        if let (Some(column), Some(row)) = (cell(x, width), cell(1.0 - y, rows)) {
            cells[row][column] = if p.convolution { '●' } else { '○' };
        }
    }
    let mut out = String::from("GFLOP/s\n");
    for (i, row) in cells.iter().enumerate() {
        let label = label(axes.y, |share| cell(1.0 - share, rows) == Some(i));
        let line: String = row.iter().collect();
        writeln!(out, "{label:>7} │{}", line.trim_end()).expect("writing to a string");
    }
    writeln!(out, "{:>7} └{}", "", "─".repeat(width)).expect("writing to a string");
    let mut below = vec![' '; width + MARGIN + 8];
    for decade in decades(axes.x) {
        let share = (decade - axes.x[0]) / (axes.x[1] - axes.x[0]);
        let text = number(decade);
        let from = MARGIN + (share * (width - 1) as f64).round() as usize;
        for (cell, c) in below.iter_mut().skip(from).zip(text.chars()) {
            *cell = c;
        }
    }
    let below: String = below.into_iter().collect();
    writeln!(out, "{}", below.trim_end()).expect("writing to a string");
    let Roof { gflops, gigabytes_per_second } = roofline.roof;
    writeln!(
        out,
        "{:MARGIN$}{}: ● convolution, ○ product, over operations a byte; roof {gflops:.0} GFLOP/s, {gigabytes_per_second:.1} GB/s",
        "", roofline.title
    )
    .expect("writing to a string");
    out
}

/// Bits of a Braille pattern by row and column.
const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// Which of `count` cells holds `share`.
fn cell(share: f64, count: usize) -> Option<usize> {
    (0.0..=1.0).contains(&share).then(|| ((share * count as f64) as usize).min(count - 1))
}

fn decades([low, high]: [f64; 2]) -> impl Iterator<Item = f64> {
    (0..).map(move |i| low + f64::from(i)).take_while(move |&d| d <= high + 1e-9)
}

/// The decade whose row this is.
fn label(range: [f64; 2], here: impl Fn(f64) -> bool) -> String {
    decades(range).find(|d| here((d - range[0]) / (range[1] - range[0]))).map_or(String::new(), number)
}

/// `0.01`, `1`, `1000`
fn number(decade: f64) -> String {
    let digits = (-decade).max(0.0) as usize;
    format!("{:.digits$}", 10f64.powf(decade))
}

/// Points that stand out: the label of each, safe to show.
fn safe(point: &Point) -> String {
    escape(&point.label).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> Roofline {
        let point =
            |label: &str, intensity, gflops, convolution| Point { label: label.into(), intensity, gflops, convolution };
        Roofline {
            title: "net".into(),
            roof: Roof { gflops: 100.0, gigabytes_per_second: 10.0 },
            points: vec![point("conv<1>", 50.0, 80.0, true), point("fc \u{1b}", 0.5, 4.0, false)],
        }
    }

    #[test]
    fn the_roof_bends_at_the_ridge_and_points_stand_below_it() {
        let roofline = sample();
        let axes = Axes::of(&roofline);
        assert_eq!(axes, Axes { x: [-1.0, 2.0], y: [0.0, 3.0] });
        assert!((axes.roof(&roofline.roof, 1.0) - 2.0 / 3.0).abs() < 1e-9, "flat at the peak");
        assert!((axes.roof(&roofline.roof, 0.0) - 0.0).abs() < 1e-9, "0.1 operations a byte give 1 GFLOP/s");
        for p in &roofline.points {
            let [x, y] = axes.place(p.intensity, p.gflops);
            assert!(y < axes.roof(&roofline.roof, x), "{p:?}");
        }
    }

    #[test]
    fn text_fits_and_shows_every_point() {
        let drawn = text(&sample(), 80, 16);
        assert!(drawn.lines().all(|l| l.chars().count() <= 100), "{drawn}");
        assert_eq!((drawn.matches('●').count(), drawn.matches('○').count()), (2, 2), "one each, and the key: {drawn}");
        assert!(drawn.contains("1000 │") && drawn.contains("100 │") && drawn.contains("0.1"), "{drawn}");
        let roof = drawn.lines().filter(|l| {
            l.contains('\u{2809}') || l.contains('\u{2812}') || l.contains('\u{2824}') || l.contains('\u{28c0}')
        });
        assert!(roof.count() >= 1, "the flat part of the roof is a row of dots: {drawn}");
        let empty = Roofline { points: Vec::new(), ..sample() };
        assert!(text(&empty, 1, 1).lines().count() >= 8);
    }
}
