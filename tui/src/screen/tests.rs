//! The bytes of frames, read back by another terminal's parser.

use std::num::NonZeroU16;

use proptest::prelude::*;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::encode::{Frame, Shown};
use super::glyphs::Glyphs;
use super::{base64, clipboard};
use crate::color::ColorMode;

const COLUMNS: u16 = 17;
const ROWS: u16 = 6;

/// A terminal and what we believe of it.
struct Both {
    glyphs: Glyphs,
    shown: Shown,
    parser: vt100::Parser,
}

impl Both {
    fn new(mode: ColorMode) -> Self {
        let side = |n: u16| NonZeroU16::new(n).unwrap();
        Self {
            glyphs: Glyphs::new(mode),
            shown: Shown::new(),
            parser: vt100::Parser::new(side(ROWS), side(COLUMNS), 0),
        }
    }

    fn send(&mut self, buffer: &Buffer, cursor: Option<[u16; 2]>) -> Vec<u8> {
        let cells = self.glyphs.of(buffer);
        let mut out = Vec::new();
        let [columns, rows] = [buffer.area.width, buffer.area.height].map(usize::from);
        self.shown.bring(&Frame { columns, rows, cells: &cells, cursor }, &mut out);
        self.parser.process(&out);
        out
    }
}

fn seen_color(color: Color) -> vt100::Color {
    match (color, super::pen::index(color)) {
        (Color::Rgb(r, g, b), _) => vt100::Color::Rgb(r, g, b),
        (_, Some(i)) => vt100::Color::Idx(i),
        _ => vt100::Color::Default,
    }
}

/// Symbol, ink, ground in one form: of ▀ and ▄ the two halves, of █ and space the one colour.
fn form(symbol: &str, ink: vt100::Color, ground: vt100::Color, marked: bool) -> (String, vt100::Color, vt100::Color) {
    use vt100::Color::Default;
    let own = ink != Default && ground != Default && !marked;
    match symbol {
        " " | "" if !marked => (" ".into(), Default, ground),
        "█" if ink != Default && !marked => (" ".into(), Default, ink),
        "▀" | "▄" if own && ink == ground => (" ".into(), Default, ground),
        "▄" if own => ("▀".into(), ground, ink),
        "" => (" ".into(), ink, ground),
        _ => (symbol.into(), ink, ground),
    }
}

fn check(both: &Both, buffer: &Buffer) {
    for y in 0..ROWS {
        let mut x = 0;
        while x < COLUMNS {
            let wanted: &Cell = &buffer[(x, y)];
            let seen = both.parser.screen().cell(y, x).unwrap();
            let marks = [Modifier::BOLD, Modifier::DIM, Modifier::ITALIC, Modifier::UNDERLINED, Modifier::REVERSED];
            let has = [seen.bold(), seen.dim(), seen.italic(), seen.underline(), seen.inverse()];
            let symbol = match wanted.symbol() {
                "世" if x + 1 == COLUMNS => "?",
                "\u{1b}" => "?",
                symbol => symbol,
            };
            let space = symbol == " ";
            let marked = wanted.modifier.intersects(if space {
                Modifier::UNDERLINED | Modifier::REVERSED
            } else {
                Modifier::all()
            });
            let wish = form(symbol, seen_color(wanted.fg), seen_color(wanted.bg), marked);
            // A colour alone shows no bold.
            let space = wish.0 == " ";
            let seen_marked =
                if space || seen.contents().trim().is_empty() { has[3] || has[4] } else { has.contains(&true) };
            assert_eq!(form(seen.contents(), seen.fgcolor(), seen.bgcolor(), seen_marked), wish, "at {x},{y}");
            for (mark, has) in marks.into_iter().zip(has) {
                if !space || mark == Modifier::UNDERLINED || mark == Modifier::REVERSED {
                    assert_eq!(has, wanted.modifier.contains(mark), "{mark:?} at {x},{y} of {symbol}");
                }
            }
            x += if symbol == "世" { 2 } else { 1 };
        }
    }
}

fn color() -> impl Strategy<Value = Color> {
    prop_oneof![
        Just(Color::Reset),
        Just(Color::Red),
        Just(Color::LightBlue),
        Just(Color::White),
        (0u8..3).prop_map(|i| Color::Indexed(i * 100)),
        (0u8..3).prop_map(|i| Color::Rgb(i * 100, 9, 200)),
    ]
}

fn cell() -> impl Strategy<Value = Cell> {
    let symbol = prop::sample::select(vec![" ", " ", "▀", "▀", "▄", "█", "a", "世", "é", "\u{1b}"]);
    let modifier = prop_oneof![
        4 => Just(Modifier::empty()),
        1 => Just(Modifier::BOLD),
        1 => Just(Modifier::DIM | Modifier::REVERSED),
        1 => Just(Modifier::UNDERLINED | Modifier::ITALIC),
    ];
    (symbol, color(), color(), modifier).prop_map(|(symbol, ink, ground, modifier)| {
        let mut cell = Cell::EMPTY;
        cell.set_symbol(symbol).set_fg(ink).set_bg(ground);
        cell.modifier = modifier;
        cell
    })
}

/// A cell, and over how many cells it goes from where.
fn edits() -> impl Strategy<Value = Vec<(usize, usize, Cell)>> {
    prop::collection::vec((0usize..usize::from(COLUMNS * ROWS), 1usize..20, cell()), 0..20)
}

