//! Sheets: pictures with titles, colour bars and legends, side by side, as text for a terminal or as one picture.
//!
//! ```text
//! title            title                 panels stand in rows, as many as are wide enough to see
//! ▀▀▀▀▀▀▀▀▀▀▀▀     ▀▀▀▀▀▀▀▀▀▀▀▀
//! ▀▀▀▀▀▀▀▀▀▀▀▀     ▀▀▀▀▀▀▀▀▀▀▀▀
//! note             0.1 ▁▂▄▆█ 0.9         a bar says which colour is which number
//! ```

mod paper;

use switchback_core::picture::Picture;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::color::{CATEGORIES, ColorMode, category_or_other};
use crate::colormap::Colormap;
use crate::halfblock::{Cells, fit};
use crate::signed::Signed;

/// A panel narrower than this many columns shows too little; a further one goes to the next row.
const NARROW: usize = 22;
const GAP: usize = 2;
/// Pictures get at least this many rows, even where the sheet then scrolls.
const LOW: usize = 10;

/// Panels to be shown together.
#[derive(Default)]
pub(crate) struct Sheet {
    /// In reading order.
    pub(crate) panels: Vec<Panel>,
}

/// A picture and what is written around it. Texts must be safe to show.
pub(crate) struct Panel {
    title: String,
    picture: Picture,
    notes: Vec<String>,
    bar: Option<Bar>,
    categories: Option<Categories>,
    /// The numbers that `picture` shows, for a size of their own.
    signed: Option<Signed>,
}

/// What a label map holds: cells of `picture`, and what the categories are called.
struct Categories {
    cells: Vec<usize>,
    names: Vec<(usize, String)>,
}

/// Which colour is which number.
struct Bar {
    map: &'static Colormap,
    range: [f32; 2],
    texts: [String; 2],
}

impl Panel {
    /// A picture.
    pub(crate) fn picture(title: impl Into<String>, picture: Picture) -> Self {
        Self { title: title.into(), picture, notes: Vec::new(), bar: None, categories: None, signed: None }
    }

    /// Signed numbers around mid-grey.
    pub(crate) fn signed(title: impl Into<String>, signed: Signed) -> Self {
        Self { signed: Some(signed.clone()), ..Self::picture(title, signed.picture()) }
    }

    /// Numbers, row by row, as colours of `map` over their own range, with a bar; `show` writes a number.
    pub(crate) fn heat(
        title: impl Into<String>,
        values: &[f32],
        columns: usize,
        map: &'static Colormap,
        show: impl Fn(f32) -> String,
    ) -> Self {
        let range = range(values);
        let rgb = values.iter().flat_map(|&v| map.color(v, range)).collect();
        let picture = Picture::new(columns, values.len() / columns.max(1), rgb);
        Self { bar: Some(Bar { map, range, texts: range.map(show) }), ..Self::picture(title, picture) }
    }

    /// Cells in the colours of their categories, 0 upwards, and what the first of them are called; those beyond
    /// [`CATEGORIES`] are shown as one.
    pub(crate) fn labels(title: impl Into<String>, cells: Vec<usize>, columns: usize, names: Vec<String>) -> Self {
        let rgb = cells.iter().flat_map(|&c| category_or_other(c)).collect();
        let picture = Picture::new(columns, cells.len() / columns.max(1), rgb);
        let more = names.len().saturating_sub(CATEGORIES);
        let mut names: Vec<_> = names.into_iter().take(CATEGORIES).enumerate().collect();
        if more > 0 {
            names.push((CATEGORIES, format!("{more} more")));
        }
        Self { categories: Some(Categories { cells, names }), ..Self::picture(title, picture) }
    }

