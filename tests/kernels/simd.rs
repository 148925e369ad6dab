//! Every vector operation at every level against what it says of one number.

use switchback_kernels::Level;
use switchback_kernels::simd::{Simd, SimdOp};
use switchback_kernels::view::f16_to_f32;

/// Numbers that part the rules: signed zeros, subnormals, infinities, NaN, neighbours and halves.
const VALUES: [f32; 21] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1.5,
    2.5,
    -2.5,
    1.0e-40,
    -1.0e-40,
    3.402_823_5e38,
    f32::MIN_POSITIVE,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    16_777_217.0,
    0.1,
    -7.25,
    1.000_000_1,
    123.456,
    -99.0,
];

/// As many numbers as the widest vector, beginning anywhere in `VALUES`.
fn values(from: usize) -> Vec<f32> {
    (0..16).map(|i| VALUES[(from + i) % VALUES.len()]).collect()
}

#[track_caller]
fn assert_same(level: Level, what: &str, got: f32, want: f32) {
    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
    assert!(same, "{level} {what}: {got:e}, expected {want:e}");
}

struct Lanewise;

impl SimdOp for Lanewise {
    type Output = (usize, Vec<(&'static str, [f32; 3], f32)>);

    /// The results of every operation: its name, its operands, what came out.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut rows = Vec::new();
        for i in 0..VALUES.len() {
            for j in 0..VALUES.len() {
                let (x, y, z) = (values(i), values(j), values(i + 2 * j));
                let (a, b, c) = (simd.load(&x), simd.load(&y), simd.load(&z));
                let (one, zero) = (simd.splat(1.0), simd.splat(0.0));
                let flag = |m| simd.select(m, one, zero);
                let (gt, nan, other) = (simd.gt(a, b), simd.is_nan(a), simd.is_nan(b));
                for (name, v) in [
                    ("add", simd.add(a, b)),
                    ("sub", simd.sub(a, b)),
                    ("mul", simd.mul(a, b)),
                    ("div", simd.div(a, b)),
                    ("fma", simd.fma(a, b, c)),
                    ("max", simd.max(a, b)),
                    ("min", simd.min(a, b)),
                    ("sqrt", simd.sqrt(a)),
                    ("gt", flag(gt)),
                    ("eq", flag(simd.eq(a, b))),
                    ("is_nan", flag(nan)),
                    ("or", flag(simd.or(gt, other))),
                    ("and_not", flag(simd.and_not(other, nan))),
                    ("select", simd.select(gt, a, b)),
                    ("add_where", simd.add_where(gt, c, b)),
                ] {
                    let mut out = vec![0.0; S::LANES];
                    simd.store(v, &mut out);
                    rows.extend((0..S::LANES).map(|l| (name, [x[l], y[l], z[l]], out[l])));
                }
            }
        }
        (S::LANES, rows)
    }
}

#[test]
fn lanewise_operations_follow_their_scalar_rule() {
    for level in Level::available() {
        let (lanes, rows) = level.dispatch(Lanewise);
        assert_eq!(rows.len(), VALUES.len() * VALUES.len() * 15 * lanes);
        for (name, [a, b, c], got) in rows {
            let flag = |x: bool| if x { 1.0 } else { 0.0 };
            let want = match name {
                "add" => a + b,
                "sub" => a - b,
                "mul" => a * b,
                "div" => a / b,
                // A level without FMA rounds twice.
                "fma" if got.to_bits() == (a * b + c).to_bits() => got,
                "fma" => a.mul_add(b, c),
                "max" => [b, a][usize::from(a > b)],
                "min" => [b, a][usize::from(a < b)],
                // a + 0 where the mask is not set: −0 may become 0.
                "add_where" if c == 0.0 && got == 0.0 => got,
                "add_where" => [c, c + b][usize::from(a > b)],
                "sqrt" => a.sqrt(),
                "gt" => flag(a > b),
                "eq" => flag(a == b),
                "is_nan" => flag(a.is_nan()),
                "or" => flag(a > b || b.is_nan()),
                "and_not" => flag(b.is_nan() && !a.is_nan()),
                "select" => [b, a][usize::from(a > b)],
                _ => unreachable!(),
            };
            assert_same(level, &format!("{name} {a:e} {b:e} {c:e}"), got, want);
        }
    }
}

struct Memory;

impl SimdOp for Memory {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let lanes = S::LANES;
        let x: Vec<f32> = (0..2 * lanes).map(|i| i as f32 - 3.5).collect();
        for n in 0..=lanes + 1 {
            for at in (-2 - lanes as isize..=2 + n as isize).chain([isize::MIN, isize::MAX]) {
                let mut out = vec![9.0; lanes];
                simd.store(simd.load_within(&x[1..1 + n], at), &mut out);
                let inside = |l: usize| at.checked_add(l as isize).filter(|i| (0..n as isize).contains(i));
                let want: Vec<f32> = (0..lanes).map(|l| inside(l).map_or(0.0, |i| x[1 + i as usize])).collect();
                assert_eq!(out, want, "{n} floats from {at} on");
            }
        }
        for n in 0..=lanes {
            let mut out = vec![9.0; lanes + 1];
            simd.store(simd.load_partial(&x[1..1 + n], -1.0), &mut out);
            assert_eq!(out[..n], x[1..1 + n]);
            assert!(out[n..lanes].iter().all(|&v| v == -1.0) && out[lanes] == 9.0, "{n}: {out:?}");
            let mut out = vec![9.0; lanes + 1];
            simd.store_partial(simd.load(&x[1..]), &mut out[1..1 + n]);
            assert_eq!(out[1..1 + n], x[1..1 + n]);
            assert!(out[0] == 9.0 && out[1 + n..].iter().all(|&v| v == 9.0), "{n}: {out:?}");
        }
        // The same of any length, of which no more than a vector counts.
        for n in 0..lanes + 3 {
            let some = n.min(lanes);
            let mut out = vec![9.0; lanes + 3];
            simd.store(simd.load_some(&x[1..1 + n], -1.0), &mut out);
            assert_eq!(out[..some], x[1..1 + some]);
            assert!(out[some..lanes].iter().all(|&v| v == -1.0), "{n}: {out:?}");
            let mut out = vec![9.0; lanes + 4];
            simd.store_some(simd.load(&x[1..]), &mut out[1..1 + n]);
            assert_eq!(out[1..1 + some], x[1..1 + some]);
            assert!(out[0] == 9.0 && out[1 + some..].iter().all(|&v| v == 9.0), "{n}: {out:?}");
        }
        let mut out = vec![9.0; lanes + 2];
        simd.store(simd.splat(2.5), &mut out[1..]);
        assert!(out[0] == 9.0 && out[lanes + 1] == 9.0 && out[1..=lanes].iter().all(|&v| v == 2.5));
        for shift in 0..4 {
            let mut bytes = vec![0xAA; shift];
            bytes.extend(x.iter().flat_map(|v| v.to_le_bytes()));
            simd.store(simd.load_f32_bytes(&bytes[shift..]), &mut out);
            assert_eq!(out[..lanes], x[..lanes], "shift {shift}");
        }

