//! Unpooling of square windows of 2 or 3 cells at a stride of 2: which windows cover a cell follows from whether its row
//! and its column are even, so that rows come in pairs and columns in interleaved vectors.
//!
//! ```text
//! windows k − 1, k of 3 cells          cell 2k      offset 2 of k − 1 and offset 0 of k
//!   ┌─────┐                            cell 2k + 1  offset 1 of k
//!   0  1  2                            both in rows and in columns: offset = 3 · row + column
//!         0  1  2
//! ```

use super::{Unpool, hold_row};
use crate::aligned::AlignedBuf;
use crate::rows::{present_rows, store_block, whole_cache_lines, whole_vectors};
use crate::simd::{Simd, SimdOp};

/// A pool of `TAPS` × `TAPS` cells, 2 or 3, at strides of 2, without dilation.
pub(super) struct Paired<'a, const TAPS: usize>(pub(super) Unpool<'a>);

impl<const TAPS: usize> SimdOp for Paired<'_, TAPS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(TAPS == 2 || TAPS == 3) };
        let Unpool { geometry, signal, switches, window, planes } = self.0;
        let [top, left, ..] = geometry.pads;
        // Pairs of padded columns, of which the first window is window `x0`; a window before it reaches into them, too.
        let x0 = (window.x0 + left) / 2;
        let skip = (window.x0 + left) % 2;
        let pairs = (window.width() + skip).div_ceil(2);
        let present = present_rows(signal);
        let (lo, hi) = (present.x0.max(x0.saturating_sub(1)), present.x1.min(x0 + pairs));
        let (lo, hi) = if lo < hi { (lo, hi) } else { (present.x0, present.x0) };
        // A line has a vector of room before window x0, and values before their switches; beside the signal zeros.
        let pitch = whole_cache_lines(S::LANES + whole_vectors(simd, pairs));
        let to = if lo < hi { S::LANES + lo - x0 } else { 0 };
        let mut lines = [AlignedBuf::zeroed(2 * pitch), AlignedBuf::zeroed(2 * pitch)];
        let mut whole = [0, 1].map(|_| AlignedBuf::zeroed(2 * whole_vectors(simd, pairs)));
        for mut plane in planes {
            let (n, c) = (plane.image, plane.channel);
            let (first, last) = (window.y0 + top, window.y1 + top);
            for oy in first / 2..last.div_ceil(2) {
                let from = if oy == first / 2 && TAPS == 3 { oy.saturating_sub(1) } else { oy };
                if oy == 0 {
                    lines[1][..pitch].fill(0.0);
                }
                for oy in from..=oy {
                    let (values, named) = lines[oy % 2].split_at_mut(pitch);
                    let (values, named) = (&mut values[to..to + hi - lo], &mut named[to..to + hi - lo]);
                    if (present.y0..present.y1).contains(&oy) {
                        let row = &signal.row(n, c, oy)[lo - present.x0..hi - present.x0];
                        let bytes = switches.row(n, c, oy);
                        let bytes = &bytes[lo - switches.window().x0..hi - switches.window().x0];
                        hold_row(simd, row, bytes, values, named);
                    } else {
                        values.fill(0.0);
                    }
                }
                let held = Lines { before: &lines[(oy + 1) % 2], this: &lines[oy % 2], pitch };
                let (upper, lower) = (2 * oy >= first, 2 * oy + 1 < last);
                let rows = match (upper, lower) {
                    (true, true) => plane.row_pair_mut(2 * oy - top),
                    (true, false) => [plane.row_mut(2 * oy - top), &mut []],
                    _ => [&mut [], plane.row_mut(2 * oy + 1 - top)],
                };
                if skip == 0 {
                    held.rows::<S, TAPS>(simd, rows, pairs);
                } else {
                    // Not every pair is there whole: by way of rows that are.
                    let [a, b] = &mut whole;
                    held.rows::<S, TAPS>(simd, [&mut a[..], &mut b[..]], pairs);
                    for (row, whole) in rows.into_iter().zip([a, b]) {
                        row.copy_from_slice(&whole[1..1 + row.len()]);
                    }
                }
            }
        }
    }
}

/// Rows of the signal: that of the windows above and that of the windows which begin in this pair of rows.
struct Lines<'a> {
    before: &'a [f32],
    this: &'a [f32],
    /// From values to switches.
    pitch: usize,
}

impl Lines<'_> {
    /// A pair of rows of cells, of which one may be empty, as far as they reach. Sums are in the windows' order.
    #[inline(always)]
    fn rows<S: Simd, const TAPS: usize>(&self, simd: S, [upper, lower]: [&mut [f32]; 2], pairs: usize) {
        for at in (0..pairs).step_by(S::LANES) {
            let (before, this) = (self.held(simd, self.before, at), self.held(simd, self.this, at));
            // By row, then by column.
            let mut cells = [[simd.splat(0.0); 2]; 2];
            if TAPS == 3 {
                cells[0][0] = bring(simd, cells[0][0], before[1], 8);
                cells[0][0] = bring(simd, cells[0][0], before[0], 6);
                cells[0][1] = bring(simd, cells[0][1], before[0], 7);
            }
            for row in 0..2 {
                if TAPS == 3 {
                    cells[row][0] = bring(simd, cells[row][0], this[1], row * TAPS + 2);
                }
                for column in 0..2 {
                    cells[row][column] = bring(simd, cells[row][column], this[0], row * TAPS + column);
                }
            }
            for (row, [even, odd]) in [&mut *upper, &mut *lower].into_iter().zip(cells) {
                let (a, b) = simd.interleave(even, odd);
                if let Some(row) = row.get_mut(2 * at..) {
                    store_block(simd, [a, b], row);
                }
            }
        }
    }

    /// The values of the windows `at` and on of a line and their switches; then those of the windows one before.
    #[inline(always)]
    fn held<S: Simd>(&self, simd: S, line: &[f32], at: usize) -> [(S::F32, S::F32); 2] {
        let (values, named) = (&line[at..at + 2 * S::LANES], &line[self.pitch + at..self.pitch + at + 2 * S::LANES]);
        let own = (simd.load(&values[S::LANES..]), simd.load(&named[S::LANES..]));
        let before = (simd.load(&values[S::LANES - 1..]), simd.load(&named[S::LANES - 1..]));
        [own, before]
    }
}

/// `sum`, and on top the values of those windows that name their cell `name`.
#[inline(always)]
fn bring<S: Simd>(simd: S, sum: S::F32, (values, named): (S::F32, S::F32), name: usize) -> S::F32 {
    simd.add_where(simd.eq(named, simd.splat(name as f32)), sum, values)
}
