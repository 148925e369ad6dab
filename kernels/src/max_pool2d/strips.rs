//! Max-pooling of 3 × 3 at a stride of 2 without switches, where all rows are in the map: strip by strip, down the map.
//!
//! ```text
//! columns of a vector of outputs   ▓▓▓▓▓▓▓▓▓ row 2y, kept from the outputs above
//!                                  ▓▓▓▓▓▓▓▓▓
//!                                  ▓▓▓▓▓▓▓▓▓ row 2y + 2, kept for the outputs below
//! ```

use std::ops::Range;

use super::{BEYOND, store};
use crate::geometry::{Geometry, Window};
use crate::simd::Simd;
use crate::view::{Maps, PlaneMut};

/// Vectors of the widest row of outputs that is worth it: wider ones lose more to going down the map than loads cost.
pub(super) const MOST: usize = 4;

/// Rows of `window` that read three rows of a map of `height`, two further from each to the next; none where the pool is
/// another one.
pub(super) fn rows(geometry: &Geometry, window: Window, height: usize) -> Range<usize> {
    let Geometry { kernel, stride, dilation, pads, .. } = *geometry;
    if [kernel[0], stride[0], dilation[0]] != [3, 2, 1] {
        return 0..0;
    }
    // The last one reads row 2y − pad + 2.
    let end = (height + pads[0]).saturating_sub(1) / 2;
    window.y0.max(pads[0].div_ceil(2))..window.y1.min(end)
}

/// What outputs read: rows of a map from the first of the first output on.
pub(super) struct Source<'a> {
    data: &'a [f32],
    /// From row to row.
    stride: usize,
    /// Elements of a row from the first output's first column on.
    width: usize,
}

impl<'a> Source<'a> {
    /// Row `y` of map `c` of image `n` from column `from` on, counted in what is there, and those below it.
    #[inline(always)]
    pub(super) fn new(input: Maps<'a>, [n, c]: [usize; 2], y: usize, from: usize) -> Self {
        let (cells, stride) = input.rows(n, c, y);
        Self { data: &cells[from..], stride, width: input.window().width() - from }
    }
}

/// The maxima for rows `outputs`, of which the first reads the first of the source's rows. Some lane of what it gives is NaN where
/// they read a NaN or an infinity.
#[inline(always)]
pub(super) fn maxima<S: Simd>(
    simd: S,
    source: &Source<'_>,
    values: &mut PlaneMut<'_>,
    outputs: Range<usize>,
) -> S::F32 {
    let mut special = simd.splat(0.0);
    for at in (0..values.window.width()).step_by(S::LANES) {
        let found = match source.width - 2 * at > 2 * S::LANES {
            true => strip::<S, true>(simd, source, values, outputs.clone(), at),
            false => strip::<S, false>(simd, source, values, outputs.clone(), at),
        };
        special = simd.add(special, found);
    }
    special
}

/// A vector of outputs of each row, from column `at` on; `WHOLE` if all columns that they read are there.
#[inline(always)]
fn strip<S: Simd, const WHOLE: bool>(
    simd: S,
    source: &Source<'_>,
    values: &mut PlaneMut<'_>,
    outputs: Range<usize>,
    at: usize,
) -> S::F32 {
    let len = (source.width - 2 * at).min(2 * S::LANES + 1);
    let row = |i: usize| &source.data[i * source.stride + 2 * at..][..len];
    let mut special = [simd.splat(0.0); 2];
    let mut above = columns::<S, WHOLE>(simd, row(0), &mut special);
    for (i, oy) in outputs.enumerate() {
        let middle = columns::<S, WHOLE>(simd, row(2 * i + 1), &mut special);
        let below = columns::<S, WHOLE>(simd, row(2 * i + 2), &mut special);
        let mut best = above;
        for v in 0..3 {
            best[v] = simd.max(below[v], simd.max(middle[v], best[v]));
        }
        above = below;
        let (even, odd) = simd.deinterleave(best[0], best[1]);
        let best = simd.max(simd.shift_in(even, best[2]), simd.max(odd, even));
        store::<S, false>(simd, (best, best), &mut values.row_mut(oy)[at..], &mut []);
    }
    simd.add(special[0], special[1])
}

/// Two vectors of columns of a row, and the one that follows them in all lanes.
#[inline(always)]
fn columns<S: Simd, const WHOLE: bool>(simd: S, row: &[f32], special: &mut [S::F32; 2]) -> [S::F32; 3] {
    let (zero, beyond) = (simd.splat(0.0), simd.splat(BEYOND));
    let v = if WHOLE {
        let row = &row[..2 * S::LANES + 1];
        [simd.load(row), simd.load(&row[S::LANES..]), simd.splat(row[2 * S::LANES])]
    } else {
        match row.len() > S::LANES {
            true => [simd.load(row), simd.load_partial(&row[S::LANES..], BEYOND), beyond],
            false => [simd.load_partial(row, BEYOND), beyond, beyond],
        }
    };
    special[0] = simd.fma(v[0], zero, special[0]);
    special[1] = simd.fma(v[1], zero, special[1]);
    if WHOLE {
        special[0] = simd.fma(v[2], zero, special[0]);
    }
    v
}