        let (even, odd) = simd.deinterleave(simd.load(&x), simd.load(&x[lanes..]));
        let (mut at_even, mut at_odd) = (vec![0.0; lanes], vec![0.0; lanes]);
        simd.store(even, &mut at_even);
        simd.store(odd, &mut at_odd);
        for i in 0..lanes {
            assert_eq!((at_even[i], at_odd[i]), (x[2 * i], x[2 * i + 1]));
        }
        let three: Vec<f32> = (0..3 * lanes).map(|i| i as f32).collect();
        let thirds = simd.deinterleave3([0, 1, 2].map(|i| simd.load(&three[i * lanes..])));
        for (j, third) in thirds.into_iter().enumerate() {
            simd.store(third, &mut out);
            for l in 0..lanes {
                assert_eq!(out[l], three[3 * l + j]);
            }
        }
        let mut moved = vec![0.0; lanes];
        simd.store(simd.shift_in(simd.load(&x), simd.load(&x[lanes..])), &mut moved);
        assert_eq!(moved, x[1..=lanes]);
        let mut turned = [u32::MAX; 16];
        for (l, lane) in turned.iter_mut().enumerate().take(lanes) {
            *lane = (3 * l + 1) as u32 % lanes as u32;
        }
        simd.store(simd.permute(simd.load(&x), &turned), &mut moved);
        assert_eq!(moved, turned[..lanes].iter().map(|&lane| x[lane as usize]).collect::<Vec<_>>());
        let (low, high) = simd.interleave(even, odd);
        let mut both = vec![0.0; 2 * lanes];
        simd.store(low, &mut both);
        simd.store(high, &mut both[lanes..]);
        assert_eq!(both, x);

