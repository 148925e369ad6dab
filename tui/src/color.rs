//! Light and colour: sRGB ↔ linear light, Oklab, and pixels brought to the colours a terminal has.
//!
//! ```text
//! sRGB byte c:  v = c / 255,  linear = v / 12.92              v ≤ 0.04045
//!                             linear = ((v + 0.055) / 1.055)^2.4
//! ```
//!
//! Everything that averages (downscaling, dithering) works in linear light; everything that compares colours works in
//! Oklab (Björn Ottosson, "A perceptual color space for image processing", 2020).

pub(crate) mod console;
pub(crate) mod palette;
mod xterm;

use std::sync::LazyLock;

use palette::rgb_of_index;
pub(crate) use palette::{Dither, Palette};

/// Linear light, red green blue, 0 to 1.
pub(crate) type Linear = [f32; 3];

/// Which colours may be sent to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ColorMode {
    /// 24 bits: `38;2;r;g;b`.
    TrueColor,
    /// The 6×6×6 cube and the 24 greys, indices 16 to 255; 0 to 15 belong to the user's theme.
    Ansi256,
    /// The sixteen named colours, taken to be xterm's.
    Ansi16,
    /// A Linux console: sixteen inks, eight grounds, and its font's glyphs.
    Console,
    /// No escape sequence at all: pictures become characters of more or less ink.
    None,
}

#[cfg(test)]
impl ColorMode {
    pub(crate) const ALL: [ColorMode; 5] =
        [ColorMode::TrueColor, ColorMode::Ansi256, ColorMode::Ansi16, ColorMode::Console, ColorMode::None];
}

/// Linear light of every sRGB byte.
static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| std::array::from_fn(|i| decode(i as f64 / 255.0) as f32));

/// Linear light of the borders between neighbouring bytes: the byte of `x` is the number of borders at or below `x`.
static BORDERS: LazyLock<[f32; 255]> =
    LazyLock::new(|| std::array::from_fn(|i| decode((i as f64 + 0.5) / 255.0) as f32));

fn decode(v: f64) -> f64 {
    if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

/// Linear light of one sRGB byte.
pub(crate) fn to_linear(byte: u8) -> f32 {
    LINEAR[usize::from(byte)]
}

/// Linear light of every sRGB byte.
pub(crate) fn linear_bytes() -> &'static [f32; 256] {
    &LINEAR
}

/// Linear light of an sRGB colour.
pub(crate) fn linear([r, g, b]: [u8; 3]) -> Linear {
    [to_linear(r), to_linear(g), to_linear(b)]
}

/// Steps of [`NEAR`].
const STEPS: usize = 4096;

/// The byte at the start of every step of light: from there the right one is near.
static NEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let start = |i: usize| i as f32 / STEPS as f32;
    // At most 255 borders, so the count is a byte.
    (0..=STEPS).map(|i| BORDERS.partition_point(|&border| border <= start(i)) as u8).collect()
});

/// The nearest sRGB byte; what is out of range is clipped, NaN is 0.
pub(crate) fn to_byte(light: f32) -> u8 {
    // A cast clips, and takes NaN to 0.
    let step = ((light * STEPS as f32) as usize).min(STEPS);
    let mut byte = NEAR[step];
    while BORDERS.get(usize::from(byte)).is_some_and(|&border| border <= light) {
        byte += 1;
    }
    byte
}

/// The nearest sRGB colour.
pub(crate) fn srgb([r, g, b]: Linear) -> [u8; 3] {
    [to_byte(r), to_byte(g), to_byte(b)]
}

