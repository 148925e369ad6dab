//! Colour maps for numbers: even steps of lightness in Oklab, so that equal differences look equal.
//!
//! ```text
//! ember   black-violet ─ crimson ─ orange ─ pale yellow     dark is low, light is high
//! ```

use std::sync::LazyLock;

use crate::color::{srgb, within_gamut};

/// 256 colours, from the lowest number to the highest.
pub(crate) struct Colormap {
    colors: [[u8; 3]; 256],
}

static EMBER: LazyLock<Colormap> = LazyLock::new(|| {
    // Lightness rises evenly; hue turns from violet over red to yellow.
    Colormap::new(&[
        [0.10, 0.02, -0.05],
        [0.30, 0.11, -0.08],
        [0.48, 0.18, 0.04],
        [0.68, 0.13, 0.13],
        [0.94, -0.01, 0.11],
    ])
});

impl Colormap {
    /// Sequential: dark is low, light is high.
    pub(crate) fn ember() -> &'static Colormap {
        &EMBER
    }

    /// Through Oklab points at even distances, the first and the last at the ends.
    fn new(points: &[[f32; 3]]) -> Self {
        let colors = std::array::from_fn(|i| {
            let at = i as f32 / 255.0 * (points.len() - 1) as f32;
            let left = (at as usize).min(points.len() - 2);
            let share = at - left as f32;
            let mix = |k: usize| points[left][k] * (1.0 - share) + points[left + 1][k] * share;
            srgb(within_gamut([mix(0), mix(1), mix(2)]))
        });
        Self { colors }
    }

    /// The colour of `x` in `low..=high`; what lies outside is clipped, NaN is the lowest.
    pub(crate) fn color(&self, x: f32, [low, high]: [f32; 2]) -> [u8; 3] {
        let share = if high > low { (x - low) / (high - low) } else { 0.5 };
        self.colors[(share.clamp(0.0, 1.0) * 255.0).round() as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::{linear, oklab};

    #[test]
    fn lightness_rises_in_even_steps() {
        let lightness: Vec<f32> = EMBER.colors.iter().map(|&c| oklab(linear(c))[0]).collect();
        for pair in lightness.windows(2) {
            assert!(pair[1] > pair[0] - 0.004 && pair[1] - pair[0] < 0.012, "{pair:?}");
        }
        assert!(lightness[255] - lightness[0] > 0.75);
    }

    #[test]
    fn odd_numbers_have_a_colour() {
        assert_eq!(EMBER.color(f32::NAN, [0.0, 1.0]), EMBER.colors[0]);
        assert_eq!(EMBER.color(9.0, [0.0, 1.0]), EMBER.colors[255]);
        assert_eq!(EMBER.color(1.0, [1.0, 1.0]), EMBER.colors[128]);
    }
}
