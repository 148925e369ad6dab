//! Pictures as half-blocks: every cell shows two pixels, one above the other, as the colours of a glyph and its ground.
//!
//! ```text
//! picture ─ area average in linear light ─▶ columns × 2·rows pixels ─ colours of the mode ─▶ ▀ ▄ or space, SGR
//! ```
//! Of ▀ and ▄ the one is taken that changes fewer colours of the pen; only the half that changes is sent, and every row
//! ends with the pen put down. The sequences are written here, not by a terminal library, so that no environment
//! variable can strip the colours and leave stripes.

#[cfg(test)]
mod tests;

use std::fmt::Write;

use switchback_core::picture::Picture;

use crate::color::console::{self, Mix};
use crate::color::palette::threshold;
use crate::color::{
    ColorMode, Dither, Linear, Palette, category_color, category_letter, linear, linear_bytes, luminance, oklab, srgb,
};

/// From no ink to most: what a picture is drawn with where there are no colours. Taken for a dark ground.
const RAMP: &[u8] = b" .:-=+*#%@";

/// A picture in linear light.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Light {
    width: usize,
    height: usize,
    pixels: Vec<Linear>,
}

impl Light {
    /// Linear light, row by row; panics unless there are `width × height` pixels.
    pub(crate) fn new(width: usize, height: usize, pixels: Vec<Linear>) -> Self {
        assert_eq!(pixels.len(), width * height, "pixels of {width}×{height}");
        Self { width, height, pixels }
    }

    /// Columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// Light and dark exchanged, of greys alike steps of lightness: for ink that is darker than its ground.
    pub(crate) fn negative(mut self) -> Self {
        for pixel in &mut self.pixels {
            let lightness = oklab([luminance(*pixel); 3])[0].clamp(0.0, 1.0);
            *pixel = [(1.0 - lightness).powi(3); 3];
        }
        self
    }

    /// Paints one pixel; what lies outside is left out.
    pub(crate) fn set(&mut self, x: usize, y: usize, light: Linear) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = light;
        }
    }

    /// `picture` brought to `width × height` by averaging areas in linear light. Small pictures grow as blocks.
    pub(crate) fn of(picture: &Picture, width: usize, height: usize) -> Self {
        if picture.width == 0 || picture.height == 0 {
            return Self { width, height, pixels: vec![[0.0; 3]; width * height] };
        }
        let columns = shares(picture.width, width);
        let rows = shares(picture.height, height);
        let bright = linear_bytes();
        let mut lines = Vec::with_capacity(picture.height * width);
        for row in picture.rgb.chunks_exact(picture.width * 3) {
            lines.extend(columns.iter().map(|parts| {
                let mut sum = [0.0; 3];
                for &(from, share) in parts {
                    let pixel = &row[3 * from..3 * from + 3];
                    (0..3).for_each(|k| sum[k] += share * bright[usize::from(pixel[k])]);
                }
                sum
            }));
        }
        let mut pixels = vec![[0.0; 3]; width * height];
        for (out, parts) in pixels.chunks_exact_mut(width.max(1)).zip(&rows) {
            for &(from, share) in parts {
                for (sum, line) in out.iter_mut().zip(&lines[from * width..(from + 1) * width]) {
                    (0..3).for_each(|k| sum[k] += share * line[k]);
                }
            }
        }
        Self { width, height, pixels }
    }
}

/// Brings maps of one size to another by averaging areas; small maps grow as blocks.
#[derive(Debug)]
pub(crate) struct Scaler {
    columns: Vec<Vec<(usize, f32)>>,
    rows: Vec<Vec<(usize, f32)>>,
    width: usize,
}

impl Scaler {
    /// From `[height, width]` to `[height, width]`.
    pub(crate) fn new(from: [usize; 2], to: [usize; 2]) -> Self {
        Self { columns: shares(from[1], to[1]), rows: shares(from[0], to[0]), width: from[1] }
    }

    /// The map in its new size, row by row.
    pub(crate) fn apply(&self, map: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.rows.len() * self.columns.len()];
        for (row, line) in self.rows.iter().zip(out.chunks_mut(self.columns.len().max(1))) {
            for &(y, high) in row {
                let from = &map[y * self.width..(y + 1) * self.width];
                for (cell, column) in line.iter_mut().zip(&self.columns) {
                    *cell += high * column.iter().map(|&(x, wide)| wide * from[x]).sum::<f32>();
                }
            }
        }
        out
    }
}

