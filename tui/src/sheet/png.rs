//! The sheet as a PNG file: panels enlarged by whole numbers, so that no pixel is invented, and captions below them.

use switchback_core::Result;
use switchback_core::picture::Picture;

use super::font::{SIZE, glyph};
use super::{Panel, Sheet, cut, ends};

const GROUND: [u8; 3] = [24, 24, 27];
const INK: [u8; 3] = [228, 228, 231];
/// Pixels of a letter's pixel.
const LETTER: usize = 2;
/// From one letter, and one line, to the next.
const ADVANCE: usize = (SIZE[0] + 1) * LETTER;
const LINE: usize = (SIZE[1] + 3) * LETTER;
/// Around everything.
const MARGIN: usize = 12;
/// Small panels are enlarged to about this side.
const SIDE: usize = 448;
/// No panel is narrower: its title must be legible.
const NARROWEST: usize = 300;
/// Panels of a row are together no wider, if there is more than one.
const WIDEST: usize = 1900;

/// The sheet as PNG bytes.
///
/// # Errors
/// Those of the encoder.
pub(crate) fn to_png(sheet: &Sheet) -> Result<Vec<u8>> {
    let rows = rows(&sheet.panels);
    let widths: Vec<usize> = sheet.panels.iter().map(width).collect();
    let row_width = |row: &std::ops::Range<usize>| widths[row.clone()].iter().map(|w| w + MARGIN).sum::<usize>();
    let text = sheet.lines.iter().map(|l| l.chars().count() * ADVANCE + MARGIN).max().unwrap_or(0);
    let panels = rows.iter().map(row_width).max().unwrap_or(0);
    // Lines of text are cut at what the panels need, or at a screen's width where the panels are narrow.
    let width = MARGIN + panels.max(text.min(WIDEST)).max(NARROWEST);
    let heights: Vec<usize> =
        rows.iter().map(|r| sheet.panels[r.clone()].iter().map(height).max().unwrap_or(0) + MARGIN).collect();
    let height = MARGIN + sheet.lines.len() * LINE + heights.iter().sum::<usize>();
    let mut page = Page { picture: Picture { width, height, rgb: GROUND.repeat(width * height) } };
    let mut y = MARGIN;
    for line in &sheet.lines {
        page.text(MARGIN, y, &cut(line, (width - 2 * MARGIN) / ADVANCE));
        y += LINE;
    }
    for (row, height) in rows.iter().zip(heights) {
        let mut x = MARGIN;
        for i in row.clone() {
            page.panel(x, y, &sheet.panels[i]);
            x += widths[i] + MARGIN;
        }
        y += height;
    }
    page.picture.to_png()
}

/// Which panels stand in a row: as many as fit, an even number where more than two do not all fit.
fn rows(panels: &[Panel]) -> Vec<std::ops::Range<usize>> {
    let mut rows = Vec::new();
    let mut start = 0;
    while start < panels.len() {
        let mut end = start;
        let mut used = 0;
        while end < panels.len() && (end == start || used + width(&panels[end]) <= WIDEST) {
            used += width(&panels[end]) + MARGIN;
            end += 1;
        }
        if end < panels.len() && end - start > 2 && (end - start) % 2 == 1 {
            end -= 1;
        }
        rows.push(start..end);
        start = end;
    }
    rows
}

fn factor(panel: &Panel) -> usize {
    (SIDE / panel.picture.width.max(panel.picture.height).max(1)).max(1)
}

fn width(panel: &Panel) -> usize {
    (panel.picture.width * factor(panel)).max(NARROWEST)
}

fn height(panel: &Panel) -> usize {
    LINE * (1 + usize::from(panel.scale.is_some()) + panel.legend.len()) + panel.picture.height * factor(panel) + LETTER
}

struct Page {
    picture: Picture,
}

impl Page {
    fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, rgb: [u8; 3]) {
        let Picture { width: columns, height: rows, rgb: data } = &mut self.picture;
        for y in y..(y + height).min(*rows) {
            for x in x..(x + width).min(*columns) {
                let i = 3 * (y * *columns + x);
                data[i..i + 3].copy_from_slice(&rgb);
            }
        }
    }

    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (i, c) in text.chars().enumerate() {
            for (dy, row) in glyph(c).into_iter().enumerate() {
                for dx in (0..SIZE[0]).filter(|dx| row >> (SIZE[0] - 1 - dx) & 1 == 1) {
                    self.fill(x + i * ADVANCE + dx * LETTER, y + dy * LETTER, LETTER, LETTER, INK);
                }
            }
        }
    }

    fn panel(&mut self, x: usize, y: usize, panel: &Panel) {
        let (k, w) = (factor(panel), width(panel));
        let letters = w / ADVANCE;
        self.text(x, y, &cut(&panel.title, letters));
        let mut y = y + LINE;
        let picture = &panel.picture;
        for (i, rgb) in picture.rgb.chunks_exact(3).enumerate() {
            let (row, column) = (i / picture.width, i % picture.width);
            self.fill(x + column * k, y + row * k, k, k, [rgb[0], rgb[1], rgb[2]]);
        }
        y += picture.height * k + 3 * LETTER;
        if let Some(scale) = &panel.scale {
            let [low, high] = ends(scale);
            let (a, b) = (low.chars().count() * ADVANCE, high.chars().count() * ADVANCE);
            self.text(x, y, &low);
            let bar = w.saturating_sub(a + b + 2 * ADVANCE);
            for i in 0..bar {
                let rgb = scale.map.at(i as f32 / (bar.max(2) - 1) as f32);
                self.fill(x + a + ADVANCE / 2 + i, y, 1, SIZE[1] * LETTER, rgb);
            }
            self.text(x + a + bar + ADVANCE, y, &high);
            y += LINE;
        }
        for (rgb, name) in &panel.legend {
            self.fill(x, y, SIZE[1] * LETTER, SIZE[1] * LETTER, *rgb);
            self.text(x + 2 * ADVANCE, y, &cut(name, letters.saturating_sub(2)));
            y += LINE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colormap::Scale;

    #[test]
    fn pixels_are_enlarged_not_changed() {
        let picture = Picture { width: 2, height: 1, rgb: vec![250, 1, 2, 3, 250, 4] };
        let sheet = Sheet { lines: vec!["line".into()], panels: vec![Panel::photo("title", picture)] };
        let page = image::load_from_memory(&to_png(&sheet).unwrap()).unwrap().to_rgb8();
        let count = |rgb: [u8; 3]| page.pixels().filter(|p| p.0 == rgb).count();
        assert_eq!((count([250, 1, 2]), count([3, 250, 4])), (224 * 224, 224 * 224));
        assert!(count(INK) > 4 * 9, "letters are there");
    }

    #[test]
    fn many_panels_stand_in_rows() {
        let values = [0.0, 1.0, 2.0, 3.0];
        let panel = Panel::map("map", &values, 2, Scale::of(values));
        assert_eq!(rows(&vec![panel.clone(); 9]), [0..4, 4..8, 8..9]);
        assert_eq!(rows(&vec![panel; 3]).len(), 1);
    }
}