/// Relative luminance of linear light, 0 to 1 (Rec. 709 weights).
pub(crate) fn luminance([r, g, b]: Linear) -> f32 {
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// Oklab `[L, a, b]` of linear light; L runs from 0 to 1.
pub(crate) fn oklab([r, g, b]: Linear) -> [f32; 3] {
    let l = (0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b).cbrt();
    let m = (0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b).cbrt();
    let s = (0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b).cbrt();
    [
        0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
        1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
        0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
    ]
}

/// Linear light of Oklab; may lie outside 0 to 1 where the screen has no such colour.
pub(crate) fn from_oklab([lightness, a, b]: [f32; 3]) -> Linear {
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
}

/// The colour of this Oklab lightness and hue with as much of the chroma as the screen can show.
pub(crate) fn within_gamut([lightness, a, b]: [f32; 3]) -> Linear {
    let shown = |share: f32| from_oklab([lightness, a * share, b * share]);
    let fits = |rgb: Linear| rgb.iter().all(|c| (-1e-4..=1.0001).contains(c));
    let (mut low, mut high) = (0.0, 1.0);
    if !fits(shown(high)) {
        for _ in 0..20 {
            let middle = 0.5 * (low + high);
            if fits(shown(middle)) { low = middle } else { high = middle }
        }
        high = low;
    }
    shown(high).map(|c| c.clamp(0.0, 1.0))
}

/// Distinct colours for the labels of a label map, endless: hues a golden angle apart in Oklch, so that every prefix of
/// the series is well spread, on three levels of lightness.
pub(crate) fn category(index: usize) -> [u8; 3] {
    let hue = (0.08 + index as f64 * 0.618_033_988_75).fract() * std::f64::consts::TAU;
    let lightness = [0.70, 0.84, 0.56][index % 3];
    let (sin, cos) = (hue as f32).sin_cos();
    srgb(within_gamut([lightness, 0.15 * cos, 0.15 * sin]))
}

/// The colour of labels that have none of their own.
const OTHERS: [u8; 3] = [40; 3];
/// How many categories have a colour that no other has in any mode; further ones share [`OTHERS`].
pub(crate) const CATEGORIES: usize = 8;

/// The colour of category `index`, the same for all beyond [`CATEGORIES`].
pub(crate) fn category_or_other(index: usize) -> [u8; 3] {
    if index < CATEGORIES { category(index) } else { OTHERS }
}

/// The named colour of category `index` where there are only sixteen: the nearest to its true colour would be grey for
/// some and the same for others.
fn category_of_16(index: usize) -> u8 {
    const NAMED: [u8; CATEGORIES] = [9, 12, 10, 13, 11, 14, 3, 5];
    NAMED.get(index).copied().unwrap_or(0)
}

/// The colour of category `index` in a picture of this mode: one that stays flat, since a mixture of two categories would
/// look like a third.
pub(crate) fn category_color(index: usize, mode: ColorMode) -> [u8; 3] {
    match mode {
        ColorMode::TrueColor | ColorMode::None => category_or_other(index),
        ColorMode::Ansi256 => rgb_of_index(Palette::ansi256().nearest(category_or_other(index))),
        ColorMode::Ansi16 => rgb_of_index(category_of_16(index)),
        ColorMode::Console => console::rgb_of_index(category_of_16(index)),
    }
}

/// The letter of category `index` where there are no colours.
pub(crate) fn category_letter(index: usize) -> u8 {
    if index < CATEGORIES { b'A' + index as u8 } else { b'.' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_differ_in_every_mode() {
        let distinct =
            |show: &dyn Fn(usize) -> u8| (0..=CATEGORIES).map(show).collect::<std::collections::HashSet<_>>().len();
        assert_eq!(distinct(&|i| Palette::ansi256().nearest(category_or_other(i))), CATEGORIES + 1);
        assert_eq!(distinct(&category_of_16), CATEGORIES + 1);
        assert_eq!(distinct(&category_letter), CATEGORIES + 1);
        assert_eq!(category_or_other(CATEGORIES + 1), category_or_other(CATEGORIES));
    }

    #[test]
    fn bytes_survive_the_round_trip() {
        for byte in 0..=255 {
            assert_eq!(to_byte(to_linear(byte)), byte);
        }
        assert_eq!([to_byte(-1.0), to_byte(2.0), to_byte(f32::NAN)], [0, 255, 0]);
        let searched = |light: f32| BORDERS.partition_point(|&border| border <= light) as u8;
        for &border in BORDERS.iter() {
            for light in [border.next_down(), border, border.next_up()] {
                assert_eq!(to_byte(light), searched(light), "{light}");
            }
        }
        for i in 0..=100_000 {
            let light = i as f32 / 100_000.0;
            assert_eq!(to_byte(light), searched(light), "{light}");
        }
        // Published value: mid-grey 188 is half of the light.
        assert_eq!(to_byte(0.5), 188);
    }

    #[test]
    fn oklab_agrees_with_its_definition() {
        let white = oklab([1.0; 3]);
        assert!((white[0] - 1.0).abs() < 1e-4 && white[1].abs() < 1e-4 && white[2].abs() < 1e-4, "{white:?}");
        // Ottosson's own figures for pure red.
        let red = oklab([1.0, 0.0, 0.0]);
        for (got, want) in red.iter().zip([0.627_955, 0.224_863, 0.125_846]) {
            assert!((got - want).abs() < 1e-4, "{red:?}");
        }
        for rgb in [[10, 200, 33], [255, 0, 255], [1, 2, 3], [77, 77, 77]] {
            assert_eq!(srgb(from_oklab(oklab(linear(rgb)))), rgb);
        }
    }

    #[test]
    fn gamut_reduction_keeps_the_lightness() {
        let wild = [0.8, -0.3, 0.3];
        let tame = within_gamut(wild);
        assert!((oklab(tame)[0] - 0.8).abs() < 0.01, "{:?}", oklab(tame));
        assert!(tame.iter().all(|c| (0.0..=1.0).contains(c)));
        assert_eq!(srgb(within_gamut(oklab(linear([9, 99, 199])))), [9, 99, 199]);
    }

    #[test]
    fn categories_are_told_apart() {
        let labs: Vec<_> = (0..10).map(|i| oklab(linear(category(i)))).collect();
        for i in 0..labs.len() {
            for j in 0..i {
                let apart = labs[i].iter().zip(labs[j]).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt();
                assert!(apart > 0.09, "categories {j} and {i} are {apart} apart in Oklab");
            }
        }
    }
}