/// For each of `to` cells over `from` cells: which it covers and how much of it each fills.
fn shares(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = from as f64 / to as f64;
    let cell = |i: usize| {
        let (start, end) = (i as f64 * scale, (i + 1) as f64 * scale);
        let last = (end.ceil() as usize).min(from);
        let part = |j: usize| (end.min((j + 1) as f64) - start.max(j as f64)).max(0.0) / scale;
        (start as usize..last).map(|j| (j, part(j) as f32)).filter(|p| p.1 > 0.0).collect()
    };
    (0..to).map(cell).collect()
}

/// Columns and rows of cells that show `width × height` pixels undistorted within `most` of them; `aspect` is a cell's
/// height over its width. At least one of each.
pub(crate) fn fit([width, height]: [usize; 2], most: [usize; 2], aspect: f64) -> [usize; 2] {
    let (w, h) = (width.max(1) as f64, height.max(1) as f64);
    let scale = (most[0] as f64 / w).min(most[1] as f64 * aspect / h);
    [(w * scale).round().max(1.0) as usize, (h * scale / aspect).round().max(1.0) as usize]
}

/// A colour as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Rgb([u8; 3]),
    Index(u8),
}

/// A picture in cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cells {
    columns: usize,
    rows: usize,
    mode: ColorMode,
    /// `2 · rows × columns`; empty where a cell has no halves.
    halves: Vec<Ink>,
    /// `rows × columns`, on a console.
    mixes: Vec<Mix>,
    /// `rows × columns`; empty with colours.
    ramp: Vec<u8>,
}

impl Cells {
    /// `picture` on exactly `columns × rows` cells.
    pub(crate) fn new(picture: &Picture, columns: usize, rows: usize, mode: ColorMode) -> Self {
        Self::of(&Light::of(picture, columns, 2 * rows), mode)
    }

    /// Light of an even height, a pixel each.
    pub(crate) fn of(light: &Light, mode: ColorMode) -> Self {
        let (columns, rows) = (light.width, light.height / 2);
        let dithered = |palette| {
            Dither::kept(palette, |dither| {
                let pixels = light.pixels.iter().enumerate();
                pixels.map(|(i, &p)| Ink::Index(dither.index(p, i % columns, i / columns))).collect()
            })
        };
        let halves = match mode {
            ColorMode::TrueColor => light.pixels.iter().map(|&p| Ink::Rgb(srgb(p))).collect(),
            ColorMode::Ansi256 => dithered(Palette::ansi256()),
            ColorMode::Ansi16 => dithered(Palette::ansi16()),
            ColorMode::Console | ColorMode::None => Vec::new(),
        };
        let (mut mixes, mut letters) = (Vec::new(), Vec::new());
        match mode {
            ColorMode::Console => mixes = pairs(light).map(console::mix).collect(),
            ColorMode::None => letters = ramp(light),
            _ => {}
        }
        Self { columns, rows, mode, halves, mixes, ramp: letters }
    }

    /// Categories (see [`category_color`]), `width` a row, on exactly `columns × rows` cells: flat areas with hard
    /// edges, since a mixture of two categories would look like a third.
    pub(crate) fn categories(categories: &[usize], width: usize, columns: usize, rows: usize, mode: ColorMode) -> Self {
        let height = categories.len() / width.max(1);
        let at = |x: usize, y: usize, of: usize| match categories.is_empty() {
            true => 0,
            false => categories[(2 * y + 1) * height / (2 * of) * width + (2 * x + 1) * width / (2 * columns)],
        };
        let ink = |category: usize| match (category_color(category, mode), mode) {
            (rgb, ColorMode::TrueColor | ColorMode::Console | ColorMode::None) => Ink::Rgb(rgb),
            (rgb, ColorMode::Ansi256) => Ink::Index(Palette::ansi256().nearest(rgb)),
            (rgb, ColorMode::Ansi16) => Ink::Index(Palette::ansi16().nearest(rgb)),
        };
        let places = |of: usize| (0..of).flat_map(move |y| (0..columns).map(move |x| (x, y)));
        let (mut halves, mut mixes, mut ramp) = (Vec::new(), Vec::new(), Vec::new());
        match mode {
            ColorMode::Console => {
                let flat = |category| console::mix([linear(category_color(category, mode)); 2]);
                mixes = places(rows).map(|(x, y)| flat(at(x, y, rows))).collect();
            }
            ColorMode::None => ramp = places(rows).map(|(x, y)| category_letter(at(x, y, rows))).collect(),
            _ => halves = places(2 * rows).map(|(x, y)| ink(at(x, y, 2 * rows))).collect(),
        }
        Self { columns, rows, mode, halves, mixes, ramp }
    }

