//! The three transforms of F(m×m, r×r) along one axis, over vectors: Bᵀd of an input, Gg of a filter, Aᵀy of a result.
//!
//! The interpolation points are 0, ±1, (±2, (±½,)) ∞ for α = m + r − 1 = 4, 6, 8 (Lavin & Gray 2016, §4; the rows for ±½ are
//! scaled so that Aᵀ holds powers of two only). Bᵀ depends on the points alone: r = 3 with m = 6 and r = 5 with m = 4 share
//! theirs, and α = 7 has those of 8 but ∞, which no other place knows of. α = 3 and 5 have 0, 1, (−1, 2,) ∞; α = 9 has
//! ±1, ±¼, ±11/16, ±2, ∞. Arrays have [`MAX_ALPHA`] entries; those beyond α (or m) are zero.

use super::filters::GROUP;
use crate::simd::{ROWS, Simd, SimdOp};

/// Largest α.
pub(super) const MAX_ALPHA: usize = ROWS;

/// The points of α = 9, each with its negative, but ∞: of those tried the four whose rounding is least. Their powers and the
/// coefficients below are exact.
const PAIRS: [f32; 4] = [1.0, 0.25, 0.6875, 2.0];

/// For each pair the coefficients of x⁰, x² and x⁴ in ∏ (x² − q²) over the others; that of x⁶ is 1.
const OTHERS: [[f32; 3]; 4] = {
    let (mut all, mut i) = ([[0.0; 3]; 4], 0);
    while i < 4 {
        let [a, b, c] = [(i + 1) % 4, (i + 2) % 4, (i + 3) % 4];
        let [a, b, c] = [PAIRS[a] * PAIRS[a], PAIRS[b] * PAIRS[b], PAIRS[c] * PAIRS[c]];
        all[i] = [-a * b * c, a * b + b * c + c * a, -(a + b + c)];
        i += 1;
    }
    all
};

/// Those of x⁰, x², x⁴ and x⁶ in ∏ (x² − p²) over all.
const ALL: [f32; 4] = {
    let ([c, b, a], p) = (OTHERS[0], PAIRS[0] * PAIRS[0]);
    [-p * c, c - p * b, b - p * a, a - p]
};

/// The powers of the points.
const POWERS: [[f32; 7]; 4] = {
    let (mut all, mut i) = ([[1.0; 7]; 4], 0);
    while i < 28 {
        let (pair, k) = (i / 7, i % 7);
        if k > 0 {
            all[pair][k] = PAIRS[pair] * all[pair][k - 1];
        }
        i += 1;
    }
    all
};

