//! Pictures in the buffer: where they lie, which cell is which pixel, and outlines drawn over them.
//!
//! ```text
//! Place: cells of the screen ◀─▶ cells of a map        Canvas: columns × 2·rows pixels ─▶ ▀ with two colours
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use switchback_core::Window;
use switchback_core::picture::Picture;

use crate::color::console::Mix;
use crate::color::{ColorMode, Linear, linear, srgb};
use crate::colormap::Colormap;
use crate::halfblock::{Cells, Ink, Light, Scaler, fit};
use crate::signed::Signed;
use crate::theme;

/// Where a picture or map of `size` lies on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The cells that it covers.
    pub(crate) area: Rect,
    /// `[height, width]` of what is shown.
    pub(crate) size: [usize; 2],
}

impl Place {
    /// Undistorted in the middle of `area`; small maps grow by whole numbers, so that their cells are alike.
    pub(crate) fn fit(area: Rect, size: [usize; 2], aspect: f64) -> Self {
        if area.is_empty() {
            return Self { area, size };
        }
        let most = [usize::from(area.width), usize::from(area.height)];
        let [mut columns, mut rows] = fit([size[1], size[0]], most, aspect);
        let times = (columns / size[1].max(1)).min(2 * rows / size[0].max(1));
        let crisp = [times * size[1], (times * size[0]).div_ceil(2)];
        // Only where little room is lost by it.
        if times >= 1
            && (times * size[0]).is_multiple_of(2)
            && (aspect - 2.0).abs() < 0.25
            && 6 * crisp[0] >= 5 * columns
        {
            [columns, rows] = crisp;
        }
        let (columns, rows) = (columns.min(most[0]) as u16, rows.min(most[1]) as u16);
        let x = area.x + (area.width - columns) / 2;
        Self { area: Rect::new(x, area.y, columns, rows), size }
    }

    /// Columns and half-rows.
    pub(crate) fn pixels(&self) -> [usize; 2] {
        [usize::from(self.area.width), 2 * usize::from(self.area.height)]
    }

    /// The pixels of the canvas that `window` covers: at least one.
    pub(crate) fn window(&self, window: Window) -> [usize; 4] {
        let [w, h] = self.pixels();
        let scale = |at: usize, of: usize, to: usize| at as f64 * to as f64 / of.max(1) as f64;
        let first = |at, of, to: usize| (scale(at, of, to).round() as usize).min(to.saturating_sub(1));
        let last =
            |at, of, to: usize, first: usize| (scale(at, of, to).round() as usize).clamp(first + 1, to.max(first + 1));
        let (x0, y0) = (first(window.x0, self.size[1], w), first(window.y0, self.size[0], h));
        [x0, y0, last(window.x1, self.size[1], w, x0), last(window.y1, self.size[0], h, y0)]
    }

    /// The cell of the map that is shown at a column and row of the screen.
    pub(crate) fn at(&self, [column, row]: [u16; 2]) -> Option<[usize; 2]> {
        if !self.area.contains((column, row).into()) {
            return None;
        }
        let inside = |at: u16, from: u16, length: u16, of: usize| {
            ((2 * usize::from(at - from) + 1) * of / (2 * usize::from(length))).min(of.saturating_sub(1))
        };
        let y = inside(row, self.area.y, self.area.height, self.size[0]);
        Some([y, inside(column, self.area.x, self.area.width, self.size[1])])
    }
}

/// Pixels for some cells of the screen.
#[derive(Debug)]
pub(crate) struct Canvas {
    area: Rect,
    light: Light,
    outlines: Vec<([usize; 4], Linear)>,
}

impl Canvas {
    /// All of one colour.
    pub(crate) fn plain(area: Rect, rgb: [u8; 3]) -> Self {
        let (w, h) = (usize::from(area.width), 2 * usize::from(area.height));
        Self { area, light: Light::new(w, h, vec![linear(rgb); w * h]), outlines: Vec::new() }
    }