    /// Columns.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Upper and lower colour of a cell; `None` where it has no halves.
    pub(crate) fn halves(&self, x: usize, y: usize) -> Option<[Ink; 2]> {
        let at = |row: usize| self.halves[row * self.columns + x];
        (!self.halves.is_empty()).then(|| [at(2 * y), at(2 * y + 1)])
    }

    /// How a cell is filled on a console.
    pub(crate) fn mix(&self, x: usize, y: usize) -> Option<Mix> {
        self.mixes.get(y * self.columns + x).copied()
    }

    /// The character of a cell where there are no colours.
    pub(crate) fn letter(&self, x: usize, y: usize) -> char {
        self.ramp.get(y * self.columns + x).map_or(' ', |&b| char::from(b))
    }

    /// Row `y` as text; the pen is put down at its end.
    pub(crate) fn row(&self, y: usize) -> String {
        if self.mode == ColorMode::None {
            return self.ramp[y * self.columns..(y + 1) * self.columns].iter().map(|&b| char::from(b)).collect();
        }
        if self.mode == ColorMode::Console {
            return console_row(&self.mixes[y * self.columns..(y + 1) * self.columns]);
        }
        let mut out = String::new();
        let (mut ink, mut ground) = (None, None);
        for x in 0..self.columns {
            let top = self.halves[2 * y * self.columns + x];
            let bottom = self.halves[(2 * y + 1) * self.columns + x];
            let (glyph, wanted_ink, wanted_ground) = if top == bottom {
                if ink == Some(top) && ground != Some(top) { ('█', None, None) } else { (' ', None, Some(top)) }
            } else {
                let cost = |a, b| usize::from(ink != Some(a)) + usize::from(ground != Some(b));
                match cost(bottom, top) < cost(top, bottom) {
                    true => ('▄', Some(bottom), Some(top)),
                    false => ('▀', Some(top), Some(bottom)),
                }
            };
            let new_ink = wanted_ink.filter(|_| wanted_ink != ink);
            let new_ground = wanted_ground.filter(|_| wanted_ground != ground);
            if new_ink.is_some() || new_ground.is_some() {
                let codes = [new_ink.map(|c| code(c, 38)), new_ground.map(|c| code(c, 48))];
                let codes: Vec<String> = codes.into_iter().flatten().collect();
                write!(out, "\x1b[{}m", codes.join(";")).expect("writing to a string");
            }
            ink = wanted_ink.or(ink);
            ground = wanted_ground.or(ground);
            out.push(glyph);
        }
        if self.columns > 0 {
            out.push_str("\x1b[0m");
        }
        out
    }
}

/// The SGR parameters of a colour; `base` is 38 for ink and 48 for ground.
fn code(ink: Ink, base: u8) -> String {
    match ink {
        Ink::Rgb([r, g, b]) => format!("{base};2;{r};{g};{b}"),
        Ink::Index(i @ 0..8) => format!("{}", base - 8 + i),
        Ink::Index(i @ 8..16) => format!("{}", base + 52 + i - 8),
        Ink::Index(i) => format!("{base};5;{i}"),
    }
}

/// Upper and lower pixel of every cell, row by row.
fn pairs(light: &Light) -> impl Iterator<Item = [Linear; 2]> + '_ {
    let at = move |x: usize, y: usize| light.pixels[y * light.width + x];
    (0..light.height / 2).flat_map(move |y| (0..light.width).map(move |x| [at(x, 2 * y), at(x, 2 * y + 1)]))
}

/// Cells of a console as text: an ink of the upper eight is bold.
fn console_row(cells: &[Mix]) -> String {
    let (mut out, mut pen) = (String::new(), None);
    for &Mix { glyph, ink, ground } in cells {
        if pen.replace((ink, ground)) != Some((ink, ground)) {
            let weight = if ink < 8 { 22 } else { 1 };
            write!(out, "\x1b[{weight};{};{}m", 30 + ink % 8, 40 + ground).expect("writing to a string");
        }
        out.push(glyph);
    }
    if !cells.is_empty() {
        out.push_str("\x1b[0m");
    }
    out
}

/// Characters of as much ink as the two pixels of a cell are light together; dithered, so that slopes do not band.
fn ramp(light: &Light) -> Vec<u8> {
    let steps = (RAMP.len() - 1) as f32;
    let cell = |i: usize| {
        let (x, y) = (i % light.width, i / light.width);
        let pixel = |row: usize| luminance(light.pixels[row * light.width + x]);
        let mean = 0.5 * (pixel(2 * y) + pixel(2 * y + 1));
        let lightness = oklab([mean; 3])[0].clamp(0.0, 1.0);
        RAMP[((lightness * steps + threshold(x, y)) as usize).min(RAMP.len() - 1)]
    };
    (0..light.width * light.height / 2).map(cell).collect()
}