/// Bᵀd: `ALPHA` input cells of a line.
#[inline(always)]
pub(super) fn input<S: Simd, const ALPHA: usize>(s: S, d: [S::F32; MAX_ALPHA]) -> [S::F32; MAX_ALPHA] {
    let mut r = [s.splat(0.0); MAX_ALPHA];
    match ALPHA {
        3 => {
            r[0] = s.sub(d[0], d[1]);
            r[1] = d[1];
            r[2] = s.sub(d[2], d[1]);
        }
        5 => {
            let (two, three) = (s.splat(2.0), s.splat(3.0));
            let (a, b) = (s.sub(d[3], d[1]), s.sub(d[2], d[0]));
            // (x − 2)(x² − 1), x(x + 1)(x − 2), x(x − 1)(x − 2), x(x² − 1), x(x² − 1)(x − 2)
            r[0] = s.sub(a, s.mul(two, b));
            r[1] = s.sub(s.sub(d[3], d[2]), s.mul(two, d[1]));
            r[2] = s.sub(s.fma(two, d[1], d[3]), s.mul(three, d[2]));
            r[3] = a;
            r[4] = s.sub(s.sub(d[4], d[2]), s.mul(two, a));
        }
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
        9 => {
            // With Q = ∏ (x² − q²) over the other pairs: x Q ± p Q for ±p; ∏ (x² − p²) of all for ∞.
            for i in 0..4 {
                let [c, b, a] = OTHERS[i];
                let (c, b, a) = (s.splat(c), s.splat(b), s.splat(a));
                let even = s.fma(c, d[0], s.fma(b, d[2], s.fma(a, d[4], d[6])));
                let odd = s.fma(c, d[1], s.fma(b, d[3], s.fma(a, d[5], d[7])));
                (r[2 * i], r[2 * i + 1]) = match PAIRS[i] {
                    1.0 => (s.add(odd, even), s.sub(odd, even)),
                    p => (s.fma(s.splat(p), even, odd), s.fma(s.splat(-p), even, odd)),
                };
            }
            let last = s.fma(s.splat(ALL[2]), d[4], s.fma(s.splat(ALL[3]), d[6], d[8]));
            r[8] = s.fma(s.splat(ALL[0]), d[0], s.fma(s.splat(ALL[1]), d[2], last));
        }
        _ => {
            let five = s.splat(5.25);
            r[0] = s.fma(five, s.sub(d[4], d[2]), s.sub(d[0], d[6]));
            if ALPHA == 8 {
                r[7] = s.fma(five, s.sub(d[3], d[5]), s.sub(d[7], d[1]));
            }
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

/// Aᵀy: what `ALPHA` products make of `M` cells of a line.
#[inline(always)]
pub(super) fn output<S: Simd, const ALPHA: usize, const M: usize>(s: S, y: [S::F32; MAX_ALPHA]) -> [S::F32; MAX_ALPHA] {
    let mut r = [s.splat(0.0); MAX_ALPHA];
    let (a, b) = (s.add(y[1], y[2]), s.sub(y[1], y[2]));
    match (ALPHA, M) {
        (9, _) => {
            // What ±p give of x⁰, x², … and of x, x³, …, in turn.
            let mut sums = [[s.splat(0.0); 2]; 4];
            for i in 0..4 {
                sums[i] = [s.add(y[2 * i], y[2 * i + 1]), s.sub(y[2 * i], y[2 * i + 1])];
            }
            for k in 0..M {
                // The first pair is ±1.
                r[k] = sums[0][k % 2];
                for i in 1..4 {
                    r[k] = match POWERS[i][k] {
                        1.0 => s.add(sums[i][k % 2], r[k]),
                        p => s.fma(s.splat(p), sums[i][k % 2], r[k]),
                    };
                }
            }
            r[M - 1] = s.add(r[M - 1], y[8]);
        }
        (3, _) => {
            r[0] = s.add(y[0], y[1]);
            r[1] = s.add(y[1], y[2]);
        }
        (5, _) => {
            let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
            r[0] = s.add(s.add(y[0], a), y[3]);
            r[1] = s.fma(two, y[3], b);
            r[2] = s.fma(four, y[3], a);
            r[3] = s.add(s.fma(eight, y[3], b), y[4]);
        }
        (4, _) => {
            r[0] = s.add(y[0], a);
            r[1] = s.sub(b, y[3]);
        }
        (6, _) => {
            let (c, d) = (s.add(y[3], y[4]), s.sub(y[3], y[4]));
            r[0] = s.add(s.add(y[0], a), c);
            r[1] = s.fma(s.splat(2.0), d, b);
            r[2] = s.fma(s.splat(4.0), c, a);
            r[3] = s.add(s.fma(s.splat(8.0), d, b), y[5]);
        }
        (_, 4) => {
            let (c, d) = (s.add(y[3], y[4]), s.sub(y[3], y[4]));
            let (e, f) = (s.add(y[5], y[6]), s.sub(y[5], y[6]));
            let (two, four, eight) = (s.splat(2.0), s.splat(4.0), s.splat(8.0));
            r[0] = s.fma(eight, e, s.add(s.add(y[0], a), c));
            r[1] = s.fma(four, f, s.fma(two, d, b));
            r[2] = s.fma(two, e, s.fma(four, c, a));
            let last = if ALPHA == 8 { s.add(f, y[7]) } else { f };
            r[3] = s.add(s.fma(eight, d, b), last);
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

/// Whether 0 is among the points, the first of them.
pub(super) const fn has_zero(alpha: usize) -> bool {
    alpha != 9
}

/// Whether ∞ is among the points.
pub(super) const fn has_infinity(alpha: usize) -> bool {
    alpha != 7
}

/// Whether point `i` of `alpha` is ∞.
pub(super) const fn at_infinity(alpha: usize, i: usize) -> bool {
    has_infinity(alpha) && i + 1 == alpha
}

/// The rows of G for filters of `TAPS` along an axis: the powers of a point times its scale; for ∞ the last power alone.
pub(super) fn filter<const TAPS: usize>(alpha: usize) -> [[f64; TAPS]; MAX_ALPHA] {
    if alpha == 9 {
        return pairs();
    }
    // ±½: Aᵀ has the rest of the scale, 2⁵ for m = 6, 2³ for m = 4.
    let half = f64::from(1 << (5 + TAPS - alpha)) / 45.0;
    let finite: &[(f64, f64)] = match alpha {
        3 => &[(0.0, 1.0), (1.0, 1.0)],
        4 => &[(0.0, 1.0), (1.0, 0.5), (-1.0, 0.5)],
        5 => &[(0.0, 0.5), (1.0, -0.5), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 6.0)],
        6 => &[(0.0, 0.25), (1.0, -1.0 / 6.0), (-1.0, -1.0 / 6.0), (2.0, 1.0 / 24.0), (-2.0, 1.0 / 24.0)],
        _ => &[
            (0.0, 1.0),
            (1.0, -2.0 / 9.0),
            (-1.0, -2.0 / 9.0),
            (2.0, 1.0 / 90.0),
            (-2.0, 1.0 / 90.0),
            (0.5, half),
            (-0.5, half),
        ],
    };
    let mut g = [[0.0; TAPS]; MAX_ALPHA];
    for (row, (point, scale)) in g.iter_mut().zip(finite) {
        *row = std::array::from_fn(|tap| scale * f64::powi(*point, tap as i32));
    }
    if has_infinity(alpha) {
        g[alpha - 1][TAPS - 1] = 1.0;
    }
    g
}

/// The same for α = 9: over ∏ (p − q) of all other points.
fn pairs<const TAPS: usize>() -> [[f64; TAPS]; MAX_ALPHA] {
    let mut g = [[0.0; TAPS]; MAX_ALPHA];
    for (i, p) in PAIRS.into_iter().map(f64::from).enumerate() {
        let others = PAIRS.into_iter().filter(|&q| f64::from(q) != p).map(f64::from);
        let scale = others.map(|q| p * p - q * q).product::<f64>() * 2.0 * p;
        g[2 * i] = std::array::from_fn(|tap| p.powi(tap as i32) / scale);
        g[2 * i + 1] = std::array::from_fn(|tap| (-p).powi(tap as i32) / -scale);
    }
    g[8][TAPS - 1] = 1.0;
    g
}

/// G g Gᵀ of a [`GROUP`] of filters: place by place, filter beside filter.
pub(super) struct Filtered<'a, const TAPS: usize> {
    /// Of columns and of rows, with α of each.
    pub(super) g: &'a [[[f64; TAPS]; MAX_ALPHA]; 2],
    pub(super) alpha: [usize; 2],
    pub(super) filters: [[[f64; GROUP]; TAPS]; TAPS],
    /// Row by row.
    pub(super) u: &'a mut [[f32; GROUP]],
}

impl<const TAPS: usize> SimdOp for Filtered<'_, TAPS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (u, row) in self.u.chunks_exact_mut(self.alpha[1]).zip(&self.g[0]) {
            let mut line = [[0.0; GROUP]; TAPS];
            for (x, line) in line.iter_mut().enumerate() {
                for (filters, g) in self.filters.iter().zip(row) {
                    add(line, &filters[x], *g);
                }
            }
            for (u, row) in u.iter_mut().zip(&self.g[1]) {
                let mut sum = [0.0; GROUP];
                for (line, g) in line.iter().zip(row) {
                    add(&mut sum, line, *g);
                }
                *u = sum.map(|x| x as f32);
            }
        }
    }
}

#[inline(always)]
fn add(sum: &mut [f64; GROUP], x: &[f64; GROUP], g: f64) {
    for (sum, x) in sum.iter_mut().zip(x) {
        *sum += g * x;
    }
}
