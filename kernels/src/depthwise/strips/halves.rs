//! Whole rows of two maps, each at most half a vector wide: one in the lower lanes, the other in the upper ones.

use super::{Map, Strip};
use crate::simd::Simd;
use crate::view::PlaneMut;

/// Two maps of the same size, and where they go.
pub(super) struct Halves<'a, const TAPS: usize> {
    maps: [Map<'a, TAPS>; 2],
    /// Which cell of a row the first output reads first.
    left: isize,
    out: [&'a mut [f32]; 2],
    /// From row to row there, and outputs of a row.
    apart: usize,
    len: usize,
}

impl<'a, const TAPS: usize> Halves<'a, TAPS> {
    /// All outputs of two planes of the same batch.
    #[inline(always)]
    pub(super) fn new(maps: [Map<'a, TAPS>; 2], left: isize, out: [&'a mut PlaneMut<'_>; 2]) -> Self {
        let window = out[0].window;
        let [(low, apart), (high, _)] = out.map(|plane| plane.rows_mut(window.y0));
        Self { maps, left, out: [low, high], apart, len: window.width() }
    }
}

/// Lanes of the second map.
#[inline(always)]
fn upper<S: Simd>(simd: S) -> S::Mask {
    let mut numbers = [0.0; 16];
    for l in 0..16 {
        numbers[l] = l as f32;
    }
    simd.gt(simd.load(&numbers), simd.splat(S::LANES as f32 / 2.0 - 0.5))
}

impl<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize> Strip<S, K, TAPS, STRIDE> for Halves<'_, TAPS> {
    const TWO: bool = false;
    const HELD: bool = true;

    #[inline(always)]
    fn taps(&self, simd: S, y: usize) -> [[S::F32; K]; 2] {
        let [low, high] = [self.maps[0].row(y), self.maps[1].row(y)];
        let mut taps = [simd.splat(0.0); K];
        if STRIDE == 1 {
            let (upper, half) = (upper(simd), (S::LANES / 2) as isize);
            for kx in 0..K {
                let at = self.left + kx as isize;
                taps[kx] = simd.select(upper, simd.load_within(high, at - half), simd.load_within(low, at));
            }
        } else {
            // The even columns of both, and the odd ones.
            for kx in (0..K).step_by(2) {
                let at = self.left + kx as isize;
                let (even, odd) = simd.deinterleave(simd.load_within(low, at), simd.load_within(high, at));
                taps[kx] = even;
                if kx + 1 < K {
                    taps[kx + 1] = odd;
                }
            }
        }
        [taps; 2]
    }

    #[inline(always)]
    fn weight(&self, simd: S, tap: usize) -> S::F32 {
        let [low, high] = [simd.splat(self.maps[0].weights[tap]), simd.splat(self.maps[1].weights[tap])];
        simd.select(upper(simd), high, low)
    }

    #[inline(always)]
    fn bias(&self, simd: S) -> S::F32 {
        simd.select(upper(simd), simd.splat(self.maps[1].bias), simd.splat(self.maps[0].bias))
    }

    #[inline(always)]
    fn store(&mut self, simd: S, y: usize, [v, _]: [S::F32; 2]) {
        let mut lanes = [0; 16];
        for l in 0..S::LANES {
            lanes[l] = ((l + S::LANES / 2) % S::LANES) as u32;
        }
        let [low, high] = &mut self.out;
        simd.store_partial(v, &mut low[y * self.apart..][..self.len]);
        simd.store_partial(simd.permute(v, &lanes), &mut high[y * self.apart..][..self.len]);
    }
}
