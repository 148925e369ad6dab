//! A sheet: titled panels and lines of text, laid out once for a terminal and once for a PNG file.
//!
//! ```text
//! line of text
//! title            title            title
//! ┌──────────┐     ┌──────────┐     ┌──────────┐
//! │ picture  │     │   map    │     │  labels  │
//! └──────────┘     └──────────┘     └──────────┘
//!                  low ▒▒▒▒ high    ■ one  ■ two
//! ```

mod font;
mod png;

use switchback_core::picture::Picture;

use crate::color::{ColorMode, linear};
use crate::colormap::Scale;
use crate::halfblock::{Canvas, scaled};

pub(crate) use png::to_png;

/// Titled panels below lines of text. All texts must be safe to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    /// Above the panels.
    pub(crate) lines: Vec<String>,
    /// From left to right, then down.
    pub(crate) panels: Vec<Panel>,
}

/// One picture or map.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    /// Above the picture.
    pub(crate) title: String,
    /// The pixels.
    pub(crate) picture: Picture,
    /// Enlarged as blocks, never smoothed: a map of numbers or labels.
    pub(crate) blocks: bool,
    /// Below the picture: what its colours mean.
    pub(crate) scale: Option<Scale>,
    /// Below the picture: what each colour stands for.
    pub(crate) legend: Vec<([u8; 3], String)>,
}

impl Panel {
    /// A photograph.
    pub(crate) fn photo(title: impl Into<String>, picture: Picture) -> Self {
        Self { title: title.into(), picture, blocks: false, scale: None, legend: Vec::new() }
    }

    /// A map of `values`, row by row, `columns` wide, in the colours of `scale`.
    pub(crate) fn map(title: impl Into<String>, values: &[f32], columns: usize, scale: Scale) -> Self {
        let rgb = values.iter().flat_map(|&x| scale.color(x)).collect();
        let picture = Picture { width: columns, height: values.len() / columns, rgb };
        Self { title: title.into(), picture, blocks: true, scale: Some(scale), legend: Vec::new() }
    }

    /// Cells in a terminal that is `widest` columns wide for it: at most 48 wide and 44 high, proportions kept.
    fn cells(&self, widest: usize) -> (usize, usize) {
        let (w, h) = (self.picture.width as f64, self.picture.height as f64);
        let width = (widest.min(48) as f64).min(88.0 * w / h).max(1.0);
        (width.round() as usize, (width * h / w).round().max(1.0) as usize)
    }
}

/// The numbers at the ends of a scale.
fn ends(scale: &Scale) -> [String; 2] {
    [scale.low, scale.high].map(|x| match x.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e5).contains(&size) => format!("{x:.2e}"),
        size if size < 1.0 => format!("{x:.4}"),
        _ => format!("{x:.3}"),
    })
}

/// Columns between panels.
const GAP: usize = 2;
/// No panel is narrower than this where several stand side by side.
const NARROWEST: usize = 24;

/// The sheet as terminal text, at most `columns` wide.
pub(crate) fn to_text(sheet: &Sheet, columns: usize, mode: ColorMode) -> String {
    let columns = columns.max(8);
    let mut canvas = Canvas::new(columns, mode);
    let mut row = 0;
    for line in &sheet.lines {
        canvas.text(row, 0, line);
        row += 1;
    }
    // Pairs belong together, so an even number stands in a row where more than one does.
    let fit = ((columns + GAP) / (NARROWEST + GAP)).clamp(1, 4).min(sheet.panels.len().max(1));
    let fit = if fit == 3 && sheet.panels.len() > 3 { 2 } else { fit };
    let width = (columns + GAP) / fit - GAP;
    for panels in sheet.panels.chunks(fit) {
        let bottoms = panels.iter().enumerate().map(|(i, p)| panel(&mut canvas, row, i * (width + GAP), width, p));
        row = bottoms.max().unwrap_or(row) + 1;
    }
    canvas.to_text()
}

/// Draws one panel; the row below it.
fn panel(canvas: &mut Canvas, row: usize, column: usize, width: usize, panel: &Panel) -> usize {
    canvas.text(row, column, &cut(&panel.title, width));
    let (w, h) = panel.cells(width);
    canvas.pixels(row + 1, column, &scaled(&panel.picture, w, h, panel.blocks));
    let mut row = row + 1 + h.div_ceil(2);
    if let Some(scale) = &panel.scale {
        let [low, high] = ends(scale);
        let used = low.chars().count() + high.chars().count() + 2;
        canvas.text(row, column, &low);
        if let Some(bar) = w.max(width.min(48)).checked_sub(used).filter(|&b| b > 0) {
            let light = |i: usize| linear(scale.map.at(i as f32 / (bar.max(2) - 1) as f32));
            let line: Vec<_> = (0..bar).map(light).collect();
            canvas.pixels(row, column + low.chars().count() + 1, &[line.clone(), line]);
            canvas.text(row, column + low.chars().count() + bar + 2, &high);
        } else {
            canvas.text(row, column + low.chars().count(), &format!(" – {high}"));
        }
        row += 1;
    }
    for (rgb, name) in &panel.legend {
        let light = linear(*rgb);
        canvas.pixels(row, column, &[vec![light; 2], vec![light; 2]]);
        canvas.text(row, column + 3, &cut(name, width.saturating_sub(3)));
        row += 1;
    }
    row
}

/// At most `width` characters, the last an ellipsis where some are missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let photo = Picture { width: 4, height: 4, rgb: vec![255; 48] };
        let values = [0.0, 1.0, 2.0, 4.0];
        let mut map = Panel::map("a map", &values, 2, Scale::of(values));
        map.legend.push(([255, 0, 0], "red".into()));
        Sheet { lines: vec!["above".into()], panels: vec![Panel::photo("a photo", photo), map] }
    }

    #[test]
    fn panels_stand_side_by_side_where_there_is_room() {
        let wide = to_text(&sheet(), 60, ColorMode::None);
        let lines: Vec<_> = wide.lines().collect();
        assert_eq!(lines[0], "above");
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["a", "photo", "a", "map"]);
        assert!(wide.contains("4.000") && wide.contains("red"), "{wide}");
        let narrow = to_text(&sheet(), 30, ColorMode::None);
        assert_eq!(narrow.lines().filter(|l| l.starts_with("a ")).count(), 2, "{narrow}");
        assert!(wide.lines().chain(narrow.lines()).all(|l| l.chars().count() <= 60));
    }

    #[test]
    fn texts_are_cut_not_wrapped() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(ends(&Scale::of([0.25, 12.5])), ["0", "12.500"]);
        assert_eq!(ends(&Scale::of([3e-7])), ["0", "3.00e-7"]);
    }
}
