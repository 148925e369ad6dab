//! Colour maps for numbers: even steps of lightness in Oklab, so that equal differences look equal.
//!
//! ```text
//! ember   black-violet ─ crimson ─ orange ─ pale yellow     dark is low, light is high
//! ice     black-blue ─ blue ─ cyan ─ white
//! moss    black-blue ─ green ─ yellow
//! grey    black ─ white
//! ```

use std::sync::LazyLock;

use crate::color::{srgb, within_gamut};

/// 256 colours, from the lowest number to the highest.
pub(crate) struct Colormap {
    colors: [[u8; 3]; 256],
}

/// A map by name, as the browser cycles through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum MapName {
    #[default]
    Ember,
    Ice,
    Moss,
    Grey,
}

impl MapName {
    /// In the order of the key that cycles.
    pub(crate) const ALL: [MapName; 4] = [MapName::Ember, MapName::Ice, MapName::Moss, MapName::Grey];

    /// In the configuration and the palette.
    pub(crate) fn name(self) -> &'static str {
        match self {
            MapName::Ember => "ember",
            MapName::Ice => "ice",
            MapName::Moss => "moss",
            MapName::Grey => "grey",
        }
    }

    /// The map of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// The next one, round and round.
    pub(crate) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|&m| m == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// Its colours.
    pub(crate) fn map(self) -> &'static Colormap {
        match self {
            MapName::Ember => &EMBER,
            MapName::Ice => &ICE,
            MapName::Moss => &MOSS,
            MapName::Grey => &GREY,
        }
    }
}

static ICE: LazyLock<Colormap> = LazyLock::new(|| {
    Colormap::new(&[
        [0.10, 0.00, -0.04],
        [0.30, -0.01, -0.12],
        [0.50, -0.04, -0.13],
        [0.72, -0.07, -0.07],
        [0.96, -0.02, 0.00],
    ])
});

static MOSS: LazyLock<Colormap> = LazyLock::new(|| {
    Colormap::new(&[
        [0.12, 0.01, -0.06],
        [0.32, -0.03, -0.06],
        [0.50, -0.09, 0.02],
        [0.71, -0.12, 0.12],
        [0.94, -0.05, 0.15],
    ])
});

static GREY: LazyLock<Colormap> = LazyLock::new(|| Colormap::new(&[[0.0; 3], [1.0, 0.0, 0.0]]));

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
        for name in MapName::ALL {
            let lightness: Vec<f32> = name.map().colors.iter().map(|&c| oklab(linear(c))[0]).collect();
            for pair in lightness.windows(2) {
                assert!(pair[1] > pair[0] - 0.004 && pair[1] - pair[0] < 0.075, "{}: {pair:?}", name.name());
            }
            assert!(lightness[255] - lightness[0] > 0.75);
            assert_eq!(MapName::named(name.name()), Some(name));
        }
    }

    #[test]
    fn odd_numbers_have_a_colour() {
        assert_eq!(EMBER.color(f32::NAN, [0.0, 1.0]), EMBER.colors[0]);
        assert_eq!(EMBER.color(9.0, [0.0, 1.0]), EMBER.colors[255]);
        assert_eq!(EMBER.color(1.0, [1.0, 1.0]), EMBER.colors[128]);
    }
}