    /// A picture; `negative` where letters are darker than their ground.
    pub(crate) fn picture(place: Place, picture: &Picture, negative: bool) -> Self {
        let [w, h] = place.pixels();
        let light = Light::of(picture, w, h);
        Self { area: place.area, light: if negative { light.negative() } else { light }, outlines: Vec::new() }
    }

    /// Signed numbers around mid-grey, brought to size before they are coloured, and the one that is as bright or dark as
    /// can be.
    pub(crate) fn signed(place: Place, signed: &Signed, negative: bool) -> (Self, f32) {
        let [w, h] = place.pixels();
        let small = signed.scaled([h, w]);
        (Self::picture(place, &small.picture(), negative), small.peak())
    }

    /// Numbers in the colours of `map` over `range`: scaled before they are coloured.
    pub(crate) fn map(place: Place, values: &[f32], map: &Colormap, range: [f32; 2]) -> Self {
        let mut canvas = Self::plain(place.area, [0; 3]);
        let [w, h] = place.pixels();
        if w * h > 0 {
            canvas.tile([0, 0], [w, h], &Scaler::new(place.size, [h, w]).apply(values), map, range);
        }
        canvas
    }

    /// Paints `size` columns and rows of numbers at `corner`.
    pub(crate) fn tile(
        &mut self,
        corner: [usize; 2],
        size: [usize; 2],
        values: &[f32],
        map: &Colormap,
        range: [f32; 2],
    ) {
        for (i, &v) in values.iter().enumerate() {
            let [x, y] = [corner[0] + i % size[0], corner[1] + i / size[0]];
            self.light.set(x, y, linear(map.color_at(v, range, [x, y])));
        }
    }

    /// Fills pixels `[x0, y0, x1, y1)`.
    pub(crate) fn fill(&mut self, [x0, y0, x1, y1]: [usize; 4], rgb: [u8; 3]) {
        for y in y0..y1.min(self.light.height()) {
            for x in x0..x1.min(self.light.width()) {
                self.light.set(x, y, linear(rgb));
            }
        }
    }

    /// A line around pixels `[x0, y0, x1, y1)`, on the pixels just inside them.
    pub(crate) fn outline(&mut self, at: [usize; 4], rgb: [u8; 3]) {
        let [x0, y0, x1, y1] = at;
        let color = linear(rgb);
        for x in x0..x1 {
            self.light.set(x, y0, color);
            self.light.set(x, y1.saturating_sub(1), color);
        }
        for y in y0..y1 {
            self.light.set(x0, y, color);
            self.light.set(x1.saturating_sub(1), y, color);
        }
        self.outlines.push((at, color));
    }

    /// Puts the pixels into the buffer.
    pub(crate) fn put(&self, buffer: &mut Buffer, mode: ColorMode) {
        let cells = Cells::of(&self.light, mode);
        for y in 0..self.area.height {
            for x in 0..self.area.width {
                let Some(cell) = buffer.cell_mut((self.area.x + x, self.area.y + y)) else { continue };
                cell.reset();
                match cells.halves(usize::from(x), usize::from(y)) {
                    Some([top, bottom]) if top == bottom => {
                        cell.set_char(' ').set_bg(ink(bottom));
                    }
                    Some([top, bottom]) => {
                        cell.set_char('▀').set_fg(ink(top)).set_bg(ink(bottom));
                    }
                    None => match cells.mix(usize::from(x), usize::from(y)) {
                        Some(Mix { glyph, ink, ground }) => {
                            cell.set_char(glyph).set_fg(Color::Indexed(ink)).set_bg(Color::Indexed(ground));
                        }
                        None => {
                            cell.set_char(cells.letter(usize::from(x), usize::from(y)));
                        }
                    },
                }
            }
        }
        if matches!(mode, ColorMode::None | ColorMode::Console) {
            // White pixels are no outline among letters, and a cell of one colour is too wide a line.
            self.outlines.iter().for_each(|(at, light)| self.frame(buffer, *at, theme::color(srgb(*light), mode)));
        }
    }

