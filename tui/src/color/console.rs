//! The Linux console: sixteen inks (the upper eight are bold), eight grounds, and a font of 256 or 512 glyphs.
//!
//! ```text
//! ▀ is missing in the fonts that distributions load, and no ground is bright. So a cell is one colour:
//! ground, ground with a quarter (░) or half (▒) of an ink, or ink alone (█); of all these the nearest
//! ```
//! Text and lines are written with glyphs that the kernel's own font (code page 437) and those of console-setup share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Linear, linear, oklab, srgb};

/// The kernel's colours.
const COLORS: [[u8; 3]; 16] = [
    [0, 0, 0],
    [170, 0, 0],
    [0, 170, 0],
    [170, 85, 0],
    [0, 0, 170],
    [170, 0, 170],
    [0, 170, 170],
    [170, 170, 170],
    [85, 85, 85],
    [255, 85, 85],
    [85, 255, 85],
    [255, 255, 85],
    [85, 85, 255],
    [255, 85, 255],
    [85, 255, 255],
    [255, 255, 255],
];
/// Grounds: colours without their bright halves.
const GROUNDS: usize = 8;
/// How much a cell's grain counts beside its distance from what is wanted.
const GRAIN: f32 = 0.02;
/// How much more a difference of hue or chroma counts than one of lightness: greys stay grey.
const TINT: f32 = 2.0;

/// How a cell is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mix {
    pub(crate) glyph: char,
    /// 0 to 15.
    pub(crate) ink: u8,
    /// 0 to 7.
    pub(crate) ground: u8,
}

struct Entry {
    mix: Mix,
    lab: [f32; 3],
    grain: f32,
}

static MIXES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let light = COLORS.map(linear);
    let mut entries = Vec::new();
    for ground in 0..GROUNDS {
        for ink in 0..COLORS.len() {
            for (glyph, share) in [(' ', 0.0), ('░', 0.25), ('▒', 0.5), ('█', 1.0)] {
                let needed = match glyph {
                    ' ' => ink == ground,
                    // What a ground shows needs no ink, what covers it no other ground.
                    '█' => ink >= GROUNDS && ground == 0,
                    '▒' => ink >= GROUNDS || ink > ground,
                    _ => ink != ground,
                };
                if needed {
                    let mean = std::array::from_fn(|c| share * light[ink][c] + (1.0 - share) * light[ground][c]);
                    let grain = share * (1.0 - share) * apart(oklab(light[ink]), oklab(light[ground]));
                    let mix = Mix { glyph, ink: ink as u8, ground: ground as u8 };
                    entries.push(Entry { mix, lab: oklab(mean), grain });
                }
            }
        }
    }
    entries
});

/// The squared distance of two colours in Oklab, tints counted more.
fn apart(x: [f32; 3], y: [f32; 3]) -> f32 {
    x.iter().zip(y).zip([1.0, TINT, TINT]).map(|((x, y), weight)| (weight * (x - y)).powi(2)).sum()
}

/// Colours that are remembered at most.
const MOST_MET: usize = 1 << 15;

/// The cell whose two pixels want these colours. A colour of the console's own, as cursors and categories have it, is
/// shown as it is.
pub(crate) fn mix([top, bottom]: [Linear; 2]) -> Mix {
    thread_local! {
        static MET: RefCell<HashMap<[u8; 3], Mix>> = RefCell::default();
    }
    let rgb = match [top, bottom].map(srgb).into_iter().find(|rgb| *rgb != [0; 3] && COLORS.contains(rgb)) {
        Some(own) => own,
        None => srgb(std::array::from_fn(|c| 0.5 * (top[c] + bottom[c]))),
    };
    MET.with_borrow_mut(|met| {
        if met.len() > MOST_MET {
            met.clear();
        }
        *met.entry(rgb).or_insert_with(|| nearest(linear(rgb)))
    })
}

fn nearest(light: Linear) -> Mix {
    let lab = oklab(light);
    let cost = |e: &Entry| apart(lab, e.lab) + GRAIN * e.grain;
    MIXES.iter().min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("there are mixes").mix
}

/// The colour of an index below 16.
pub(crate) fn rgb_of_index(index: u8) -> [u8; 3] {
    COLORS[usize::from(index) % COLORS.len()]
}

/// The nearest ink: 0 to 15.
pub(crate) fn ink(rgb: [u8; 3]) -> u8 {
    nearest_of(rgb, &COLORS)
}

/// The nearest ground: 0 to 7.
pub(crate) fn ground(rgb: [u8; 3]) -> u8 {
    nearest_of(rgb, &COLORS[..GROUNDS])
}

fn nearest_of(rgb: [u8; 3], colors: &[[u8; 3]]) -> u8 {
    let lab = oklab(linear(rgb));
    let far = |i: &usize| apart(lab, oklab(linear(colors[*i])));
    (0..colors.len()).min_by(|a, b| far(a).total_cmp(&far(b))).expect("there are colours") as u8
}

/// What stands for a glyph that consoles lack; others are left as they are.
pub(crate) fn glyph(symbol: &str) -> &str {
    match symbol {
        "━" => "═",
        "╭" => "┌",
        "╮" => "┐",
        "╰" => "└",
        "╯" => "┘",
        "●" | "○" => "•",
        "◆" => "*",
        "▏" | "▎" => "░",
        "▍" | "▌" | "▋" | "▀" | "▄" => "▒",
        "▊" | "▉" => "█",
        "◐" => "|",
        "◓" => "/",
        "◑" => "-",
        "◒" => "\\",
        "…" => "~",
        "×" => "x",
        "›" => ">",
        "–" | "—" | "−" => "-",
        _ => symbol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_colours_are_flat_and_others_near() {
        for (i, rgb) in COLORS.into_iter().enumerate() {
            let mix = mix([linear(rgb); 2]);
            let flat = if i < GROUNDS { (' ', mix.ground) } else { ('█', mix.ink) };
            assert_eq!((mix.glyph, i as u8), flat);
            assert_eq!(ink(rgb), i as u8);
        }
        // A cursor over half of a cell is the cursor.
        assert_eq!(mix([linear([255, 255, 85]), linear([40, 50, 60])]).glyph, '█');
        let grey = MIXES.iter().find(|e| e.mix == mix([linear([128; 3]); 2])).unwrap();
        assert!(grey.lab[1].abs() < 0.01 && grey.lab[2].abs() < 0.01, "{:?} is no grey", grey.mix);
        for rgb in [[128, 128, 128], [60, 60, 66], [200, 150, 110], [70, 90, 120]] {
            let wanted = linear(rgb);
            let found = MIXES.iter().find(|e| e.mix == mix([wanted; 2])).unwrap();
            assert!(apart(found.lab, oklab(wanted)).sqrt() < 0.12, "{rgb:?}: {:?}", found.mix);
        }
    }

    #[test]
    fn nothing_needs_a_bright_ground() {
        assert!(MIXES.iter().all(|e| e.mix.ground < 8 && e.mix.ink < 16));
        assert!(ground([255; 3]) < 8);
    }
}
