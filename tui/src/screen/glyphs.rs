//! What is seen in a cell, brought to one form: cells that look alike are equal.
//!
//! ```text
//! ▀ red on blue = ▄ blue on red          a picture's two pixels: ▀ top on bottom
//! space on red = █ red on anything       one colour: a space on it, whatever the ink
//! 世 and the cell after it                the glyph, then an empty symbol
//! ```
//! Colours are brought to those of the mode, so nothing else can reach the terminal; so are symbols: no control
//! characters, never more cells than the row has left.

use std::collections::HashMap;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::pen::index;
use crate::color::palette::rgb_of_index;
use crate::color::{ColorMode, Palette, console};

/// Attributes that change how a space looks.
const ON_SPACE: Modifier = Modifier::UNDERLINED.union(Modifier::REVERSED).union(Modifier::CROSSED_OUT);

/// Brings cells to their form in one colour mode.
#[derive(Debug)]
pub(crate) struct Glyphs {
    mode: ColorMode,
    nearest: HashMap<Color, Color>,
}

impl Glyphs {
    /// For `mode`.
    pub(crate) fn new(mode: ColorMode) -> Self {
        Self { mode, nearest: HashMap::new() }
    }

    /// The mode.
    pub(crate) fn mode(&self) -> ColorMode {
        self.mode
    }

    /// All cells of `buffer`, row by row.
    pub(crate) fn of(&mut self, buffer: &Buffer) -> Vec<Cell> {
        let width = usize::from(buffer.area.width).max(1);
        let mut cells = Vec::with_capacity(buffer.content.len());
        for row in buffer.content.chunks(width) {
            let mut x = 0;
            while x < row.len() {
                let cell = self.cell(&row[x], row.len() - x);
                let wide = UnicodeWidthStr::width(cell.symbol()) > 1;
                let rest = wide.then(|| {
                    let mut rest = cell.clone();
                    rest.set_symbol("");
                    rest
                });
                cells.push(cell);
                cells.extend(rest);
                x += 1 + usize::from(wide);
            }
        }
        cells
    }

    fn cell(&mut self, cell: &Cell, left: usize) -> Cell {
        let mut seen = Cell::EMPTY;
        let symbol = cell.symbol();
        seen.set_symbol(match UnicodeWidthStr::width(symbol) {
            _ if symbol.chars().any(char::is_control) => "?",
            1 => symbol,
            2 if left >= 2 => symbol,
            0 if symbol.is_empty() => " ",
            _ => "?",
        });
        seen.fg = self.color(cell.fg, false);
        seen.bg = self.color(cell.bg, true);
        seen.modifier = cell.modifier;
        if self.mode == ColorMode::Console {
            console_form(&mut seen);
        }
        plain_form(&mut seen);
        seen
    }

    fn color(&mut self, color: Color, ground: bool) -> Color {
        match (self.mode, color) {
            (ColorMode::None, _) => Color::Reset,
            (ColorMode::TrueColor, _) | (_, Color::Reset) => color,
            (ColorMode::Ansi256, Color::Rgb(r, g, b)) => {
                *self.nearest.entry(color).or_insert_with(|| Color::Indexed(Palette::ansi256().nearest([r, g, b])))
            }
            (ColorMode::Ansi256, _) => color,
            (ColorMode::Console, _) => {
                let rgb = match (color, index(color)) {
                    (_, Some(i @ ..16)) if !ground || i < 8 => return Color::Indexed(i),
                    (_, Some(i @ ..16)) => console::rgb_of_index(i),
                    (Color::Rgb(r, g, b), _) => [r, g, b],
                    (_, Some(i)) => rgb_of_index(i),
                    (_, None) => return color,
                };
                Color::Indexed(if ground { console::ground(rgb) } else { console::ink(rgb) })
            }
            (ColorMode::Ansi16, _) => {
                let rgb = match (color, index(color)) {
                    (_, Some(..16)) => return color,
                    (Color::Rgb(r, g, b), _) => [r, g, b],
                    (_, Some(i)) => rgb_of_index(i),
                    (_, None) => return color,
                };
                *self.nearest.entry(color).or_insert_with(|| Color::Indexed(Palette::ansi16().nearest(rgb)))
            }
        }
    }
}

/// On a console the upper eight inks are the lower ones written bold, and glyphs are those of its font.
fn console_form(cell: &mut Cell) {
    if let Some(bright @ 8..16) = index(cell.fg) {
        cell.fg = Color::Indexed(bright - 8);
        cell.modifier |= Modifier::BOLD;
    }
    let known = console::glyph(cell.symbol()).to_owned();
    cell.set_symbol(&known);
}

/// Blocks and spaces in their one form.
fn plain_form(cell: &mut Cell) {
    let own = cell.fg != Color::Reset && cell.bg != Color::Reset;
    match cell.symbol() {
        " " => {
            cell.modifier &= ON_SPACE;
            if cell.modifier.is_empty() {
                cell.fg = Color::Reset;
            }
        }
        "█" if cell.modifier.is_empty() && cell.fg != Color::Reset => {
            cell.set_symbol(" ");
            cell.bg = cell.fg;
            cell.fg = Color::Reset;
        }
        "▄" | "▀" if cell.modifier.is_empty() && own && cell.fg == cell.bg => {
            cell.set_symbol(" ");
            cell.fg = Color::Reset;
        }
        "▄" if cell.modifier.is_empty() && own => {
            cell.set_symbol("▀");
            std::mem::swap(&mut cell.fg, &mut cell.bg);
        }
        _ => {}
    }
}
