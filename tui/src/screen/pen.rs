//! The pen: which colours and attributes the terminal writes with, and the shortest sequence that changes them.
//!
//! ```text
//! from red on black, bold  to red on blue      CSI 22;44 m     only what differs
//!                          to nothing at all   CSI m           all at once where that is shorter
//! ```

use ratatui::style::{Color, Modifier};

/// What the terminal writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pen {
    /// Of the glyph.
    pub(crate) ink: Color,
    /// Behind it.
    pub(crate) ground: Color,
    /// Bold and the like.
    pub(crate) modifier: Modifier,
}

/// As after a reset.
pub(crate) const PLAIN: Pen = Pen { ink: Color::Reset, ground: Color::Reset, modifier: Modifier::empty() };

/// What a glyph needs; `None`: whatever the pen has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) ink: Option<Color>,
    pub(crate) ground: Option<Color>,
    pub(crate) modifier: Modifier,
    /// Attributes that do not show on the glyph, and so may be set or not.
    pub(crate) any: Modifier,
}

impl Pen {
    /// The pen after it has been changed for `need`.
    pub(crate) fn after(self, need: Need) -> Pen {
        Pen {
            ink: need.ink.unwrap_or(self.ink),
            ground: need.ground.unwrap_or(self.ground),
            modifier: need.modifier | (self.modifier & need.any),
        }
    }

    /// Writes the change to `to`.
    pub(crate) fn change(self, to: Pen, out: &mut Vec<u8>) {
        if self == to {
            return;
        }
        let start = out.len();
        self.step(to, out);
        if to.modifier.is_empty() && (to.ink == Color::Reset || to.ground == Color::Reset) {
            // Putting the pen down first may be shorter.
            let step = out.len() - start;
            PLAIN.afresh(to, out);
            if out.len() - start - step < step {
                out.drain(start..start + step);
            } else {
                out.truncate(start + step);
            }
        }
    }

    /// Bytes that [`Pen::change`] would write.
    pub(crate) fn cost(self, to: Pen) -> usize {
        if self == to {
            return 0;
        }
        if self.modifier == to.modifier && to.ink != Color::Reset && to.ground != Color::Reset {
            let ink = if self.ink == to.ink { 0 } else { length(to.ink) + 1 };
            let ground = if self.ground == to.ground { 0 } else { length(to.ground) + 1 };
            return 2 + ink + ground;
        }
        let mut out = Vec::with_capacity(64);
        self.change(to, &mut out);
        out.len()
    }

    fn step(self, to: Pen, out: &mut Vec<u8>) {
        let mut codes = Codes::new(out);
        for (off, both) in [
            ("22", Modifier::BOLD | Modifier::DIM),
            ("23", Modifier::ITALIC),
            ("24", Modifier::UNDERLINED),
            ("25", Modifier::SLOW_BLINK | Modifier::RAPID_BLINK),
            ("27", Modifier::REVERSED),
            ("28", Modifier::HIDDEN),
            ("29", Modifier::CROSSED_OUT),
        ] {
            let gone = self.modifier.intersects(both & !to.modifier);
            if gone {
                codes.push(off);
            }
            for (on, one) in ON {
                if both.contains(*one) && to.modifier.contains(*one) && (gone || !self.modifier.contains(*one)) {
                    codes.push(on);
                }
            }
        }
        codes.colours(self, to);
        codes.end();
    }

    fn afresh(self, to: Pen, out: &mut Vec<u8>) {
        let mut codes = Codes::new(out);
        if to.ink != Color::Reset || to.ground != Color::Reset {
            codes.push("0");
        }
        codes.colours(self, to);
        codes.end();
    }
}

const ON: &[(&str, Modifier)] = &[
    ("1", Modifier::BOLD),
    ("2", Modifier::DIM),
    ("3", Modifier::ITALIC),
    ("4", Modifier::UNDERLINED),
    ("5", Modifier::SLOW_BLINK),
    ("6", Modifier::RAPID_BLINK),
    ("7", Modifier::REVERSED),
    ("8", Modifier::HIDDEN),
    ("9", Modifier::CROSSED_OUT),
];

/// The parameters of one sequence.
struct Codes<'a> {
    out: &'a mut Vec<u8>,
    some: bool,
}

impl<'a> Codes<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(b"\x1b[");
        Self { out, some: false }
    }

    fn push(&mut self, code: &str) {
        if self.some {
            self.out.push(b';');
        }
        self.some = true;
        self.out.extend_from_slice(code.as_bytes());
    }

    fn colours(&mut self, from: Pen, to: Pen) {
        for (before, after, base) in [(from.ink, to.ink, 30), (from.ground, to.ground, 40)] {
            if before != after {
                self.colour(after, base);
            }
        }
    }

    fn colour(&mut self, color: Color, base: u8) {
        if self.some {
            self.out.push(b';');
        }
        self.some = true;
        match (color, index(color)) {
            (Color::Rgb(r, g, b), _) => {
                number(base + 8, self.out);
                self.out.extend_from_slice(b";2");
                for channel in [r, g, b] {
                    self.out.push(b';');
                    number(channel, self.out);
                }
            }
            (_, Some(i @ 0..8)) => number(base + i, self.out),
            (_, Some(i @ 8..16)) => number(base + 60 + i - 8, self.out),
            (_, Some(i)) => {
                number(base + 8, self.out);
                self.out.extend_from_slice(b";5;");
                number(i, self.out);
            }
            (_, None) => number(base + 9, self.out),
        }
    }

    fn end(self) {
        self.out.push(b'm');
    }
}

/// The index of a colour of the palette.
pub(crate) fn index(color: Color) -> Option<u8> {
    Some(match color {
        Color::Reset | Color::Rgb(..) => return None,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
        Color::Indexed(i) => i,
    })
}

/// Bytes of a colour's parameters; where ink and ground differ in length (90 and 100), the longer.
fn length(color: Color) -> usize {
    match (color, index(color)) {
        (Color::Rgb(r, g, b), _) => 7 + digits(r) + digits(g) + digits(b),
        (_, Some(0..8)) => 2,
        (_, Some(8..16)) => 3,
        (_, Some(i)) => 5 + digits(i),
        (_, None) => 2,
    }
}

fn digits(n: u8) -> usize {
    1 + usize::from(n > 9) + usize::from(n > 99)
}

/// `n` in decimal digits.
pub(crate) fn number(n: impl Into<u16>, out: &mut Vec<u8>) {
    let n: u16 = n.into();
    if n > 9 {
        number(n / 10, out);
    }
    out.push(b'0' + (n % 10) as u8);
}
