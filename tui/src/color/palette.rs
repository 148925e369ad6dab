//! Fixed palettes and the ordered dithering that brings pictures to them.
//!
//! ```text
//! wanted colour x ──▶ 16 candidates c₁ … c₁₆ from the palette, each nearest to x + strength · (error so far),
//!                     and, by a share of `calm`, to x itself, where hues count twice: so that their mean is near x in
//!                     linear light, but no loud dot makes up for a faint tint; sorted by luminance;
//!                     the pixel at (column, row) takes the one that the threshold matrix ranks there.
//! ```
//!
//! The candidate scheme is Thomas Knoll's pattern dithering (US patent 6,606,166, expired). The thresholds are a
//! void-and-cluster matrix (Robert Ulichney, 1993), made at first use: no grid to be seen, and unlike error
//! diffusion a pixel's colour depends on its own neighbourhood alone, so a moving picture does not boil.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use super::xterm::rgb_of_index;
use super::{Linear, linear, luminance, oklab, srgb};

/// Side of the threshold matrix.
const SIDE: usize = 32;
/// Candidates per wanted colour.
const CANDIDATES: usize = 16;

/// The colours of a terminal mode, with the index by which each is sent.
pub(crate) struct Palette {
    entries: Vec<Entry>,
    /// How much of the error the candidates carry on: 1 keeps the mean exact, less is calmer.
    strength: f32,
}

/// How much a candidate's own distance from the wanted colour counts beside that of its mean with the others.
const CALM: f32 = 1.0;
/// How much more of that distance a difference of hue or chroma makes than one of lightness.
const TINT: f32 = 2.0;

struct Entry {
    index: u8,
    rgb: [u8; 3],
    light: Linear,
    lab: [f32; 3],
}

static ANSI256: LazyLock<Palette> =
    LazyLock::new(|| Palette::new((16..=255).map(|i| (i, rgb_of_index(i))).collect(), 0.75));
static ANSI16: LazyLock<Palette> = LazyLock::new(|| Palette::new((0..16).map(|i| (i, rgb_of_index(i))).collect(), 1.0));

impl Palette {
    /// Indices 16 to 255.
    pub(crate) fn ansi256() -> &'static Palette {
        &ANSI256
    }

    /// Indices 0 to 15.
    pub(crate) fn ansi16() -> &'static Palette {
        &ANSI16
    }

    fn new(colors: Vec<(u8, [u8; 3])>, strength: f32) -> Self {
        let entries = colors
            .into_iter()
            .map(|(index, rgb)| {
                let light = linear(rgb);
                Entry { index, rgb, light, lab: oklab(light) }
            })
            .collect();
        Self { entries, strength }
    }

    /// The entry nearest to a colour in Oklab; the first of equals.
    fn nearest_entry(&self, light: Linear) -> usize {
        self.best(light, |_| 0.0)
    }

    /// The entry for which its distance from `light` and `extra` are least; the first of equals.
    fn best(&self, light: Linear, extra: impl Fn(usize) -> f32) -> usize {
        let lab = oklab(light);
        let mut best = (f32::INFINITY, 0);
        for (i, entry) in self.entries.iter().enumerate() {
            let cost = apart(lab, entry.lab) + extra(i);
            if cost < best.0 {
                best = (cost, i);
            }
        }
        best.1
    }

    /// The index of the entry nearest to a colour.
    pub(crate) fn nearest(&self, rgb: [u8; 3]) -> u8 {
        self.entries[self.nearest_entry(linear(rgb))].index
    }

    fn candidates(&self, wanted: Linear) -> [u8; CANDIDATES] {
        // A colour the palette has is shown as it is: text swatches and flat areas stay clean.
        let nearest = self.nearest_entry(wanted);
        if self.entries[nearest].rgb == srgb(wanted) {
            return [self.entries[nearest].index; CANDIDATES];
        }
        let lab = oklab(wanted);
        let own: Vec<f32> = self.entries.iter().map(|e| CALM * apart(tinted(lab), tinted(e.lab))).collect();
        let mut error = [0.0f32; 3];
        let mut picked = [nearest; CANDIDATES];
        for slot in &mut picked {
            let goal = std::array::from_fn(|c| (wanted[c] + self.strength * error[c]).clamp(-0.5, 1.5));
            *slot = self.best(goal, |i| own[i]);
            for c in 0..3 {
                error[c] += wanted[c] - self.entries[*slot].light[c];
            }
        }
        picked.sort_by(|&x, &y| {
            luminance(self.entries[x].light).total_cmp(&luminance(self.entries[y].light)).then(x.cmp(&y))
        });
        picked.map(|i| self.entries[i].index)
    }
}