    /// A line below the picture.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Sheet {
    /// For a terminal of `size` columns and rows whose cells are `aspect` times as high as wide. A single row of panels
    /// leaves `below` lines free; of several, each alone fits the screen.
    pub(crate) fn text(&self, size: [usize; 2], below: usize, aspect: f64, mode: ColorMode) -> String {
        let columns = size[0].max(1);
        let beside = ((columns + GAP) / (NARROW + GAP)).clamp(1, self.panels.len().max(1));
        // Rows of equal length: four panels as 2 + 2, not 3 + 1.
        let lines = self.panels.len().div_ceil(beside);
        let beside = self.panels.len().div_ceil(lines.max(1)).max(1);
        let width = ((columns - GAP * (beside - 1)) / beside).max(1);
        let around = if lines == 1 { below + self.panels.iter().map(Panel::text_lines).max().unwrap_or(0) } else { 5 };
        let height = size[1].saturating_sub(around).max(LOW);
        let mut out = String::new();
        for row in self.panels.chunks(beside) {
            let blocks: Vec<Vec<(String, usize)>> =
                row.iter().map(|p| p.lines([width, height], aspect, mode)).collect();
            let wide: Vec<usize> = blocks.iter().map(|b| b.iter().map(|line| line.1).max().unwrap_or(0)).collect();
            for y in 0..blocks.iter().map(Vec::len).max().unwrap_or(0) {
                let mut line = String::new();
                let mut pending = 0;
                for (block, wide) in blocks.iter().zip(&wide) {
                    let (text, used) = block.get(y).map_or(("", 0), |(t, w)| (&t[..], *w));
                    if used > 0 {
                        line.extend(std::iter::repeat_n(' ', pending));
                        pending = 0;
                        line.push_str(text);
                    }
                    pending += wide - used + GAP;
                }
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }

    /// As one picture.
    pub(crate) fn to_picture(&self) -> Picture {
        paper::draw(&self.panels)
    }
}

impl Panel {
    /// Categories and what they are called.
    fn legend(&self) -> &[(usize, String)] {
        self.categories.as_ref().map_or(&[], |c| &c.names)
    }

    /// Lines above and below the picture.
    fn text_lines(&self) -> usize {
        1 + usize::from(self.bar.is_some()) + self.legend().len() + self.notes.len()
    }

    /// Lines and their widths.
    fn lines(&self, most: [usize; 2], aspect: f64, mode: ColorMode) -> Vec<(String, usize)> {
        let [columns, rows] = fit([self.picture.width, self.picture.height], most, aspect);
        let cells = match (&self.categories, &self.signed) {
            (Some(c), _) => Cells::categories(&c.cells, self.picture.width, columns, rows, mode),
            (None, Some(signed)) => Cells::new(&signed.scaled([2 * rows, columns]).picture(), columns, rows, mode),
            (None, None) => Cells::new(&self.picture, columns, rows, mode),
        };
        let plain = |text: &str| {
            let text = cut(text, most[0]);
            let width = text.width();
            (text, width)
        };
        let mut lines = vec![plain(&self.title)];
        lines.extend((0..cells.rows()).map(|y| (cells.row(y), cells.columns())));
        if let Some(bar) = &self.bar {
            lines.push(bar.line(columns.max(NARROW.min(most[0])), mode));
        }
        for (category, name) in self.legend() {
            let swatch = Cells::categories(&[*category], 1, 2, 1, mode).row(0);
            let name = cut(name, most[0].saturating_sub(3));
            let width = 3 + name.width();
            lines.push((format!("{swatch} {name}"), width));
        }
        lines.extend(self.notes.iter().map(|n| plain(n)));
        lines
    }
}

impl Bar {
    fn line(&self, width: usize, mode: ColorMode) -> (String, usize) {
        let [low, high] = &self.texts;
        let room = width.saturating_sub(low.width() + high.width() + 2);
        if room < 3 {
            let text = cut(&format!("{low} … {high}"), width);
            let used = text.width();
            return (text, used);
        }
        let strip = Cells::new(&self.strip(room), room, 1, mode).row(0);
        (format!("{low} {strip} {high}"), low.width() + high.width() + 2 + room)
    }

    /// The colours from low to high.
    fn strip(&self, width: usize) -> Picture {
        let [low, high] = self.range;
        let color = |i: usize| self.map.color(low + (high - low) * i as f32 / (width.max(2) - 1) as f32, self.range);
        Picture::new(width, 1, (0..width).flat_map(color).collect())
    }
}

/// Lowest and highest of the finite values.
fn range(values: &[f32]) -> [f32; 2] {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    match finite().next() {
        Some(first) => [finite().fold(first, f32::min), finite().fold(first, f32::max)],
        None => [0.0, 0.0],
    }
}

/// At most `width` columns of `text`, an ellipsis where something is missing; control characters are dropped.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if text.width() <= width {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        out.push(c);
        used += w;
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Maps of `size` `[height, width]` in a grid, a pixel of dark grey between them, each over its own range in `map`'s
/// colours. About as wide as `aspect` times its height.
pub(crate) fn mosaic(maps: &[&[f32]], size: [usize; 2], map: &Colormap, aspect: f64) -> Picture {
    let [h, w] = size;
    let count = maps.len().max(1);
    let ideal = (count as f64 * aspect * (h + 1) as f64 / (w + 1) as f64).sqrt().round() as usize;
    let across = ideal.clamp(1, count);
    let down = count.div_ceil(across);
    let width = across * (w + 1) - 1;
    let mut picture = Picture::new(width, down * (h + 1) - 1, [40; 3].repeat(width * (down * (h + 1) - 1)));
    for (i, values) in maps.iter().enumerate() {
        let range = range(values);
        for (j, &v) in values.iter().enumerate() {
            let (y, x) = (i / across * (h + 1) + j / w, i % across * (w + 1) + j % w);
            let at = (y * width + x) * 3;
            picture.rgb[at..at + 3].copy_from_slice(&map.color(v, range));
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let values: Vec<f32> = (0..12).map(|i| i as f32 / 10.0).collect();
        Sheet {
            panels: vec![
                Panel::picture("a picture", Picture::new(4, 4, vec![77; 48])).note("a note"),
                Panel::heat("heat", &values, 4, Colormap::ember(), |v| format!("{v:.1}")),
                Panel::labels("labels", vec![0, 1, 1, 0], 2, vec!["cat".into(), "dog".into()]),
            ],
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for columns in [1, 10, 22, 40, 80, 200] {
            let text = sheet().text([columns, 24], 3, 2.0, ColorMode::None);
            for line in text.lines() {
                assert!(line.width() <= columns.max(22), "{columns}: {} columns: {line}", line.width());
            }
            assert!(!text.contains('\u{1b}'));
        }
        let text = sheet().text([80, 24], 3, 2.0, ColorMode::None);
        for word in ["a picture", "a note", "heat", "0.0", "1.1", "labels", "cat"] {
            assert!(text.contains(word), "{word} is missing:\n{text}");
        }
    }

    #[test]
    fn labels_beyond_the_colours_are_one_category() {
        let names = (0..CATEGORIES + 3).map(|i| format!("label {i}")).collect();
        let panel = Panel::labels("labels", vec![0, CATEGORIES, CATEGORIES + 2, 1], 2, names);
        assert_eq!(panel.picture.pixel(0, 1), panel.picture.pixel(1, 0));
        let text = Sheet { panels: vec![panel] }.text([60, 24], 0, 2.0, ColorMode::None);
        for line in ["AA label 0", "HH label 7", ".. 3 more"] {
            assert!(text.contains(line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("label 8"), "{text}");
    }

    #[test]
    fn one_row_of_panels_leaves_room_for_what_follows() {
        let one =
            Sheet { panels: vec![Panel::picture("title", Picture::new(64, 64, vec![9; 3 * 64 * 64])).note("note")] };
        for (rows, below) in [(24, 6), (60, 6), (24, 12)] {
            let lines = one.text([200, rows], below, 2.0, ColorMode::None).lines().count();
            assert_eq!(lines + below, rows, "{rows} rows, {below} below");
        }
        assert_eq!(one.text([80, 5], 6, 2.0, ColorMode::None).lines().count(), 12);
    }

    #[test]
    fn colours_are_put_down_before_every_line_ends() {
        for line in sheet().text([80, 24], 3, 2.0, ColorMode::TrueColor).lines() {
            if let Some(at) = line.rfind("\x1b[") {
                assert!(line[at..].starts_with("\x1b[0m"), "{line:?}");
            }
        }
    }

    #[test]
    fn texts_are_cut_by_width_and_never_carry_controls() {
        assert_eq!(cut("ab\u{1b}[31mc", 80), "ab[31mc");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn mosaics_hold_every_map() {
        let maps: Vec<Vec<f32>> = (0..7).map(|i| vec![0.0, i as f32 + 1.0, 0.0, 0.0]).collect();
        let refs: Vec<&[f32]> = maps.iter().map(|m| &m[..]).collect();
        let p = mosaic(&refs, [2, 2], Colormap::ember(), 1.0);
        let bright = p.rgb.chunks(3).filter(|c| c[0] > 200).count();
        assert_eq!(bright, 7);
    }
}
