//! Softmax and its logarithm, with the maximum taken off first.
//!
//! ```text
//! softmax(x)ᵢ = exp(xᵢ − m) / Σ exp(xⱼ − m)     log_softmax(x)ᵢ = (xᵢ − m) − ln Σ exp(xⱼ − m)     m = max x
//! ```
//! −∞ among finite numbers has probability 0. A NaN, a +∞, or nothing but −∞ makes the whole group NaN.

use crate::Cpu;
use crate::groups::for_parts;
use crate::simd::{Simd, SimdOp};

/// Over groups of `len` numbers that lie `stride` apart: `data` is `outer × len × stride`, and for each outer index
/// and each of the `stride` places the `len` numbers are normalised. (`stride` 1: rows. Per place of a map: len = channels,
/// stride = height · width.)
///
/// # Example
///
/// ```
/// use switchback_kernels::Cpu;
/// use switchback_kernels::softmax::softmax;
///
/// let mut x = [1.0, 1.0, 1.0, 1.0, /* the second row */ 0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
/// softmax(&Cpu::new(1), &mut x, 4, 1);
/// assert_eq!(x, [0.25, 0.25, 0.25, 0.25, 0.5, 0.0, 0.5, 0.0]);
/// ```
pub fn softmax(cpu: &Cpu, data: &mut [f32], len: usize, stride: usize) {
    run::<false>(cpu, data, len, stride);
}

/// The logarithm of [`softmax`].
pub fn log_softmax(cpu: &Cpu, data: &mut [f32], len: usize, stride: usize) {
    run::<true>(cpu, data, len, stride);
}

/// Places that a task takes at a time where groups lie across.
const TILE: usize = 64;

fn run<const LOG: bool>(cpu: &Cpu, data: &mut [f32], len: usize, stride: usize) {
    assert!(len > 0 && stride > 0, "groups of {len} numbers, {stride} apart");
    assert!(data.len().is_multiple_of(len * stride), "{} numbers in groups of {len} × {stride}", data.len());
    if stride == 1 {
        let rows = data.chunks_exact_mut(len).collect();
        for_parts(cpu, rows, len, |rows| cpu.level.dispatch(Along::<LOG>(rows)));
    } else {
        let mut tiles = Vec::with_capacity(data.len() / (len * stride) * stride.div_ceil(TILE));
        for block in data.chunks_exact_mut(len * stride) {
            let first = tiles.len();
            tiles.extend((0..stride.div_ceil(TILE)).map(|_| Vec::with_capacity(len)));
            for row in block.chunks_exact_mut(stride) {
                for (tile, places) in tiles[first..].iter_mut().zip(row.chunks_mut(TILE)) {
                    tile.push(places);
                }
            }
        }
        for_parts(cpu, tiles, len * TILE, |tiles| cpu.level.dispatch(Across::<LOG>(tiles)));
    }
}

/// eˣ for x ≤ 0 within 2 ulp; 0 below −87.3, where the result would be subnormal; NaN stays NaN.
///
/// x = n · ln 2 + r with |r| ≤ ln 2 / 2, ln 2 in two parts of which the first times n is exact; eʳ by its series to r⁷.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let lowest = simd.splat(-87.3);
    // The second operand passes where it is NaN.
    let clamped = simd.max(lowest, x);
    let n = simd.round(simd.mul(clamped, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.fma(n, simd.splat(-355.0 / 512.0), clamped);
    let r = simd.fma(n, simd.splat(2.121_944_4e-4), r);
    let mut series = simd.splat(1.0 / 5040.0);
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        series = simd.fma(series, r, simd.splat(coefficient));
    }
    let series = simd.add(simd.fma(simd.mul(r, r), series, r), simd.splat(1.0));
    let y = simd.mul(series, simd.exp2_integral(n));
    simd.select(simd.gt(lowest, x), simd.splat(0.0), y)
}

/// Groups that lie along rows.
struct Along<'a, const LOG: bool>(Vec<&'a mut [f32]>);