fn tinted([lightness, a, b]: [f32; 3]) -> [f32; 3] {
    [lightness, TINT * a, TINT * b]
}

/// The squared distance of two colours in Oklab.
fn apart(x: [f32; 3], y: [f32; 3]) -> f32 {
    x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// A dithering pass over one picture; remembers the candidates of colours it has met.
pub(crate) struct Dither {
    palette: &'static Palette,
    met: HashMap<[u8; 3], [u8; CANDIDATES]>,
}

/// Colours that a kept pass remembers at most.
const MOST_MET: usize = 1 << 16;

impl Dither {
    /// `f` with a pass of this thread that remembers the colours of earlier ones: a screen is painted again and again.
    pub(crate) fn kept<T>(palette: &'static Palette, f: impl FnOnce(&mut Dither) -> T) -> T {
        thread_local! {
            static KEPT: RefCell<HashMap<*const Palette, Dither>> = RefCell::default();
        }
        KEPT.with_borrow_mut(|kept| {
            let dither = kept.entry(palette).or_insert_with(|| Dither::new(palette));
            if dither.met.len() > MOST_MET {
                dither.met.clear();
            }
            f(dither)
        })
    }

    /// To `palette`.
    pub(crate) fn new(palette: &'static Palette) -> Self {
        Self { palette, met: HashMap::new() }
    }

    /// The index of the pixel at `(x, y)` that wants this colour.
    pub(crate) fn index(&mut self, wanted: Linear, x: usize, y: usize) -> u8 {
        let rgb = srgb(wanted);
        let palette = self.palette;
        let candidates = self.met.entry(rgb).or_insert_with(|| palette.candidates(linear(rgb)));
        candidates[usize::from(rank(x, y)) * CANDIDATES / (SIDE * SIDE)]
    }
}

/// The threshold at `(x, y)`, above 0 and below 1, evenly spread over every neighbourhood.
pub(crate) fn threshold(x: usize, y: usize) -> f32 {
    (f32::from(rank(x, y)) + 0.5) / (SIDE * SIDE) as f32
}

fn rank(x: usize, y: usize) -> u16 {
    static RANKS: LazyLock<Vec<u16>> = LazyLock::new(|| void_and_cluster(SIDE));
    RANKS[y % SIDE * SIDE + x % SIDE]
}

/// Ranks 0 to side² − 1 on a torus, such that the cells below any rank are spread as evenly as can be.
fn void_and_cluster(side: usize) -> Vec<u16> {
    let cells = side * side;
    // Gaussian of the distance on the torus, σ = 1.5 cells, as Ulichney found best.
    let reach: Vec<f32> = (0..cells)
        .map(|i| {
            let fold = |d: usize| d.min(side - d) as f32;
            let (dy, dx) = (fold(i / side), fold(i % side));
            (-(dx * dx + dy * dy) / (2.0 * 1.5 * 1.5)).exp()
        })
        .collect();
    let spread = |energy: &mut [f32], at: usize, sign: f32| {
        let (ay, ax) = (at / side, at % side);
        for (i, value) in energy.iter_mut().enumerate() {
            let (dy, dx) = ((i / side + side - ay) % side, (i % side + side - ax) % side);
            *value += sign * reach[dy * side + dx];
        }
    };
    let tightest = |energy: &[f32], set: &[bool]| {
        (0..cells).filter(|&i| set[i]).max_by(|&a, &b| energy[a].total_cmp(&energy[b])).expect("a set cell")
    };
    let emptiest = |energy: &[f32], set: &[bool]| {
        (0..cells).filter(|&i| !set[i]).min_by(|&a, &b| energy[a].total_cmp(&energy[b])).expect("an empty cell")
    };

    // A tenth of the cells by a fixed linear congruence, then evened out.
    let (mut set, mut energy) = (vec![false; cells], vec![0.0; cells]);
    let mut seed = 12_345u32;
    let mut placed = 0;
    while placed < cells / 10 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = (seed >> 8) as usize % cells;
        if !set[at] {
            set[at] = true;
            spread(&mut energy, at, 1.0);
            placed += 1;
        }
    }
    loop {
        let crowded = tightest(&energy, &set);
        set[crowded] = false;
        spread(&mut energy, crowded, -1.0);
        let free = emptiest(&energy, &set);
        set[free] = true;
        spread(&mut energy, free, 1.0);
        if free == crowded {
            break;
        }
    }

    let mut ranks = vec![0u16; cells];
    let (mut thinning, mut thinned) = (set.clone(), energy.clone());
    for rank in (0..placed).rev() {
        let at = tightest(&thinned, &thinning);
        thinning[at] = false;
        spread(&mut thinned, at, -1.0);
        ranks[at] = rank as u16;
    }
    for rank in placed..cells {
        let at = emptiest(&energy, &set);
        set[at] = true;
        spread(&mut energy, at, 1.0);
        ranks[at] = rank as u16;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xterm_indices_have_their_colours() {
        assert_eq!(rgb_of_index(16), [0; 3]);
        assert_eq!(rgb_of_index(231), [255; 3]);
        assert_eq!(rgb_of_index(208), [255, 135, 0]);
        assert_eq!(rgb_of_index(255), [238; 3]);
        let palette = Palette::ansi256();
        assert_eq!(palette.entries[palette.nearest_entry(linear([255, 135, 0]))].index, 208);
    }

    #[test]
    fn ranks_are_a_permutation_and_even() {
        let mut seen = vec![false; SIDE * SIDE];
        for y in 0..SIDE {
            for x in 0..SIDE {
                assert!(!std::mem::replace(&mut seen[usize::from(rank(x, y))], true));
            }
        }
        // Every 8×8 block averages near one half: white noise would stray by 0.036 on average.
        for by in (0..SIDE).step_by(8) {
            for bx in (0..SIDE).step_by(8) {
                let mean: f32 = (0..64).map(|i| threshold(bx + i % 8, by + i / 8)).sum::<f32>() / 64.0;
                assert!((mean - 0.5).abs() < 0.03, "block {bx},{by} averages {mean}");
            }
        }
    }

    #[test]
    fn dithering_keeps_the_mean_light() {
        for (palette, limit) in [(Palette::ansi256(), 0.02), (Palette::ansi16(), 0.03)] {
            for rgb in [[128, 128, 128], [60, 60, 60], [180, 120, 70], [30, 90, 160], [222, 200, 190]] {
                let wanted = linear(rgb);
                let mut dither = Dither::new(palette);
                let mut mean = [0.0f32; 3];
                for i in 0..SIDE * SIDE {
                    let light = linear(rgb_of_index(dither.index(wanted, i % SIDE, i / SIDE)));
                    (0..3).for_each(|c| mean[c] += light[c] / (SIDE * SIDE) as f32);
                }
                // What the eye makes of it: the distance in Oklab, where 0.02 is just to be seen side by side.
                let apart = oklab(mean).iter().zip(oklab(wanted)).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt();
                assert!(apart < limit, "{rgb:?}: {mean:?} for {wanted:?}, {apart} apart");
            }
        }
    }

    #[test]
    fn faint_tints_bring_no_loud_dots() {
        for rgb in [[30, 30, 36], [36, 30, 30], [28, 34, 28], [25, 22, 20], [60, 60, 66]] {
            let wanted = linear(rgb);
            let mut dither = Dither::new(Palette::ansi256());
            for i in 0..SIDE * SIDE {
                let dot = rgb_of_index(dither.index(wanted, i % SIDE, i / SIDE));
                let far = apart(oklab(linear(dot)), oklab(wanted)).sqrt();
                assert!(far < 0.1, "{dot:?} stands for {rgb:?}, {far} apart");
            }
        }
    }

    #[test]
    fn colours_of_the_palette_stay_flat() {
        let mut dither = Dither::new(Palette::ansi256());
        for i in 16..=255u8 {
            let wanted = linear(rgb_of_index(i));
            let shown: Vec<_> = (0..9).map(|p| rgb_of_index(dither.index(wanted, p % 3, p / 3))).collect();
            assert!(shown.iter().all(|&rgb| rgb == rgb_of_index(i)));
        }
    }
}
