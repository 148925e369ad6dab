//! Pictures as text: two pixels a cell, the upper as the colour of `▀`, the lower as its background.
//!
//! ```text
//! pixels (columns × 2·rows) ─ cells ─ canvas ─ text with as few colour changes as can be
//! ```
//! Scaling averages in linear light. Without colours a cell becomes a character of more or less ink.

use std::fmt::Write;

use switchback_core::picture::Picture;

use crate::color::palette::threshold;
use crate::color::{ColorMode, Dither, Linear, Palette, linear, luminance, srgb};

/// Characters from no ink to much, for light on a dark ground.
const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// A colour as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Rgb([u8; 3]),
    Indexed(u8),
    Named(u8),
}

/// One place of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    glyph: char,
    front: Option<Paint>,
    back: Option<Paint>,
}

const EMPTY: Cell = Cell { glyph: ' ', front: None, back: None };

/// A page of cells that grows downwards.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    columns: usize,
    mode: ColorMode,
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    /// Empty, `columns` wide.
    pub(crate) fn new(columns: usize, mode: ColorMode) -> Self {
        Self { columns, mode, rows: Vec::new() }
    }

    fn cell(&mut self, row: usize, column: usize) -> Option<&mut Cell> {
        if column >= self.columns {
            return None;
        }
        while self.rows.len() <= row {
            self.rows.push(vec![EMPTY; self.columns]);
        }
        Some(&mut self.rows[row][column])
    }

    /// Writes `text` from `(row, column)` on, cut at the canvas's edge.
    pub(crate) fn text(&mut self, row: usize, column: usize, text: &str) {
        for (i, glyph) in text.chars().enumerate() {
            if let Some(cell) = self.cell(row, column + i) {
                *cell = Cell { glyph, ..EMPTY };
            }
        }
    }

    /// Draws pixels, `light[y][x]`, two rows a cell, with the top left corner at `(row, column)`.
    pub(crate) fn pixels(&mut self, row: usize, column: usize, light: &[Vec<Linear>]) {
        let mode = self.mode;
        let mut dither = match mode {
            ColorMode::Ansi256 => Some(Dither::new(Palette::ansi256())),
            ColorMode::Ansi16 => Some(Dither::new(Palette::ansi16())),
            ColorMode::TrueColor | ColorMode::None => None,
        };
        let mut paint = |wanted: Linear, x: usize, y: usize| match (&mut dither, mode) {
            (Some(d), ColorMode::Ansi16) => Paint::Named(d.index(wanted, x, y)),
            (Some(d), _) => Paint::Indexed(d.index(wanted, x, y)),
            (None, _) => Paint::Rgb(srgb(wanted)),
        };
        for (r, pair) in light.chunks(2).enumerate() {
            for x in 0..pair[0].len() {
                let Some(cell) = self.cell(row + r, column + x) else { continue };
                if mode == ColorMode::None {
                    let ink = pair.iter().map(|line| luminance(line[x])).sum::<f32>() / pair.len() as f32;
                    *cell = Cell { glyph: inked(ink, x, r), ..EMPTY };
                    continue;
                }
                let upper = paint(pair[0][x], x, 2 * r);
                let lower = pair.get(1).map(|line| paint(line[x], x, 2 * r + 1));
                *cell = match lower {
                    Some(lower) if lower == upper => Cell { glyph: ' ', front: None, back: Some(lower) },
                    lower => Cell { glyph: '▀', front: Some(upper), back: lower },
                };
            }
        }
    }

    /// The page as lines, each ended and back in the terminal's own colours.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        for row in &self.rows {
            let used = row.iter().rposition(|c| *c != EMPTY).map_or(0, |i| i + 1);
            let (mut front, mut back) = (None, None);
            for cell in &row[..used] {
                let mut codes = Vec::new();
                if cell.back.is_none() && back.is_some() {
                    codes.push("49".to_owned());
                }
                // A blank shows no foreground, so the last one may stay.
                let wanted = if cell.glyph == ' ' { front } else { cell.front };
                if wanted.is_none() && front.is_some() {
                    codes.push("39".to_owned());
                }
                codes.extend(wanted.filter(|_| wanted != front).map(|p| code(p, 0)));
                codes.extend(cell.back.filter(|_| cell.back != back).map(|p| code(p, 10)));
                if !codes.is_empty() {
                    write!(out, "\x1b[{}m", codes.join(";")).expect("writing to a string");
                }
                (front, back) = (wanted, cell.back);
                out.push(cell.glyph);
            }
            if front.is_some() || back.is_some() {
                out.push_str("\x1b[0m");
            }
            out.push('\n');
        }
        out
    }
}

/// The SGR parameters of a colour; `ground` is 0 for the foreground, 10 for the background.
fn code(paint: Paint, ground: u8) -> String {
    match paint {
        Paint::Rgb([r, g, b]) => format!("{};2;{r};{g};{b}", 38 + ground),
        Paint::Indexed(i) => format!("{};5;{i}", 38 + ground),
        Paint::Named(i @ 0..8) => (30 + ground + i).to_string(),
        Paint::Named(i) => (82 + ground + i).to_string(),
    }
}

