//! Rooflines as one SVG, one below the other.

use std::fmt::Write;

use super::{Axes, Roofline, decades, number, safe};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 520.0;
/// Left, top, right, bottom of the plot.
const PLOT: [f64; 4] = [80.0, 50.0, 870.0, 460.0];

/// All of `rooflines`. Labels are titles of the points, shown by a viewer under the pointer.
pub(in crate::cli::bench) fn svg(rooflines: &[Roofline]) -> String {
    let height = HEIGHT * rooflines.len().max(1) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    for (i, roofline) in rooflines.iter().enumerate() {
        let top = HEIGHT * i as f64;
        writeln!(out, "<g transform=\"translate(0 {top})\">").expect("writing to a string");
        plot(&mut out, roofline);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn plot(out: &mut String, roofline: &Roofline) {
    let axes = Axes::of(roofline);
    let [left, top, right, bottom] = PLOT;
    let at = |[x, y]: [f64; 2]| [left + x * (right - left), bottom - y * (bottom - top)];
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string");
    line(format!("<text x=\"{left}\" y=\"30\" font-size=\"16\">{}</text>", xml(&roofline.title)));
    for decade in decades(axes.x) {
        let [x, _] = at([(decade - axes.x[0]) / (axes.x[1] - axes.x[0]), 0.0]);
        line(format!("<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/>"));
        line(format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", bottom + 18.0, number(decade)));
    }
    for decade in decades(axes.y) {
        let [_, y] = at([0.0, (decade - axes.y[0]) / (axes.y[1] - axes.y[0])]);
        line(format!("<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>"));
        line(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", left - 8.0, y + 4.0, number(decade)));
    }
    line(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">operations a byte</text>",
        (left + right) / 2.0,
        bottom + 40.0
    ));
    line(format!("<text x=\"{left}\" y=\"{}\" text-anchor=\"end\">GFLOP/s</text>", top - 8.0));
    // The bend must be a corner, wherever it falls.
    let ridge = axes.place(roofline.roof.gflops / roofline.roof.gigabytes_per_second, roofline.roof.gflops);
    let from = axes.x.map(|d| 10f64.powf(d))[0];
    let foot = axes.y.map(|d| 10f64.powf(d))[0].max(from * roofline.roof.gigabytes_per_second);
    let corners = [axes.place(foot / roofline.roof.gigabytes_per_second, foot), ridge, [1.0, ridge[1]]].map(at);
    let path: Vec<String> = corners.iter().map(|[x, y]| format!("{x:.1} {y:.1}")).collect();
    line(format!("<path d=\"M{}\" fill=\"none\" stroke=\"#333\" stroke-width=\"2\"/>", path.join("L")));
    for p in &roofline.points {
        let [x, y] = at(axes.place(p.intensity, p.gflops));
        let fill = if p.convolution { "#0a6cb5" } else { "#d9822b" };
        line(format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{fill}\" fill-opacity=\"0.7\"><title>{}: {:.1} \
             GFLOP/s at {:.1} operations a byte</title></circle>",
            xml(&safe(p)),
            p.gflops,
            p.intensity
        ));
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn names_cannot_break_the_document() {
        let drawn = svg(&[sample(), sample()]);
        assert_eq!((drawn.matches("<circle").count(), drawn.matches("<g ").count()), (4, 2));
        assert!(drawn.contains("conv&lt;1&gt;: 80.0 GFLOP/s at 50.0") && !drawn.contains('\u{1b}'), "{drawn}");
        assert_eq!(drawn.matches('<').count(), drawn.matches('>').count());
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
