//! One stretch of each row of outputs: one vector or two, side by side.

use super::{Map, Strip};
use crate::rows::store_block;
use crate::simd::Simd;
use crate::view::PlaneMut;

/// `N` vectors, 1 or 2; `INSIDE` if all that they read is there.
pub(super) struct Columns<'a, const TAPS: usize, const N: usize, const INSIDE: bool> {
    map: &'a Map<'a, TAPS>,
    /// Which cell of a row the first output reads first.
    left: isize,
    /// From the first output on.
    out: &'a mut [f32],
    /// From row to row there, and outputs of a row from the first of the strip on.
    apart: usize,
    len: usize,
}

impl<'a, const TAPS: usize, const N: usize, const INSIDE: bool> Columns<'a, TAPS, N, INSIDE> {
    /// From column `x` of the window on.
    #[inline(always)]
    pub(super) fn new(map: &'a Map<'a, TAPS>, left: isize, out: &'a mut PlaneMut<'_>, x: usize) -> Self {
        let window = out.window;
        let (out, apart) = out.rows_mut(window.y0);
        Self { map, left, out: &mut out[x..], apart, len: window.width() - x }
    }
}

impl<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize, const N: usize, const INSIDE: bool>
    Strip<S, K, TAPS, STRIDE> for Columns<'_, TAPS, N, INSIDE>
{
    const TWO: bool = N == 2;
    // Registers hold nine.
    const HELD: bool = TAPS == 9;

    #[inline(always)]
    fn taps(&self, simd: S, y: usize) -> [[S::F32; K]; 2] {
        let row = self.map.row(y);
        let low = taps::<S, K, STRIDE, INSIDE>(simd, row, self.left);
        let next = self.left + (S::LANES * STRIDE) as isize;
        [low, if N == 2 { taps::<S, K, STRIDE, INSIDE>(simd, row, next) } else { low }]
    }

    #[inline(always)]
    fn weight(&self, simd: S, tap: usize) -> S::F32 {
        simd.splat(self.map.weights[tap])
    }

    #[inline(always)]
    fn bias(&self, simd: S) -> S::F32 {
        simd.splat(self.map.bias)
    }

    #[inline(always)]
    fn store(&mut self, simd: S, y: usize, v: [S::F32; 2]) {
        let row = &mut self.out[y * self.apart..][..self.len.min(N * S::LANES)];
        if N == 2 { store_block(simd, v, row) } else { store_block(simd, [v[0]], row) }
    }
}

/// What each tap of a vector of outputs reads; the first output reads cell `left` through tap 0.
#[inline(always)]
fn taps<S: Simd, const K: usize, const STRIDE: usize, const INSIDE: bool>(
    simd: S,
    row: &[f32],
    left: isize,
) -> [S::F32; K] {
    let mut taps = [simd.splat(0.0); K];
    let row = if INSIDE { &row[left as usize..][..S::LANES * STRIDE + K - STRIDE] } else { row };
    let left = if INSIDE { 0 } else { left };
    if STRIDE == 1 {
        for kx in 0..K {
            taps[kx] = load::<S, INSIDE>(simd, row, left + kx as isize);
        }
        return taps;
    }
    let beyond = left + 2 * S::LANES as isize;
    let low = load::<S, INSIDE>(simd, row, left);
    let high = load::<S, INSIDE>(simd, row, left + S::LANES as isize);
    (taps[0], taps[1]) = simd.deinterleave(low, high);
    for kx in 2..K {
        let at = (beyond + kx as isize - 2) as usize;
        let next = if INSIDE { row[at] } else { *row.get(at).unwrap_or(&0.0) };
        taps[kx] = simd.shift_in(taps[kx - 2], simd.splat(next));
    }
    taps
}

/// A vector of cells from `at` on.
#[inline(always)]
fn load<S: Simd, const INSIDE: bool>(simd: S, row: &[f32], at: isize) -> S::F32 {
    if INSIDE { simd.load(&row[at as usize..]) } else { simd.load_within(row, at) }
}