fn apply(buffer: &mut Buffer, edits: &[(usize, usize, Cell)]) {
    for (from, n, cell) in edits {
        for place in buffer.content.iter_mut().skip(*from).take(*n) {
            place.clone_from(cell);
        }
    }
}

proptest! {
    #[test]
    fn a_terminal_shows_what_was_drawn(frames in prop::collection::vec((edits(), prop::option::of([0..COLUMNS, 0..ROWS])), 1..6)) {
        let mut both = Both::new(ColorMode::TrueColor);
        let mut buffer = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
        for (edits, cursor) in &frames {
            apply(&mut buffer, edits);
            both.send(&buffer, *cursor);
            check(&both, &buffer);
            if let Some([x, y]) = *cursor {
                prop_assert_eq!(both.parser.screen().cursor_position(), (y, x));
            }
            prop_assert_eq!(both.parser.screen().hide_cursor(), cursor.is_none());
            // What is there is not sent again.
            prop_assert_eq!(both.send(&buffer, *cursor), b"");
        }
    }

    #[test]
    fn modes_hold_their_colours_back(edits in edits()) {
        let mut buffer = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
        apply(&mut buffer, &edits);
        let text = |mode| String::from_utf8(Both::new(mode).send(&buffer, None)).unwrap();
        let codes = |text: &str| -> Vec<u8> {
            let sequences = text.split("\x1b[").skip(1).filter_map(|s| s.find(|c: char| c.is_ascii_alphabetic()).map(|i| s.split_at(i)));
            let pens = sequences.filter(|(_, last)| last.starts_with('m'));
            pens.flat_map(|(codes, _)| codes.split(';').filter_map(|n| n.parse().ok()).collect::<Vec<u8>>()).collect()
        };
        prop_assert!(!text(ColorMode::Ansi256).contains("8;2;"));
        prop_assert!(codes(&text(ColorMode::Ansi16)).iter().all(|n| !matches!(n, 38 | 48)));
        prop_assert!(codes(&text(ColorMode::None)).iter().all(|n| *n < 30));
    }
}

/// A buffer with these rows of pixels, two to a cell.
fn pixels(rows: &[&[u8]]) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
    for (y, pair) in rows.chunks(2).enumerate() {
        for (x, (top, bottom)) in pair[0].iter().zip(pair[1]).enumerate() {
            let cell = &mut buffer[(x as u16, y as u16)];
            cell.set_symbol("▀").set_fg(Color::Rgb(*top, 0, 0)).set_bg(Color::Rgb(*bottom, 0, 0));
        }
    }
    buffer
}

#[test]
fn only_the_half_that_changes_is_sent() {
    let mut both = Both::new(ColorMode::TrueColor);
    both.send(&pixels(&[&[1, 2], &[5, 5]]), None);
    let sent = both.send(&pixels(&[&[1, 3], &[5, 5]]), None);
    assert_eq!(String::from_utf8(sent).unwrap(), "\x1b[D\x1b[38;2;3;0;0m▀");
}

#[test]
fn colours_that_change_places_cost_a_glyph() {
    let mut both = Both::new(ColorMode::TrueColor);
    let sent = both.send(&pixels(&[&[1, 2, 1], &[2, 1, 2]]), None);
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.ends_with("\x1b[38;2;1;0;0;48;2;2;0;0m▀▄▀"), "{sent:?}");
}

#[test]
fn the_dearer_way_now_is_taken_where_it_is_the_cheaper_later() {
    // ▄ and the ink for 1 prepare the row of 1 and 9 after it: one colour a cell, never two.
    let mut both = Both::new(ColorMode::TrueColor);
    let sent = String::from_utf8(both.send(&pixels(&[&[1, 1, 1], &[9, 8, 7]]), None)).unwrap();
    assert_eq!(sent.matches(";2;").count(), 4, "{sent:?}");
}

#[test]
fn rows_that_get_blank_are_cleared() {
    let mut both = Both::new(ColorMode::TrueColor);
    let mut buffer = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
    buffer.set_string(0, 2, "seventeen letters", Color::Red);
    both.send(&buffer, None);
    let blank = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
    assert_eq!(both.send(&blank, None), b"\r\x1b[m\x1b[K");
    check(&both, &blank);
}

#[test]
fn another_size_is_sent_whole() {
    let mut both = Both::new(ColorMode::TrueColor);
    let mut buffer = Buffer::empty(Rect::new(0, 0, COLUMNS, ROWS));
    buffer.set_string(0, 0, "text", Color::Reset);
    both.send(&buffer, None);
    both.shown.forget();
    let sent = String::from_utf8(both.send(&buffer, None)).unwrap();
    assert!(sent.contains("\x1b[2J") && sent.contains("text"), "{sent:?}");
}

#[test]
fn copied_text_is_wrapped_for_tmux() {
    for (text, wanted) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy"), ("é", "w6k=")]
    {
        assert_eq!(base64(text.as_bytes()), wanted);
    }
    let plain: &[(&str, &str)] = &[];
    assert_eq!(clipboard("foo", &plain), "\x1b]52;c;Zm9v\x07");
    let tmux: &[(&str, &str)] = &[("TMUX", "/x")];
    assert_eq!(clipboard("foo", &tmux), "\x1b]52;c;Zm9v\x07\x1bPtmux;\x1b\x1b]52;c;Zm9v\x07\x1b\\");
}
