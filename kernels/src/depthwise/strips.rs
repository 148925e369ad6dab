//! Depthwise convolution by small square kernels, without a copy of the map: strip by strip, down the map.
//!
//! ```text
//! columns of N vectors of outputs, and K − 1 more    row of the map ─┬─ taps 0 … K−1 of each vector, loaded once
//!     ▓▓▓▓▓▓▓▓▓▓▓▓                                                   │  for all the outputs that the row belongs to
//!     ▓▓▓▓▓▓▓▓▓▓▓▓                                                   ▼
//!     ▓▓▓▓▓▓▓▓▓▓▓▓  ── next row ──▶                     sums of ⌈K / stride⌉ rows of outputs, the oldest complete
//! ```
//! A sum takes its taps in order, as in the general path; rows of padding add nothing.

use super::Planes;
use crate::geometry::Geometry;
use crate::simd::{Simd, SimdOp};
use crate::view::PlaneMut;

/// Whether strips compute `geometry`.
pub(super) fn fit(geometry: &Geometry) -> bool {
    let Geometry { kernel, stride, dilation, .. } = *geometry;
    dilation == [1, 1] && matches!((kernel, stride), ([3, 3] | [5, 5] | [7, 7], [1, 1] | [2, 2]))
}

/// All of `planes`, whose sums start from nothing.
#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, planes: Planes<'_>) {
    let geometry = &planes.conv.geometry;
    match (geometry.kernel[0], geometry.stride[0]) {
        (3, 1) => simd.vectorize(Strips::<3, 9, 1>(planes)),
        (3, 2) => simd.vectorize(Strips::<3, 9, 2>(planes)),
        (5, 1) => simd.vectorize(Strips::<5, 25, 1>(planes)),
        (5, 2) => simd.vectorize(Strips::<5, 25, 2>(planes)),
        (7, 1) => simd.vectorize(Strips::<7, 49, 1>(planes)),
        (7, 2) => simd.vectorize(Strips::<7, 49, 2>(planes)),
        _ => unreachable!("no strips for {geometry:?}"),
    }
}

struct Strips<'a, const K: usize, const TAPS: usize, const STRIDE: usize>(Planes<'a>);

impl<const K: usize, const TAPS: usize, const STRIDE: usize> SimdOp for Strips<'_, K, TAPS, STRIDE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Planes { conv, filters, epilogue, input, window, planes } = self.0;
        let (geometry, present) = (&conv.geometry, input.window());
        let read = geometry.input_window(window, input.full());
        assert!(present.contains(read), "needs {read:?}, the input holds {present:?}");
        let first = |axis: usize, at: usize| (at * STRIDE) as isize - geometry.pads[axis] as isize;
        let each = conv.out_channels / conv.in_channels;
        // Only outputs that read nothing but padding may do without cells.
        let height = if present.is_empty() { 0 } else { present.height() };
        let (width, top) = (present.width(), first(0, window.y0) - present.y0 as isize);
        let floor = if epilogue.relu { 0.0 } else { f32::NEG_INFINITY };
        for mut plane in planes {
            let channel = if each == 1 { plane.channel } else { plane.channel / each };
            let (cells, step) = input.rows(plane.image, channel);
            let weights = filters[plane.channel * TAPS..][..TAPS].try_into().expect("a filter's taps");
            let bias = epilogue.bias.map_or(0.0, |bias| bias[plane.channel]);
            let map = Map { cells, step, height, width, top, weights, bias, floor };
            let mut x = 0;
            while x < window.width() {
                let left = first(1, window.x0 + x) - present.x0 as isize;
                // Nine multiply-adds a row are too few for what else a row takes.
                if K == 3 && x + S::LANES < window.width() {
                    columns::<S, K, TAPS, STRIDE, 2>(simd, &map, left, &mut plane, x);
                    x += 2 * S::LANES;
                } else {
                    columns::<S, K, TAPS, STRIDE, 1>(simd, &map, left, &mut plane, x);
                    x += S::LANES;
                }
            }
        }
    }
}