/// A character for this much light, dithered between neighbours of the ramp.
fn inked(light: f32, x: usize, y: usize) -> char {
    // The eye judges ink about as sRGB does: half of the steps for the darker fifth of the light.
    let level = light.clamp(0.0, 1.0).powf(1.0 / 2.2) * (RAMP.len() - 1) as f32;
    RAMP[((level + threshold(x, y)) as usize).min(RAMP.len() - 1)]
}

/// `picture` at `width × height` in linear light: each pixel is the mean of the area that it covers, or with
/// `blocks` the one pixel in its middle (labels and maps must not mix).
pub(crate) fn scaled(picture: &Picture, width: usize, height: usize, blocks: bool) -> Vec<Vec<Linear>> {
    let at = |x: usize, y: usize| {
        let i = 3 * (y * picture.width + x);
        linear([picture.rgb[i], picture.rgb[i + 1], picture.rgb[i + 2]])
    };
    if blocks {
        let middle = |i: usize, from: usize, to: usize| ((2 * i + 1) * from / (2 * to)).min(from - 1);
        let line = |y: usize| {
            (0..width).map(|x| at(middle(x, picture.width, width), middle(y, picture.height, height))).collect()
        };
        return (0..height).map(line).collect();
    }
    let (across, down) = (shares(picture.width, width), shares(picture.height, height));
    let narrow: Vec<Vec<Linear>> =
        (0..picture.height).map(|y| across.iter().map(|s| mean(s, |x| at(x, y))).collect()).collect();
    down.iter().map(|s| (0..width).map(|x| mean(s, |y| narrow[y][x])).collect()).collect()
}

fn mean(shares: &[(usize, f32)], pixel: impl Fn(usize) -> Linear) -> Linear {
    let mut sum = [0.0; 3];
    for &(i, share) in shares {
        let light = pixel(i);
        (0..3).for_each(|c| sum[c] += share * light[c]);
    }
    sum
}

/// For each of `to` cells: which of `from` cells it covers, and with what share.
fn shares(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let step = from as f64 / to as f64;
    let cell = |i: usize| {
        let (a, b) = (i as f64 * step, (i + 1) as f64 * step);
        let last = (b.ceil() as usize).min(from);
        let overlap = |j: usize| ((j + 1) as f64).min(b) - (j as f64).max(a);
        (a as usize..last).map(|j| (j, (overlap(j) / step) as f32)).filter(|s| s.1 > 0.0).collect()
    };
    (0..to).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Linear = [1.0, 0.0, 0.0];
    const BLACK: Linear = [0.0; 3];

    fn drawn(mode: ColorMode, light: &[Vec<Linear>]) -> String {
        let mut canvas = Canvas::new(10, mode);
        canvas.pixels(0, 1, light);
        canvas.to_text()
    }

    #[test]
    fn two_pixels_a_cell() {
        let text = drawn(ColorMode::TrueColor, &[vec![RED, RED], vec![BLACK, RED], vec![RED, RED]]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], " \x1b[38;2;255;0;0;48;2;0;0;0m▀\x1b[48;2;255;0;0m \x1b[0m");
        assert_eq!(lines[1], " \x1b[38;2;255;0;0m▀▀\x1b[0m", "an odd last row has no lower half");
    }

    #[test]
    fn every_mode_speaks_its_own_codes() {
        let light = [vec![RED], vec![BLACK]];
        assert_eq!(drawn(ColorMode::Ansi256, &light), " \x1b[38;5;196;48;5;16m▀\x1b[0m\n");
        assert_eq!(drawn(ColorMode::Ansi16, &light), " \x1b[91;40m▀\x1b[0m\n");
        let ink = drawn(ColorMode::None, &[vec![[1.0; 3], BLACK], vec![[1.0; 3], BLACK]]);
        assert_eq!(ink.trim_end(), " @");
    }

    #[test]
    fn text_beside_pictures_keeps_its_own_colours() {
        let mut canvas = Canvas::new(6, ColorMode::TrueColor);
        canvas.pixels(0, 0, &[vec![RED], vec![RED]]);
        canvas.text(0, 2, "abcdefg");
        assert_eq!(canvas.to_text(), "\x1b[48;2;255;0;0m \x1b[49m abcd\n");
    }

    #[test]
    fn scaling_keeps_the_mean_light() {
        let rgb = (0..5 * 3).flat_map(|i| [if i % 2 == 0 { 255 } else { 0 }; 3]).collect();
        let picture = Picture { width: 5, height: 3, rgb };
        let small = scaled(&picture, 2, 2, false);
        let sum: f32 = small.iter().flatten().map(|l| l[0]).sum();
        assert!((sum / 4.0 - 8.0 / 15.0).abs() < 1e-5, "{sum}");
        let large = scaled(&picture, 10, 3, true);
        assert_eq!(large[1].iter().map(|l| l[0]).collect::<Vec<_>>(), [0., 0., 1., 1., 0., 0., 1., 1., 0., 0.]);
        assert_eq!(scaled(&picture, 5, 3, false), scaled(&picture, 5, 3, true));
    }
}
