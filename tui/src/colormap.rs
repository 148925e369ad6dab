//! Colour maps for numbers: even steps of lightness in Oklab, so that equal differences look equal.
//!
//! ```text
//! ember   black-violet ─ crimson ─ orange ─ pale yellow     dark is low, light is high
//! ice     black-blue ─ blue ─ cyan ─ white
//! moss    black-blue ─ green ─ yellow
//! grey    black ─ white
//! ```
//! Where there are few colours, a map is a ladder of some of them, each lighter than the one before; between two rungs their
//! dots mix, so that no third colour, which would look like another number, makes up for what is missing.

use std::sync::LazyLock;

use crate::color::palette::{Palette, rgb_of_index, threshold};
use crate::color::{ColorMode, linear, luminance, srgb, within_gamut};

/// 256 colours, from the lowest number to the highest.
pub(crate) struct Colormap {
    colors: [[u8; 3]; 256],
    /// The rungs below and above each of the 256, and the share of the upper one; empty where all colours can be shown.
    rungs: Vec<([u8; 3], [u8; 3], f32)>,
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

    /// Its ladder of the colours that `mode` has; itself where it has all, or pictures are no colours.
    pub(crate) fn in_mode(self, mode: ColorMode) -> &'static Colormap {
        static OF_16: LazyLock<[Colormap; 4]> = LazyLock::new(|| {
            let named = [&[0, 1, 9, 3, 11][..], &[0, 4, 12, 6, 14, 15], &[0, 4, 2, 10, 11], &[0, 8, 7, 15]];
            // The light of even steps of lightness, as Oklab has it for greys.
            named.map(|rungs| Colormap::of_rungs(rungs.iter().map(|&i| rgb_of_index(i)).collect(), |v| v.powi(3)))
        });
        static OF_256: LazyLock<[Colormap; 4]> = LazyLock::new(|| {
            MapName::ALL.map(|name| {
                let map = name.map();
                let bright = |rgb: [u8; 3]| luminance(linear(rgb));
                let mut rungs: Vec<[u8; 3]> = Vec::new();
                for &color in &map.colors {
                    let near = rgb_of_index(Palette::ansi256().nearest(color));
                    if rungs.last().is_none_or(|&last| bright(near) > bright(last)) {
                        rungs.push(near);
                    }
                }
                let most = bright(rungs[rungs.len() - 1]);
                Colormap::of_rungs(rungs, |v| bright(map.colors[(v * 255.0).round() as usize]) / most)
            })
        });
        match mode {
            ColorMode::Ansi16 => &OF_16[self as usize],
            ColorMode::Ansi256 => &OF_256[self as usize],
            _ => self.map(),
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
        Self { colors, rungs: Vec::new() }
    }

    /// Through these colours, each lighter than the one before; `light` of a share of the range is that of the last.
    fn of_rungs(rungs: Vec<[u8; 3]>, light: impl Fn(f32) -> f32) -> Self {
        let bright: Vec<f32> = rungs.iter().map(|&rgb| luminance(linear(rgb))).collect();
        let last = rungs.len() - 1;
        let between = |i: usize| {
            let wanted = light(i as f32 / 255.0) * bright[last];
            let upper = bright.iter().position(|&l| l >= wanted).unwrap_or(last).max(1);
            let share = (wanted - bright[upper - 1]) / (bright[upper] - bright[upper - 1]);
            (rungs[upper - 1], rungs[upper], share.clamp(0.0, 1.0))
        };
        let all: Vec<_> = (0..256).map(between).collect();
        let colors = std::array::from_fn(|i| if all[i].2 < 0.5 { all[i].0 } else { all[i].1 });
        Self { colors, rungs: all }
    }

    /// The colour of `x` in `low..=high` for the pixel at `(column, row)`.
    pub(crate) fn color_at(&self, x: f32, range: [f32; 2], [column, row]: [usize; 2]) -> [u8; 3] {
        match self.rungs.get(Self::step(x, range)) {
            None => self.color(x, range),
            Some(&(lower, upper, share)) => {
                if threshold(column, row) < share {
                    upper
                } else {
                    lower
                }
            }
        }
    }

    fn step(x: f32, [low, high]: [f32; 2]) -> usize {
        let share = if high > low { (x - low) / (high - low) } else { 0.5 };
        (share.clamp(0.0, 1.0) * 255.0).round() as usize
    }

    /// The colour of `x` in `low..=high`; what lies outside is clipped, NaN is the lowest.
    pub(crate) fn color(&self, x: f32, range: [f32; 2]) -> [u8; 3] {
        self.colors[Self::step(x, range)]
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
    fn ladders_rise_and_mix_two_rungs_to_the_light_between() {
        let palettes = [(ColorMode::Ansi16, 0..=15), (ColorMode::Ansi256, 16..=255)];
        for (name, (mode, indices)) in MapName::ALL.into_iter().flat_map(|n| palettes.clone().map(|p| (n, p))) {
            let ladder = name.in_mode(mode);
            let dots =
                |step: usize| (0..32 * 32).map(move |i| ladder.color_at(step as f32, [0.0, 255.0], [i % 32, i / 32]));
            let light = |step: usize| dots(step).map(|rgb| luminance(linear(rgb))).sum::<f32>() / 1024.0;
            let all: Vec<f32> = (0..256).map(light).collect();
            let of = format!("{} of {mode:?}", name.name());
            assert!(all.windows(2).all(|w| w[1] >= w[0]), "{of}");
            assert!(all[255] > 0.8 && all[0] < 0.01, "{of}: {} to {}", all[0], all[255]);
            for (step, light) in all.iter().enumerate() {
                let wanted = match mode {
                    ColorMode::Ansi16 => (step as f32 / 255.0).powi(3) * all[255],
                    _ => luminance(linear(name.map().colors[step])).clamp(all[0], all[255]),
                };
                assert!((light - wanted).abs() < 0.004, "{of} {step}: {light}, not {wanted}");
            }
            // Silence is one colour without dots, and all colours are the terminal's.
            assert!(dots(0).all(|rgb| rgb == ladder.color(0.0, [0.0, 255.0])), "{of}");
            let known: Vec<[u8; 3]> = indices.map(rgb_of_index).collect();
            assert!(
                ladder.rungs.len() == 256 && ladder.rungs.iter().all(|r| known.contains(&r.0) && known.contains(&r.1))
            );
        }
        assert!(MapName::Ember.in_mode(ColorMode::TrueColor).rungs.is_empty());
    }

    #[test]
    fn odd_numbers_have_a_colour() {
        assert_eq!(EMBER.color(f32::NAN, [0.0, 1.0]), EMBER.colors[0]);
        assert_eq!(EMBER.color(9.0, [0.0, 1.0]), EMBER.colors[255]);
        assert_eq!(EMBER.color(1.0, [1.0, 1.0]), EMBER.colors[128]);
    }
}