/// One map and what becomes of it.
struct Map<'a, const TAPS: usize> {
    /// From the first row that is there on.
    cells: &'a [f32],
    /// From row to row.
    step: usize,
    /// Rows that are there.
    height: usize,
    /// Cells of a row that are there.
    width: usize,
    /// Which of the rows the first output reads first.
    top: isize,
    weights: &'a [f32; TAPS],
    bias: f32,
    /// What no output is below.
    floor: f32,
}

/// `N` vectors, 1 or 2, of each row of outputs, from column `x` of the window on; they read from cell `left` of a row on.
#[inline(always)]
fn columns<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize, const N: usize>(
    simd: S,
    map: &Map<'_, TAPS>,
    left: isize,
    out: &mut PlaneMut<'_>,
    x: usize,
) {
    let reads = N * S::LANES * STRIDE + K - STRIDE;
    if left >= 0 && left as usize + reads <= map.width {
        strip::<S, K, TAPS, STRIDE, N, true>(simd, map, left, out, x);
    } else {
        strip::<S, K, TAPS, STRIDE, N, false>(simd, map, left, out, x);
    }
}

/// The same; `INSIDE` if all that they read is there.
#[inline(always)]
fn strip<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize, const N: usize, const INSIDE: bool>(
    simd: S,
    map: &Map<'_, TAPS>,
    left: isize,
    out: &mut PlaneMut<'_>,
    x: usize,
) {
    let (zero, bias, floor) = (simd.splat(0.0), simd.splat(map.bias), simd.splat(map.floor));
    let under_way = K.div_ceil(STRIDE);
    let window = out.window;
    let (rows, apart) = out.rows_mut(window.y0);
    let len = (window.width() - x).min(N * S::LANES);
    // Registers hold nine weights; of more, each is loaded where it is used.
    let mut held = [zero; TAPS];
    for tap in 0..TAPS {
        held[tap] = simd.splat(map.weights[tap]);
    }
    // Two vectors written out: a loop over them would keep the sums in memory.
    let mut sums = [[zero; K]; 2];
    for y in 0..window.height() + under_way - 1 {
        for phase in 0..STRIDE {
            let at = (map.top + (y * STRIDE + phase) as isize) as usize;
            if at >= map.height {
                continue;
            }
            let row = &map.cells[at * map.step..][..map.width];
            let low = taps::<S, K, STRIDE, INSIDE>(simd, row, left);
            let high =
                if N > 1 { taps::<S, K, STRIDE, INSIDE>(simd, row, left + (S::LANES * STRIDE) as isize) } else { low };
            for age in 0..K {
                let ky = age * STRIDE + phase;
                if ky < K {
                    for kx in 0..K {
                        let tap = ky * K + kx;
                        let weight = if K == 3 { held[tap] } else { simd.splat(map.weights[tap]) };
                        sums[0][age] = simd.fma(weight, low[kx], sums[0][age]);
                        if N > 1 {
                            sums[1][age] = simd.fma(weight, high[kx], sums[1][age]);
                        }
                    }
                }
            }
        }
        if let Some(y) = (y + 1).checked_sub(under_way) {
            let row = &mut rows[y * apart + x..][..len];
            // The second where either is NaN.
            let v = simd.max(floor, simd.add(sums[0][under_way - 1], bias));
            if N > 1 {
                let w = simd.max(floor, simd.add(sums[1][under_way - 1], bias));
                let (low, high) = row.split_at_mut(S::LANES);
                simd.store(v, low);
                store::<S>(simd, w, high);
            } else {
                store::<S>(simd, v, row);
            }
        }
        let younger = sums;
        for n in 0..N {
            sums[n][0] = zero;
            for age in 1..K {
                sums[n][age] = younger[n][age - 1];
            }
        }
    }
}

/// To as many cells as `row` has, at most a vector.
#[inline(always)]
fn store<S: Simd>(simd: S, v: S::F32, row: &mut [f32]) {
    if row.len() == S::LANES { simd.store(v, row) } else { simd.store_partial(v, row) }
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