        // Short rows that overlap, in any order, up to the last element.
        let rows: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let mut at = [usize::MAX; 16];
        for l in 0..lanes {
            at[l] = 32 - 2 * l;
        }
        for stride in [8, 9, S::LANES] {
            let rows: Vec<f32> = (0..(S::LANES - 1) * stride + 8).map(|i| i as f32).collect();
            for (j, column) in simd.load_columns_apart(&rows, stride).into_iter().enumerate() {
                let mut lanes = vec![0.0; S::LANES];
                simd.store(column, &mut lanes);
                let want: Vec<f32> = (0..S::LANES).map(|l| (l * stride + j) as f32).collect();
                assert_eq!(lanes, want, "column {j} of rows {stride} apart");
            }
        }
        let columns = simd.load_columns(&rows, &at);
        for (j, &column) in columns.iter().enumerate() {
            simd.store(column, &mut out);
            for l in 0..lanes {
                assert_eq!(out[l], (at[l] + j) as f32);
            }
        }
        scattered::<S, 2>(simd, columns, &at);
        scattered::<S, 4>(simd, columns, &at);
        scattered::<S, 6>(simd, columns, &at);
        scattered::<S, 8>(simd, columns, &at);

        for first in 0..=255 {
            let x: Vec<f32> = (0..lanes).map(|i| ((first + 37 * i) % 256) as f32).collect();
            let mut bytes = vec![7; lanes + 2];
            simd.store_u8(simd.load(&x), &mut bytes[1..]);
            assert!(bytes[0] == 7 && bytes[lanes + 1] == 7);
            for i in 0..lanes {
                assert_eq!(f32::from(bytes[1 + i]), x[i]);
            }
            simd.store(simd.load_u8(&bytes[1..]), &mut out);
            assert_eq!(out[..lanes], x[..]);
        }
    }
}

/// `N` columns that hold at[l] + j go to rows that are one element longer, or as long as they are.
#[inline(always)]
fn scattered<S: Simd, const N: usize>(simd: S, columns: [S::F32; 8], at: &[usize; 16]) {
    for stride in [N, N + 1] {
        let mut rows = vec![-1.0; (S::LANES - 1) * stride + N];
        simd.store_columns::<N>(columns, &mut rows, stride);
        for (i, x) in rows.iter().enumerate() {
            let (l, j) = (i / stride, i % stride);
            assert_eq!(*x, if j < N { (at[l] + j) as f32 } else { -1.0 }, "{N} columns, row {l}");
        }
    }
}

#[test]
fn loads_and_stores_touch_their_elements_only() {
    for level in Level::available() {
        level.dispatch(Memory);
    }
}

struct Halves;

impl SimdOp for Halves {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        // One byte ahead, so that no half float is aligned.
        let bytes: Vec<u8> = [0].into_iter().chain((0..=u16::MAX).flat_map(u16::to_le_bytes)).collect();
        let mut out = vec![0.0; 1 << 16];
        for i in (0..out.len()).step_by(S::LANES) {
            simd.store(simd.load_f16_bytes(&bytes[1 + 2 * i..]), &mut out[i..]);
        }
        out
    }
}

#[test]
fn every_half_float_widens_exactly() {
    for level in Level::available() {
        for (bits, got) in level.dispatch(Halves).into_iter().enumerate() {
            assert_same(level, &format!("half {bits:#06x}"), got, f16_to_f32(bits as u16));
        }
    }
}

struct Exponents;

impl SimdOp for Exponents {
    type Output = (Vec<f32>, Vec<f32>);

    /// Powers of two from −126, and the rounding of 0.25 · i from −64.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let (mut powers, mut rounded) = (vec![0.0; 256], vec![0.0; 512]);
        for i in (0..254).step_by(S::LANES) {
            let x: Vec<f32> = (0..S::LANES).map(|l| ((i + l) as f32 - 126.0).min(127.0)).collect();
            simd.store(simd.exp2_integral(simd.load(&x)), &mut powers[i..]);
        }
        for i in (0..512).step_by(S::LANES) {
            let x: Vec<f32> = (0..S::LANES).map(|l| 0.25 * (i + l) as f32 - 64.0).collect();
            simd.store(simd.round(simd.load(&x)), &mut rounded[i..]);
        }
        (powers, rounded)
    }
}

