//! Max-pooling at a stride of 2, down the columns first: what an output row reads is one pass over its rows.
//!
//! ```text
//! rows      ▓▓▓▓▓▓▓▓   maxima of each column, and the rows they are in
//!           ▓▓▓▓▓▓▓▓ ─▶  e o e o e o e o ─▶ even, odd, even moved by one ─▶ outputs, switches
//!           ▓▓▓▓▓▓▓▓
//! ```
//! A column's first maximum is in its topmost row, so of equal maxima of a window the one of the smallest name is its
//! first in row-major order.

use super::{BEYOND, Pool, contest, pool_any_rows, store, strips, tapless};
use crate::geometry::Geometry;
use crate::rows::tap_at;
use crate::simd::{Simd, SimdOp};

/// The most rows of a window.
pub(super) const MAX_ROWS: usize = 3;

/// A pool of `TAPS` columns, 2 or 3, at a stride of 2, and at most [`MAX_ROWS`] rows at any.
pub(super) struct Paired<'a, const TAPS: usize, const SWITCHES: bool>(pub(super) Pool<'a>);

impl<const TAPS: usize, const SWITCHES: bool> SimdOp for Paired<'_, TAPS, SWITCHES> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Pool { geometry, input, window, planes } = self.0;
        let Geometry { kernel, pads, .. } = *geometry;
        let first = (window.x0 * 2) as isize - pads[1] as isize - input.window().x0 as isize;
        // Outputs on the left that read padding, and where in a row the others begin.
        let lo = (first.min(0).unsigned_abs().div_ceil(2)).min(window.width());
        let from = (first + 2 * lo as isize).max(0) as usize;
        let tapless = tapless(geometry, window, input.full()[1]);
        let stripes = !SWITCHES && TAPS == 3 && !tapless && lo == 0 && window.width() <= strips::MOST * S::LANES;
        let striped = if stripes { strips::rows(geometry, window, input.full()[0]) } else { 0..0 };
        for (mut values, mut switches) in planes {
            let (n, c) = (values.image, values.channel);
            let mut special = simd.splat(0.0);
            if !striped.is_empty() {
                let source = &strips::Source::new(input, [n, c], 2 * striped.start - pads[0], from);
                special = strips::maxima(simd, source, &mut values, striped.clone());
            }
            for oy in window.y0..window.y1 {
                if striped.contains(&oy) {
                    continue;
                }
                let (mut rows, mut names, mut count) = ([&[][..]; MAX_ROWS], [0.0; MAX_ROWS], 0);
                for ky in 0..kernel[0] {
                    if let Some(iy) = tap_at(geometry, 0, oy, ky, input.full()[0]) {
                        (rows[count], names[count]) = (input.row(n, c, iy), (ky * TAPS) as f32);
                        count += 1;
                    }
                }
                let values = values.row_mut(oy);
                let switches = switches.as_mut().map_or(&mut [][..], |s| s.row_mut(oy));
                if tapless || count == 0 {
                    values.fill(f32::NEG_INFINITY);
                    switches.fill(0);
                    special = if tapless { simd.splat(f32::NAN) } else { special };
                    continue;
                }
                let beside = beside::<TAPS>(&rows[..count], &names, first, &mut values[..lo], switches);
                let values = &mut values[lo..];
                let switches = if SWITCHES { &mut switches[lo..] } else { &mut [] };
                let inner = rows.map(|row| row.get(from..).unwrap_or_default());
                let found = match count {
                    1 => Rows::<1>::new(&inner, &names).maxima::<S, TAPS, SWITCHES>(simd, values, switches),
                    2 => Rows::<2>::new(&inner, &names).maxima::<S, TAPS, SWITCHES>(simd, values, switches),
                    _ => Rows::<3>::new(&inner, &names).maxima::<S, TAPS, SWITCHES>(simd, values, switches),
                };
                special = simd.add(special, simd.add(found, simd.splat(beside)));
            }
            if simd.reduce_sum(special).is_nan() {
                pool_any_rows(geometry, input, window, &mut values, switches.as_mut());
            }
        }
    }
}

/// The maxima of outputs that may read padding, and their names where `switches` has room; a NaN where they read one or
/// an infinity, else a zero. Output 0 begins at element `first`.
#[inline(always)]
fn beside<const TAPS: usize>(
    rows: &[&[f32]],
    names: &[f32],
    first: isize,
    values: &mut [f32],
    switches: &mut [u8],
) -> f32 {
    let mut special = 0.0;
    for (o, value) in values.iter_mut().enumerate() {
        let mut best = (f32::NEG_INFINITY, 0.0);
        for (row, name) in rows.iter().zip(names) {
            for tap in 0..TAPS {
                if let Some(&v) = row.get((first + (2 * o + tap) as isize) as usize) {
                    special += 0.0 * v;
                    if v > best.0 {
                        best = (v, name + tap as f32);
                    }
                }
            }
        }
        *value = best.0 + 0.0;
        if let Some(switch) = switches.get_mut(o) {
            *switch = best.1 as u8;
        }
    }
    special
}