    fn frame(&self, buffer: &mut Buffer, [x0, y0, x1, y1]: [usize; 4], color: Color) {
        let clip = |at: usize, most: u16| (at as u16).min(most.saturating_sub(1));
        let (left, right) = (clip(x0, self.area.width), clip(x1.saturating_sub(1), self.area.width));
        let (top, bottom) = (clip(y0 / 2, self.area.height), clip(y1.saturating_sub(1) / 2, self.area.height));
        let mut put = |x: u16, y: u16, c: char| {
            if let Some(cell) = buffer.cell_mut((self.area.x + x, self.area.y + y)) {
                let style = Style::new().fg(color).bg(Color::Reset).add_modifier(ratatui::style::Modifier::BOLD);
                cell.set_char(c).set_style(style);
            }
        };
        if left == right && top == bottom {
            return put(left, top, '◆');
        }
        for x in left..=right {
            put(x, top, '─');
            put(x, bottom, '─');
        }
        for y in top..=bottom {
            put(left, y, '│');
            put(right, y, '│');
        }
        if top == bottom {
            put(left, top, '[');
            return put(right, top, ']');
        }
        [(left, top, '┌'), (right, top, '┐'), (left, bottom, '└'), (right, bottom, '┘')]
            .into_iter()
            .for_each(|(x, y, c)| put(x, y, c));
    }
}

fn ink(ink: Ink) -> Color {
    match ink {
        Ink::Rgb([r, g, b]) => Color::Rgb(r, g, b),
        Ink::Index(i) => Color::Indexed(i),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lead_there_and_back() {
        for (area, size) in [((3, 2, 40, 20), [13, 13]), ((0, 0, 21, 9), [224, 224]), ((1, 1, 30, 30), [5, 50])] {
            let place = Place::fit(Rect::new(area.0, area.1, area.2, area.3), size, 2.0);
            assert!(Rect::new(area.0, area.1, area.2, area.3).intersection(place.area) == place.area);
            for row in place.area.top()..place.area.bottom() {
                for column in place.area.left()..place.area.right() {
                    let at = place.at([column, row]).unwrap();
                    let [x0, y0, x1, y1] = place.window(Window::cell(at));
                    let x = usize::from(column - place.area.x);
                    assert!((x0..x1).contains(&x) || size[1] > place.pixels()[0], "{at:?} {x0} {x} {x1}");
                    assert!(x1 > x0 && y1 > y0 && x1 <= place.pixels()[0] && y1 <= place.pixels()[1]);
                }
            }
            assert_eq!(place.at([place.area.right(), place.area.y]), None);
        }
    }

    #[test]
    fn on_a_light_ground_dark_places_get_the_letters() {
        let area = Rect::new(0, 0, 2, 1);
        let halves = Picture::new(2, 2, [[0; 3], [255; 3], [0; 3], [255; 3]].concat());
        let letters = |negative: bool| {
            let mut buffer = Buffer::empty(area);
            Canvas::picture(Place { area, size: [2, 2] }, &halves, negative).put(&mut buffer, ColorMode::None);
            [buffer[(0, 0)].symbol().to_owned(), buffer[(1, 0)].symbol().to_owned()]
        };
        assert_eq!((letters(false), letters(true)), ([" ", "@"].map(String::from), ["@", " "].map(String::from)));
    }

    #[test]
    fn outlines_show_in_every_mode() {
        let area = Rect::new(0, 0, 6, 3);
        for mode in ColorMode::ALL {
            let draw = |outline: bool| {
                let mut canvas = Canvas::plain(area, [200, 30, 30]);
                if outline {
                    canvas.outline([1, 1, 5, 5], [0, 255, 255]);
                }
                let mut buffer = Buffer::empty(area);
                canvas.put(&mut buffer, mode);
                buffer
            };
            assert_ne!(draw(true), draw(false), "{mode:?}");
        }
    }
}
