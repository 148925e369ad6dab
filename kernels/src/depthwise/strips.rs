//! Depthwise convolution by small square kernels, without a copy of the map: strip by strip, down the map.
//!
//! ```text
//! columns of N vectors of outputs, and K − 1 more    row of the map ─┬─ taps 0 … K−1 of each vector, loaded once
//!     ▓▓▓▓▓▓▓▓▓▓▓▓                                                   │  for all the outputs that the row belongs to
//!     ▓▓▓▓▓▓▓▓▓▓▓▓                                                   ▼
//!     ▓▓▓▓▓▓▓▓▓▓▓▓  ── next row ──▶                     sums of ⌈K / stride⌉ rows of outputs, the oldest complete
//! ```
//! A sum takes its taps in order, as in the general path; rows of padding add nothing. What a vector is, one stretch of a
//! row or of two maps' rows side by side, changes nothing of that.

mod columns;
mod halves;

use super::Planes;
use crate::geometry::Geometry;
use crate::simd::{Simd, SimdOp};
use crate::view::PlaneMut;
use columns::Columns;
use halves::Halves;

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
        let Planes { conv, filters, epilogue, input, window, mut planes } = self.0;
        let (geometry, present) = (&conv.geometry, input.window());
        let first = |axis: usize, at: usize| (at * STRIDE) as isize - geometry.pads[axis] as isize;
        let each = conv.out_channels / conv.in_channels;
        let rows = Rows {
            // Only outputs that read nothing but padding may do without cells.
            there: if present.is_empty() { 0 } else { present.height() },
            top: first(0, window.y0) - present.y0 as isize,
            outputs: window.height(),
            floor: if epilogue.relu { 0.0 } else { f32::NEG_INFINITY },
        };
        let map = |image: usize, o: usize| {
            let (cells, step) = input.rows(image, if each == 1 { o } else { o / each }, present.y0);
            let weights = filters[o * TAPS..][..TAPS].try_into().expect("a filter's taps");
            let bias = epilogue.bias.map_or(0.0, |bias| bias[o]);
            Map { cells, step, width: present.width(), weights, bias }
        };
        let left = first(1, window.x0) - present.x0 as isize;
        while let Some(mut plane) = planes.next() {
            let this = map(plane.image, plane.channel);
            // Two filters of 49 weights would have to be loaded as vectors.
            if K < 7
                && window.width() <= S::LANES / 2
                && let Some(mut other) = planes.next()
            {
                let maps = [this, map(other.image, other.channel)];
                down::<S, K, TAPS, STRIDE, _>(simd, &rows, &mut Halves::new(maps, left, [&mut plane, &mut other]));
                continue;
            }
            let mut x = 0;
            while x < window.width() {
                let left = left + (x * STRIDE) as isize;
                // Nine multiply-adds a row are too few for what else a row takes.
                if K == 3 && x + S::LANES < window.width() {
                    columns::<S, K, TAPS, STRIDE, 2>(simd, &rows, &this, left, &mut plane, x);
                    x += 2 * S::LANES;
                } else {
                    columns::<S, K, TAPS, STRIDE, 1>(simd, &rows, &this, left, &mut plane, x);
                    x += S::LANES;
                }
            }
        }
    }
}

/// `N` vectors of each row of outputs from column `x` on, which read from cell `left` of a row on.
#[inline(always)]
fn columns<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize, const N: usize>(
    simd: S,
    rows: &Rows,
    map: &Map<'_, TAPS>,
    left: isize,
    out: &mut PlaneMut<'_>,
    x: usize,
) {
    let reads = N * S::LANES * STRIDE + K - STRIDE;
    if left >= 0 && left as usize + reads <= map.width {
        down::<S, K, TAPS, STRIDE, _>(simd, rows, &mut Columns::<TAPS, N, true>::new(map, left, out, x));
    } else {
        down::<S, K, TAPS, STRIDE, _>(simd, rows, &mut Columns::<TAPS, N, false>::new(map, left, out, x));
    }
}

/// What all maps have in common.
struct Rows {
    /// Rows of a map that are there.
    there: usize,
    /// Which of them the first output reads first.
    top: isize,
    /// Rows of outputs.
    outputs: usize,
    /// What no output is below.
    floor: f32,
}

/// One map and its filter.
struct Map<'a, const TAPS: usize> {
    /// From the first row that is there on.
    cells: &'a [f32],
    /// From row to row.
    step: usize,
    /// Cells of a row that are there.
    width: usize,
    weights: &'a [f32; TAPS],
    bias: f32,
}

impl<const TAPS: usize> Map<'_, TAPS> {
    /// Row `y` of those that are there.
    #[inline(always)]
    fn row(&self, y: usize) -> &[f32] {
        &self.cells[y * self.step..][..self.width]
    }
}

/// The outputs that go down the map together: one vector, or two where `TWO`.
trait Strip<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize> {
    /// Whether there is a second vector.
    const TWO: bool;
    /// Whether the weights are made once; else each is made where it is used.
    const HELD: bool;
    /// What each tap of each vector reads of row `y`.
    fn taps(&self, simd: S, y: usize) -> [[S::F32; K]; 2];
    /// The weight of `tap`.
    fn weight(&self, simd: S, tap: usize) -> S::F32;
    /// What is added to each output.
    fn bias(&self, simd: S) -> S::F32;
    /// Writes row `y` of the outputs.
    fn store(&mut self, simd: S, y: usize, v: [S::F32; 2]);
}

/// All rows of the outputs of `strip`.
#[inline(always)]
fn down<S: Simd, const K: usize, const TAPS: usize, const STRIDE: usize, V: Strip<S, K, TAPS, STRIDE>>(
    simd: S,
    rows: &Rows,
    strip: &mut V,
) {
    let (zero, bias, floor) = (simd.splat(0.0), strip.bias(simd), simd.splat(rows.floor));
    let under_way = K.div_ceil(STRIDE);
    let mut held = [zero; TAPS];
    if V::HELD {
        for tap in 0..TAPS {
            held[tap] = strip.weight(simd, tap);
        }
    }
    // Two vectors written out: a loop over them would keep the sums in memory.
    let mut sums = [[zero; K]; 2];
    for y in 0..rows.outputs + under_way - 1 {
        for phase in 0..STRIDE {
            let at = (rows.top + (y * STRIDE + phase) as isize) as usize;
            if at >= rows.there {
                continue;
            }
            let taps = strip.taps(simd, at);
            for age in 0..K {
                let ky = age * STRIDE + phase;
                if ky < K {
                    for kx in 0..K {
                        let tap = ky * K + kx;
                        let weight = if V::HELD { held[tap] } else { strip.weight(simd, tap) };
                        sums[0][age] = simd.fma(weight, taps[0][kx], sums[0][age]);
                        if V::TWO {
                            sums[1][age] = simd.fma(weight, taps[1][kx], sums[1][age]);
                        }
                    }
                }
            }
        }
        if let Some(y) = (y + 1).checked_sub(under_way) {
            // The second where either is NaN.
            let v = simd.max(floor, simd.add(sums[0][under_way - 1], bias));
            let w = if V::TWO { simd.max(floor, simd.add(sums[1][under_way - 1], bias)) } else { v };
            strip.store(simd, y, [v, w]);
        }
        let younger = sums;
        for n in 0..2 {
            sums[n][0] = zero;
            for age in 1..K {
                sums[n][age] = younger[n][age - 1];
            }
        }
    }
}