/// The rows of one row of outputs, from what its first output reads on, and the switch of each row's first tap.
#[derive(Clone, Copy)]
struct Rows<'a, const ROWS: usize> {
    rows: [&'a [f32]; ROWS],
    names: [f32; ROWS],
}

impl<'a, const ROWS: usize> Rows<'a, ROWS> {
    /// The first `ROWS` of them.
    #[inline(always)]
    fn new(rows: &[&'a [f32]; MAX_ROWS], names: &[f32; MAX_ROWS]) -> Self {
        Self { rows: std::array::from_fn(|i| rows[i]), names: std::array::from_fn(|i| names[i]) }
    }

    /// The maxima of `TAPS` columns, 2 or 3, for each of `values`, and with `SWITCHES` their names. Every output must
    /// read some element. Some lane of what it gives is NaN where they read a NaN or an infinity.
    #[inline(always)]
    fn maxima<S: Simd, const TAPS: usize, const SWITCHES: bool>(
        &self,
        simd: S,
        values: &mut [f32],
        switches: &mut [u8],
    ) -> S::F32 {
        const { assert!(TAPS == 2 || TAPS == 3) };
        let mut special = [simd.splat(0.0); 2];
        let mut pair = self.pair::<S, SWITCHES>(simd, 0, &mut special);
        let mut at = 0;
        while at < values.len() {
            let [mut even, mut odd] = pair;
            if SWITCHES {
                odd.1 = simd.add(odd.1, simd.splat(1.0));
            }
            let mut best = (simd.max(odd.0, even.0), even.1);
            if TAPS == 3 {
                let next = 2 * (at + S::LANES);
                // Behind the last columns there is nothing to look for.
                pair = match self.rows.iter().any(|row| row.len() > next) {
                    true => self.pair::<S, SWITCHES>(simd, next, &mut special),
                    false => [(simd.splat(BEYOND), simd.splat(0.0)); 2],
                };
                let mut third = (simd.shift_in(even.0, pair[0].0), even.1);
                best.0 = simd.max(third.0, best.0);
                if SWITCHES {
                    third.1 = simd.add(simd.shift_in(even.1, pair[0].1), simd.splat(2.0));
                    let beyond = simd.splat(256.0);
                    for tap in [&mut even, &mut odd, &mut third] {
                        tap.1 = simd.select(simd.eq(tap.0, best.0), tap.1, beyond);
                    }
                    best.1 = simd.min(simd.min(even.1, odd.1), third.1);
                }
            } else if SWITCHES {
                let later = simd.gt(even.1, odd.1);
                let name = simd.select(simd.gt(odd.0, even.0), odd.1, even.1);
                best.1 = simd.select(simd.eq(odd.0, even.0), simd.select(later, odd.1, even.1), name);
            }
            let switches = if SWITCHES { &mut switches[at..] } else { &mut [] };
            store::<S, SWITCHES>(simd, best, &mut values[at..], switches);
            at += S::LANES;
            if TAPS == 2 && at < values.len() {
                pair = self.pair::<S, SWITCHES>(simd, 2 * at, &mut special);
            }
        }
        simd.add(special[0], special[1])
    }

    /// The maxima of the even and of the odd ones of two vectors of columns, and the switches of their rows' first taps.
    #[inline(always)]
    fn pair<S: Simd, const SWITCHES: bool>(
        &self,
        simd: S,
        at: usize,
        special: &mut [S::F32; 2],
    ) -> [(S::F32, S::F32); 2] {
        let zero = simd.splat(0.0);
        let mut best = [(zero, zero); 2];
        for i in 0..ROWS {
            let row = self.rows[i].get(at..).unwrap_or_default();
            let name = simd.splat(self.names[i]);
            let vectors = match row.len() {
                len if len >= 2 * S::LANES => [simd.load(row), simd.load(&row[S::LANES..])],
                len if len > S::LANES => [simd.load(row), simd.load_partial(&row[S::LANES..], BEYOND)],
                _ => [simd.load_partial(row, BEYOND), simd.splat(BEYOND)],
            };
            for half in 0..2 {
                let v = vectors[half];
                special[half] = simd.fma(v, zero, special[half]);
                best[half] = if i == 0 { (v, name) } else { contest::<S, SWITCHES>(simd, best[half], v, name) };
            }
        }
        let (even, odd) = simd.deinterleave(best[0].0, best[1].0);
        let names = if SWITCHES { simd.deinterleave(best[0].1, best[1].1) } else { (zero, zero) };
        [(even, names.0), (odd, names.1)]
    }
}