struct Round(f32);

impl SimdOp for Round {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        simd.reduce_max(simd.round(simd.splat(self.0)))
    }
}

#[test]
fn powers_of_two_and_rounding() {
    for level in Level::available() {
        let (powers, rounded) = level.dispatch(Exponents);
        for i in 0..254 {
            assert_same(level, "2^i", powers[i], 2f64.powi(i as i32 - 126) as f32);
        }
        for i in 0..512 {
            assert_eq!(rounded[i], (0.25 * i as f32 - 64.0).round_ties_even(), "{level}");
        }
        for x in [0.499_999_97, 4_194_303.5, -4_194_303.5, 4_194_302.5, -0.75, 123_456.51] {
            assert_eq!(level.dispatch(Round(x)), x.round_ties_even(), "{level} {x}");
        }
    }
}

struct Reduce<'a>(&'a [f32]);

impl SimdOp for Reduce<'_> {
    type Output = (usize, f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let v = simd.load(self.0);
        (S::LANES, simd.reduce_sum(v), simd.reduce_max(v))
    }
}

#[test]
fn reductions_halve_in_the_documented_order() {
    for level in Level::available() {
        for seed in 0..50 {
            let x: Vec<f32> =
                (0..16).map(|i| ((seed * 31 + i * 17) % 23) as f32 / 7.0 - 1.3e3 * (i % 3) as f32).collect();
            let (lanes, sum, max) = level.dispatch(Reduce(&x));
            let mut halves = x[..lanes].to_vec();
            while halves.len() > 1 {
                let half = halves.len() / 2;
                halves = (0..half).map(|i| halves[i] + halves[i + half]).collect();
            }
            assert_same(level, "sum", sum, halves[0]);
            assert_same(level, "max", max, x[..lanes].iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
        let mut x = [f32::NEG_INFINITY; 16];
        assert_eq!(level.dispatch(Reduce(&x)).2, f32::NEG_INFINITY);
        x[3] = f32::INFINITY;
        assert_eq!(level.dispatch(Reduce(&x)).2, f32::INFINITY);
    }
}

struct Rsqrt<'a>(&'a mut [f32]);

impl SimdOp for Rsqrt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for x in self.0.chunks_mut(S::LANES) {
            let r = simd.rsqrt(simd.load_partial(x, 1.0));
            simd.store_partial(r, x);
        }
    }
}

#[test]
fn reciprocal_roots_are_within_their_bound() {
    let inputs: Vec<f32> = (0..100_000).map(|i| (i as f32 / 400.0 - 125.0).exp2() * (1.0 + i as f32 / 3e5)).collect();
    for level in Level::available() {
        let mut got = inputs.clone();
        level.dispatch(Rsqrt(&mut got));
        for (x, r) in inputs.iter().zip(&got) {
            let exact = 1.0 / f64::from(*x).sqrt();
            let error = (f64::from(*r) - exact).abs() / exact;
            assert!(error <= 2f64.powi(-22), "{level}: 1 / √{x:e} = {r:e}, {error:e} off");
        }
        let mut special = [f32::NAN];
        level.dispatch(Rsqrt(&mut special));
        assert!(special[0].is_nan(), "{level}");
    }
}

struct Bytes(usize);

impl SimdOp for Bytes {
    type Output = Vec<u8>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<u8> {
        let numbers: Vec<f32> = (0..64).map(|i| (255 - 3 * i) as f32).collect();
        let mut bytes = vec![1; self.0.min(S::LANES) + 1];
        let len = bytes.len() - 1;
        simd.store_u8_partial(simd.load(&numbers), &mut bytes[..len]);
        bytes
    }
}

#[test]
fn a_part_of_a_vector_goes_into_as_many_bytes() {
    for level in Level::available() {
        for len in 0..=16 {
            let bytes = level.dispatch(Bytes(len));
            let (last, stored) = bytes.split_last().expect("one more than stored");
            let want: Vec<u8> = (0..stored.len()).map(|i| 255 - 3 * i as u8).collect();
            assert_eq!((stored, *last), (&want[..], 1), "{level} {len}");
        }
    }
}