impl<const LOG: bool> SimdOp for Along<'_, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in self.0 {
            let mut max = simd.splat(f32::NEG_INFINITY);
            for x in row.chunks(S::LANES) {
                max = simd.max(simd.load_some(x, f32::NEG_INFINITY), max);
            }
            let max = simd.splat(simd.reduce_max(max));
            let mut sum = simd.splat(0.0);
            for x in row.chunks_mut(S::LANES) {
                // The filled lanes add exp(−∞) = 0, unless the maximum is infinite, and then all is NaN anyway.
                let shifted = simd.sub(simd.load_some(x, f32::NEG_INFINITY), max);
                let e = exp(simd, shifted);
                sum = simd.add(sum, e);
                simd.store_some(if LOG { shifted } else { e }, x);
            }
            let sum = simd.reduce_sum(sum);
            let total = simd.splat(if LOG { sum.ln() } else { 1.0 / sum });
            for x in row.chunks_mut(S::LANES) {
                let v = simd.load_some(x, 0.0);
                simd.store_some(if LOG { simd.sub(v, total) } else { simd.mul(v, total) }, x);
            }
        }
    }
}

/// Tiles of groups that lie across: `len` pieces of rows each, a group a column.
struct Across<'a, const LOG: bool>(Vec<Vec<&'a mut [f32]>>);

impl<const LOG: bool> SimdOp for Across<'_, LOG> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for mut tile in self.0 {
            let width = tile[0].len();
            for x0 in (0..width).step_by(S::LANES) {
                let columns = x0..(x0 + S::LANES).min(width);
                let mut max = simd.splat(f32::NEG_INFINITY);
                for row in &tile {
                    max = simd.max(simd.load_some(&row[columns.clone()], 0.0), max);
                }
                let mut sum = simd.splat(0.0);
                for row in &mut tile {
                    let x = &mut row[columns.clone()];
                    let shifted = simd.sub(simd.load_some(x, 0.0), max);
                    let e = exp(simd, shifted);
                    sum = simd.add(sum, e);
                    simd.store_some(if LOG { shifted } else { e }, x);
                }
                let total = if LOG { logarithm(simd, sum) } else { simd.div(simd.splat(1.0), sum) };
                for row in &mut tile {
                    let x = &mut row[columns.clone()];
                    let v = simd.load_some(x, 0.0);
                    simd.store_some(if LOG { simd.sub(v, total) } else { simd.mul(v, total) }, x);
                }
            }
        }
    }
}

/// ln of every lane, one after the other.
#[inline(always)]
fn logarithm<S: Simd>(simd: S, x: S::F32) -> S::F32 {
    let mut lanes = [0.0; 64];
    simd.store(x, &mut lanes);
    for x in &mut lanes[..S::LANES] {
        *x = x.ln();
    }
    simd.load(&lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    struct Exp<'a>(&'a mut [f32]);

    impl SimdOp for Exp<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            for x in self.0.chunks_mut(S::LANES) {
                let y = exp(simd, simd.load_partial(x, 0.0));
                simd.store_partial(y, x);
            }
        }
    }

    #[test]
    fn exp_is_within_two_ulp() {
        let inputs: Vec<f32> = (0..200_000).map(|i| -87.3 * (i as f32 / 199_999.0)).collect();
        for level in Level::available() {
            let mut outputs = inputs.clone();
            level.dispatch(Exp(&mut outputs));
            for (&x, &y) in inputs.iter().zip(&outputs) {
                let exact = f64::from(x).exp();
                let ulp = f64::from((exact as f32).next_up()) - f64::from(exact as f32);
                assert!((f64::from(y) - exact).abs() <= 2.0 * ulp, "{level}: exp({x}) = {y:e}, not {exact:e}");
            }
            let mut special = [0.0, -0.0, f32::NEG_INFINITY, -1e30, -87.31, f32::NAN, -1e-30];
            level.dispatch(Exp(&mut special));
            assert_eq!(special[..5], [1.0, 1.0, 0.0, 0.0, 0.0], "{level}");
            assert!(special[5].is_nan() && special[6] == 1.0, "{level}");
        }
    }
}
