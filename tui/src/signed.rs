//! Signed numbers, such as projections, as pictures around mid-grey.
//!
//! ```text
//! numbers ─ mean of each cell's area ─▶ fewer numbers ─ the strongest become black and white ─▶ picture
//! ```
//! The numbers are brought to size before they are coloured: signs cancel where they alternate, and what is left of them
//! is then stretched to what the screen can show. Means of the colours would be too light, and near grey.

use switchback_core::picture::Picture;

use crate::halfblock::Scaler;

/// The share of |x| that is not clipped: a few stray pixels may be.
const ROBUST: f64 = 0.995;

/// Three channels, or one, red first, each row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signed {
    channels: Vec<Vec<f32>>,
    width: usize,
}

impl Signed {
    /// Of channels alike, rows of `width` numbers.
    pub(crate) fn new(channels: Vec<Vec<f32>>, width: usize) -> Self {
        Self { channels, width }
    }

    /// Rows and columns.
    fn size(&self) -> [usize; 2] {
        [self.channels.first().map_or(0, Vec::len) / self.width.max(1), self.width]
    }

    /// Brought to `[height, width]` by the mean of each area; what is small grows as blocks.
    pub(crate) fn scaled(&self, size: [usize; 2]) -> Signed {
        let scaler = Scaler::new(self.size(), size);
        Signed { channels: self.channels.iter().map(|c| scaler.apply(c)).collect(), width: size[1] }
    }

    /// What becomes black or white: the 99.5th percentile of |x| among what is not zero; 0 where all is.
    pub(crate) fn peak(&self) -> f32 {
        robust(self.channels.iter().flat_map(|c| c.iter().map(|x| x.abs())).filter(|x| *x > 0.0)).unwrap_or(0.0)
    }

    /// Zero is 128, the peak black or white.
    pub(crate) fn picture(&self) -> Picture {
        let peak = Some(self.peak()).filter(|&peak| peak > 0.0).unwrap_or(1.0);
        // Rounds: a cast cuts off.
        let level = |x: f32| (128.0 + 127.5 * (x / peak).clamp(-1.0, 1.0)) as u8;
        let [height, width] = self.size();
        let pixel = |i: usize| [0, 1, 2].map(|k| level(self.channels[k % self.channels.len()][i]));
        Picture::new(width, height, (0..height * width).flat_map(pixel).collect())
    }
}

/// The number of `sizes` that a share [`ROBUST`] of them does not exceed. They are positive: their bits are in their order,
/// so that those which begin alike are counted first and few are left to sort.
fn robust(sizes: impl Iterator<Item = f32> + Clone) -> Option<f32> {
    const SHIFT: u32 = 20;
    let bucket = |x: f32| (x.to_bits() >> SHIFT) as usize;
    let mut counts = [0_usize; 1 << (u32::BITS - SHIFT)];
    sizes.clone().for_each(|x| counts[bucket(x)] += 1);
    let all: usize = counts.iter().sum();
    let mut rank = (all.checked_sub(1)? as f64 * ROBUST) as usize;
    let chosen = counts.iter().position(|&count| {
        let found = rank < count;
        rank -= if found { 0 } else { count };
        found
    })?;
    let mut few: Vec<f32> = sizes.filter(|&x| bucket(x) == chosen).collect();
    Some(*few.select_nth_unstable_by(rank, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_robust_peak_is_that_of_the_sorted_numbers() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0
        };
        assert_eq!(robust([].into_iter()), None);
        for n in [1, 2, 199, 200, 201, 5000] {
            for power in [1, 4, 30] {
                let sizes: Vec<f32> = (0..n).map(|_| random().powi(power) + f32::MIN_POSITIVE).collect();
                let mut sorted = sizes.clone();
                sorted.sort_by(f32::total_cmp);
                let wanted = sorted[((n - 1) as f64 * ROBUST) as usize];
                assert_eq!(robust(sizes.into_iter()), Some(wanted), "{n} numbers, power {power}");
            }
        }
    }

    #[test]
    fn levels_are_rounded_around_mid_grey() {
        let picture = Signed::new(vec![vec![0.0, 1.0, -1.0, 0.5, -0.25, f32::NAN]], 6).picture();
        assert_eq!(picture.rgb.iter().step_by(3).copied().collect::<Vec<u8>>(), [128, 255, 0, 191, 96, 0]);
    }

    #[test]
    fn zero_is_mid_grey() {
        let p = Signed::new(vec![vec![0.0, 2.0, -2.0, 0.0]], 2).picture();
        assert_eq!((p.pixel(0, 0), p.pixel(0, 1), p.pixel(1, 0)), ([128; 3], [255; 3], [0; 3]));
        let nothing = Signed::new(vec![vec![0.0; 4]], 2);
        assert_eq!((nothing.picture().pixel(1, 1), nothing.peak()), ([128; 3], 0.0));
    }

    #[test]
    fn signs_cancel_before_they_are_coloured_and_what_is_left_is_stretched() {
        // A checkerboard of ±8 around a bump of 1: at a quarter of the size the bump alone is left.
        let at = |i: usize| {
            let (y, x) = (i / 16, i % 16);
            let bump = if (8..12).contains(&y) && (4..8).contains(&x) { 1.0 } else { 0.0 };
            bump + if (y + x) % 2 == 0 { 8.0 } else { -8.0 }
        };
        let signed = Signed::new(vec![(0..256).map(at).collect()], 16);
        let small = signed.scaled([4, 4]);
        assert_eq!((small.size(), small.peak()), ([4, 4], 1.0));
        let picture = small.picture();
        for y in 0..4 {
            for x in 0..4 {
                assert_eq!(picture.pixel(y, x), [if [y, x] == [2, 1] { 255 } else { 128 }; 3], "{y},{x}");
            }
        }
        assert_eq!(signed.scaled([32, 32]).peak(), signed.peak());
    }
}
