//! Colours for numbers, made in Oklab so that equal steps of a number look equal.
//!
//! ```text
//! sequential   0 ─ dark blue ─ violet ─ red ─ orange ─ pale yellow ─ 1      lightness rises all the way
//! diverging   −1 ─ blue ─────── dark grey ─────── orange ─ 1                lightness rises with the magnitude
//! ```

use std::sync::LazyLock;

use crate::color::{srgb, within_gamut};

/// How a number becomes a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colormap {
    /// For numbers from nothing to much.
    Sequential,
    /// For numbers on both sides of zero, which lies in the middle.
    Diverging,
}

const STEPS: usize = 256;

static SEQUENTIAL: LazyLock<[[u8; 3]; STEPS]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let t = i as f32 / (STEPS - 1) as f32;
        // Hue from blue (265°) down through red (25°) to yellow (105°), the short way over violet.
        let hue = 265.0 + 200.0 * t;
        let chroma = 0.04 + 0.16 * (std::f32::consts::PI * t.powf(0.9)).sin();
        oklch(0.16 + 0.80 * t, chroma, hue)
    })
});

static DIVERGING: LazyLock<[[u8; 3]; STEPS]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let t = 2.0 * i as f32 / (STEPS - 1) as f32 - 1.0;
        let hue = if t < 0.0 { 250.0 } else { 60.0 };
        oklch(0.24 + 0.62 * t.abs(), 0.16 * t.abs(), hue)
    })
});

fn oklch(lightness: f32, chroma: f32, hue: f32) -> [u8; 3] {
    let (sin, cos) = hue.to_radians().sin_cos();
    srgb(within_gamut([lightness, chroma * cos, chroma * sin]))
}

impl Colormap {
    /// The colour at `t`, from 0 to 1; what lies beyond is clipped, NaN is 0.
    pub(crate) fn at(self, t: f32) -> [u8; 3] {
        let index = (t.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize;
        match self {
            Colormap::Sequential => SEQUENTIAL[index],
            Colormap::Diverging => DIVERGING[index],
        }
    }
}

/// A colormap and the numbers at its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    /// Which colours.
    pub(crate) map: Colormap,
    /// The number of the first colour.
    pub(crate) low: f32,
    /// The number of the last colour.
    pub(crate) high: f32,
}

impl Scale {
    /// From zero, or from the same distance on both sides of zero where there are negative numbers.
    pub(crate) fn of(values: impl IntoIterator<Item = f32>) -> Self {
        let (mut low, mut high) = (0.0_f32, 0.0_f32);
        for x in values.into_iter().filter(|x| x.is_finite()) {
            (low, high) = (low.min(x), high.max(x));
        }
        if low < 0.0 {
            let reach = high.max(-low);
            Self { map: Colormap::Diverging, low: -reach, high: reach }
        } else {
            Self { map: Colormap::Sequential, low: 0.0, high: if high > 0.0 { high } else { 1.0 } }
        }
    }

    /// The colour of a number.
    pub(crate) fn color(&self, x: f32) -> [u8; 3] {
        self.map.at((x - self.low) / (self.high - self.low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::{linear, oklab};

    #[test]
    fn lightness_rises_with_the_number() {
        let lightness = |rgb| oklab(linear(rgb))[0];
        for i in 1..STEPS {
            let [a, b] = [i - 1, i].map(|i| lightness(Colormap::Sequential.at(i as f32 / 255.0)));
            assert!(b > a - 0.004, "step {i}: {a} then {b}");
        }
        let [low, middle, high] = [0.0, 0.5, 1.0].map(|t| lightness(Colormap::Diverging.at(t)));
        assert!(low > middle + 0.4 && high > middle + 0.4 && (low - high).abs() < 0.05, "{low} {middle} {high}");
    }

    #[test]
    fn scales_begin_at_zero_or_balance_it() {
        let positive = Scale::of([0.5, 2.0]);
        assert_eq!((positive.map, positive.low, positive.high), (Colormap::Sequential, 0.0, 2.0));
        let signed = Scale::of([-3.0, 1.0, f32::NAN]);
        assert_eq!((signed.map, signed.low, signed.high), (Colormap::Diverging, -3.0, 3.0));
        assert_eq!(signed.color(0.0), Colormap::Diverging.at(0.5));
        assert_eq!(Scale::of([0.0]).color(0.0), Colormap::Sequential.at(0.0));
        assert_eq!(Colormap::Sequential.at(f32::NAN), Colormap::Sequential.at(0.0));
    }
}
