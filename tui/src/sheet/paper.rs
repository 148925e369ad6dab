//! A sheet as one picture: panels enlarged to a common height, with their texts in a small bitmap font.

use std::convert::Infallible;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_7X13;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use switchback_core::picture::Picture;

use super::{Panel, cut};
use crate::color::category_or_other;

const LINE: usize = 16;
const LETTER: usize = 7;
const MARGIN: usize = 12;
/// Height that small pictures are enlarged to.
const TALL: usize = 336;
/// A panel is at least this wide, so that its title can be read.
const WIDE: usize = 224;
/// Panels in a row.
const BESIDE: usize = 4;
const GROUND: [u8; 3] = [24, 24, 27];
const INK: Rgb888 = Rgb888::new(228, 228, 231);

/// A picture that can be written on.
struct Paper(Picture);

impl OriginDimensions for Paper {
    fn size(&self) -> Size {
        Size::new(self.0.width as u32, self.0.height as u32)
    }
}

impl DrawTarget for Paper {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(at, color) in pixels {
            if let (Ok(x), Ok(y)) = (usize::try_from(at.x), usize::try_from(at.y)) {
                self.set(x, y, [color.r(), color.g(), color.b()]);
            }
        }
        Ok(())
    }
}

impl Paper {
    fn set(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.0.width && y < self.0.height {
            let at = (y * self.0.width + x) * 3;
            self.0.rgb[at..at + 3].copy_from_slice(&color);
        }
    }

    fn write(&mut self, text: &str, x: usize, y: usize, width: usize) {
        let text = cut(text, width / LETTER);
        let at = Point::new(x as i32, y as i32);
        let Ok(_) = Text::with_baseline(&text, at, MonoTextStyle::new(&FONT_7X13, INK), Baseline::Top).draw(self);
    }

    fn paste(&mut self, picture: &Picture, x: usize, y: usize, [width, height]: [usize; 2]) {
        for j in 0..height {
            for i in 0..width {
                let color = picture.pixel(j * picture.height / height, i * picture.width / width);
                self.set(x + i, y + j, color);
            }
        }
    }
}

/// Width and height that the panel's picture is shown at.
fn shown(panel: &Panel) -> [usize; 2] {
    let [w, h] = [panel.picture.width.max(1), panel.picture.height.max(1)];
    if h >= TALL {
        return [w, h];
    }
    // Whole multiples where that comes near, so that all cells are of one size.
    match TALL / h {
        times @ 8.. => [w * times, h * times],
        _ => [w * TALL / h, TALL],
    }
}

fn width(panel: &Panel) -> usize {
    shown(panel)[0].max(WIDE)
}

fn lines(panel: &Panel) -> usize {
    usize::from(panel.bar.is_some()) * 2 + panel.legend().len() + panel.notes.len()
}

pub(super) fn draw(panels: &[Panel]) -> Picture {
    let rows: Vec<&[Panel]> = panels.chunks(BESIDE).collect();
    let row_width = |row: &&[Panel]| row.iter().map(|p| width(p) + MARGIN).sum::<usize>() + MARGIN;
    let row_height = |row: &&[Panel]| row.iter().map(|p| shown(p)[1] + (lines(p) + 1) * LINE).max().unwrap_or(0);
    let full = [
        rows.iter().map(row_width).max().unwrap_or(0).max(1),
        rows.iter().map(|r| row_height(r) + MARGIN).sum::<usize>() + MARGIN,
    ];
    let mut paper = Paper(Picture::new(full[0], full[1], GROUND.repeat(full[0] * full[1])));
    let mut y = MARGIN;
    for row in rows {
        let mut x = MARGIN;
        for panel in row {
            let [w, h] = shown(panel);
            let wide = width(panel);
            paper.write(&panel.title, x, y, wide);
            if panel.picture.width * panel.picture.height > 0 {
                paper.paste(&panel.picture, x, y + LINE, [w, h]);
            }
            let mut below = y + LINE + h + 3;
            if let Some(bar) = &panel.bar {
                paper.paste(&bar.strip(256), x, below, [wide, LINE - 5]);
                let [low, high] = &bar.texts;
                paper.write(low, x, below + LINE - 3, wide);
                let right = (high.chars().count() * LETTER).min(wide);
                paper.write(high, x + wide - right, below + LINE - 3, right);
                below += 2 * LINE;
            }
            for (category, name) in panel.legend() {
                let swatch = Picture::new(1, 1, category_or_other(*category).to_vec());
                paper.paste(&swatch, x, below + 1, [LINE - 4, LINE - 5]);
                paper.write(name, x + LINE, below, wide - LINE);
                below += LINE;
            }
            for note in &panel.notes {
                paper.write(note, x, below, wide);
                below += LINE;
            }
            x += wide + MARGIN;
        }
        y += row_height(&row) + MARGIN;
    }
    paper.0
}
