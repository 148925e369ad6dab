//! The three transforms of F(m×m, 3×3) along one axis, over vectors: Bᵀd of an input, Gg of a filter, Aᵀy of a result.
//!
//! The interpolation points are 0, ±1, (±2, (±½,)) ∞ for m = 2, 4, 6 (Lavin & Gray 2016, §4; the rows for ±½ are scaled so
//! that Aᵀ holds powers of two only). Arrays have eight entries; those beyond m + 2 (or m) are zero.

use crate::simd::Simd;

/// Largest m + 2.
pub(super) const MAX_ALPHA: usize = 8;

/// Bᵀd: `ALPHA` input cells of a line.
#[inline(always)]
pub(super) fn input<S: Simd, const ALPHA: usize>(s: S, d: [S::F32; 8]) -> [S::F32; 8] {
    let mut r = [s.splat(0.0); 8];
    match ALPHA {
        4 => {
            r[0] = s.sub(d[0], d[2]);
            r[1] = s.add(d[1], d[2]);
            r[2] = s.sub(d[2], d[1]);
            r[3] = s.sub(d[1], d[3]);
        }
        6 => {
            let (four, minus_four) = (s.splat(4.0), s.splat(-4.0));
            let (two, minus_five) = (s.splat(2.0), s.splat(-5.0));
            r[0] = s.fma(four, d[0], s.fma(minus_five, d[2], d[4]));
            let (even, odd) = (s.fma(minus_four, d[2], d[4]), s.fma(minus_four, d[1], d[3]));
            r[1] = s.add(even, odd);
            r[2] = s.sub(even, odd);
            let (even, odd) = (s.sub(d[4], d[2]), s.mul(two, s.sub(d[3], d[1])));
            r[3] = s.add(even, odd);
            r[4] = s.sub(even, odd);
            r[5] = s.fma(four, d[1], s.fma(minus_five, d[3], d[5]));
        }
        _ => {
            let five = s.splat(5.25);
            r[0] = s.fma(five, s.sub(d[4], d[2]), s.sub(d[0], d[6]));
            r[7] = s.fma(five, s.sub(d[3], d[5]), s.sub(d[7], d[1]));
            let m = s.splat(-4.25);
            let (even, odd) = (s.fma(m, d[4], s.add(d[2], d[6])), s.fma(m, d[3], s.add(d[1], d[5])));
            r[1] = s.add(even, odd);
            r[2] = s.sub(even, odd);
            let (m, quarter, half, two) = (s.splat(-1.25), s.splat(0.25), s.splat(0.5), s.splat(2.0));
            let n = s.splat(-2.5);
            let even = s.fma(m, d[4], s.fma(quarter, d[2], d[6]));
            let odd = s.fma(half, d[1], s.fma(n, d[3], s.mul(two, d[5])));
            r[3] = s.add(even, odd);
            r[4] = s.sub(even, odd);
            let even = s.fma(s.splat(4.0), s.fma(m, d[4], d[2]), d[6]);
            let odd = s.fma(two, d[1], s.fma(n, d[3], s.mul(half, d[5])));
            r[5] = s.add(even, odd);
            r[6] = s.sub(even, odd);
        }
    }
    r
}

/// Aᵀy: what `ALPHA` products make of `ALPHA` − 2 cells of a line.
#[inline(always)]
pub(super) fn output<S: Simd, const ALPHA: usize>(s: S, y: [S::F32; 8]) -> [S::F32; 8] {
    let mut r = [s.splat(0.0); 8];
    let (a, b) = (s.add(y[1], y[2]), s.sub(y[1], y[2]));
    match ALPHA {
        4 => {
            r[0] = s.add(y[0], a);
            r[1] = s.sub(b, y[3]);
        }
        6 => {
            let (c, d) = (s.add(y[3], y[4]), s.sub(y[3], y[4]));
            r[0] = s.add(s.add(y[0], a), c);
            r[1] = s.fma(s.splat(2.0), d, b);
            r[2] = s.fma(s.splat(4.0), c, a);
            r[3] = s.add(s.fma(s.splat(8.0), d, b), y[5]);
        }
        _ => {
            let (c, d) = (s.add(y[3], y[4]), s.sub(y[3], y[4]));
            let (e, f) = (s.add(y[5], y[6]), s.sub(y[5], y[6]));
            let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
            let (sixteen, thirty_two) = (s.splat(16.0), s.splat(32.0));
            r[0] = s.fma(thirty_two, e, s.add(s.add(y[0], a), c));
            r[1] = s.fma(sixteen, f, s.fma(two, d, b));
            r[2] = s.fma(eight, e, s.fma(four, c, a));
            r[3] = s.fma(four, f, s.fma(eight, d, b));
            r[4] = s.fma(two, e, s.fma(sixteen, c, a));
            r[5] = s.add(s.fma(thirty_two, d, b), s.add(f, y[7]));
        }
    }
    r
}

/// The rows of G.
pub(super) fn filter(alpha: usize) -> [[f64; 3]; MAX_ALPHA] {
    let mut g = [[0.0; 3]; MAX_ALPHA];
    match alpha {
        4 => g[..4].copy_from_slice(&[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]),
        6 => {
            let (a, b) = (-1.0 / 6.0, [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0]);
            g[..6].copy_from_slice(&[[0.25, 0.0, 0.0], [a, a, a], [a, -a, a], b, [b[0], -b[1], b[2]], [0.0, 0.0, 1.0]]);
        }
        _ => {
            let (a, b) = (-2.0 / 9.0, [1.0 / 90.0, 1.0 / 45.0, 2.0 / 45.0]);
            let c = [1.0 / 45.0, 1.0 / 90.0, 1.0 / 180.0];
            g = [
                [1.0, 0.0, 0.0],
                [a, a, a],
                [a, -a, a],
                b,
                [b[0], -b[1], b[2]],
                c,
                [c[0], -c[1], c[2]],
                [0.0, 0.0, 1.0],
            ];
        }
    }
    g
}
