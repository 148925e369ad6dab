//! The portable level: eight lanes of `wide`, whose instructions the build's target fixes (two SSE2 halves on a plain
//! x86-64 build, NEON, wasm or scalar code elsewhere).

use wide::{f32x8, u32x8};

use super::{Simd, SimdOp};
use crate::half::f32_to_f16;

/// The token of the portable level, which every machine has.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Exact for every half float: 2¹¹² moves the exponent's bias from 15 to 127, subnormals included; infinities and NaN
/// alone need their exponent filled up.
#[inline(always)]
fn widen_half(h: u16) -> f32 {
    let magnitude = u32::from(h & 0x7fff) << 13;
    let scaled = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let special = if h & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(u32::from(h & 0x8000) << 16 | scaled | special)
}

impl Simd for Portable {
    const LANES: usize = 8;
    /// Sixteen registers of four lanes on plain x86-64 and wasm, of eight with AVX; thirty-two of four on NEON.
    const REGISTERS: usize = if cfg!(any(target_feature = "avx", target_feature = "neon")) { 16 } else { 8 };
    const CHEAP_RSQRT: bool = false;
    type F32 = f32x8;
    /// Each lane all ones or all zeros.
    type Mask = f32x8;

    #[inline]
    fn vectorize<O: SimdOp>(self, op: O) -> O::Output {
        op.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }

    #[inline(always)]
    fn load(self, s: &[f32]) -> f32x8 {
        let lanes: [f32; 8] = s[..8].try_into().expect("eight floats");
        f32x8::new(lanes)
    }

    #[inline(always)]
    fn store(self, v: f32x8, s: &mut [f32]) {
        s[..8].copy_from_slice(v.as_array());
    }

    #[inline(always)]
    fn load_partial(self, s: &[f32], fill: f32) -> f32x8 {
        let mut lanes = [fill; 8];
        lanes[..s.len()].copy_from_slice(s);
        f32x8::new(lanes)
    }

    #[inline(always)]
    fn load_within(self, s: &[f32], at: isize) -> f32x8 {
        if let Some(s) = usize::try_from(at).ok().and_then(|at| s.get(at..)?.get(..8)) {
            return self.load(s);
        }
        let at = |l: isize| usize::try_from(at.checked_add(l)?).ok();
        f32x8::new(std::array::from_fn(|l| at(l as isize).and_then(|at| s.get(at)).copied().unwrap_or(0.0)))
    }

    #[inline(always)]
    fn store_partial(self, v: f32x8, s: &mut [f32]) {
        s.copy_from_slice(&v.as_array()[..s.len()]);
    }

    #[inline(always)]
    fn load_f32_bytes(self, s: &[u8]) -> f32x8 {
        let bytes: &[u8; 32] = s[..32].try_into().expect("eight floats");
        let mut lanes = [0.0; 8];
        for (lane, b) in lanes.iter_mut().zip(bytes.chunks_exact(4)) {
            *lane = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        f32x8::new(lanes)
    }

    #[inline(always)]
    fn load_f16_bytes(self, s: &[u8]) -> f32x8 {
        let bytes: &[u8; 16] = s[..16].try_into().expect("eight half floats");
        let mut lanes = [0.0; 8];
        for (lane, b) in lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = widen_half(u16::from_le_bytes([b[0], b[1]]));
        }
        f32x8::new(lanes)
    }

    #[inline(always)]
    fn store_f16_bytes(self, v: f32x8, s: &mut [u8]) {
        for (bytes, lane) in s[..16].chunks_exact_mut(2).zip(v.as_array()) {
            bytes.copy_from_slice(&f32_to_f16(*lane).to_le_bytes());
        }
    }

    #[inline(always)]
    fn load_u8(self, s: &[u8]) -> f32x8 {
        let bytes: &[u8; 8] = s[..8].try_into().expect("eight bytes");
        f32x8::new(bytes.map(f32::from))
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> f32x8 {
        // SAFETY: the caller promises eight readable floats at `p`, and an array of floats is aligned as one float.
        f32x8::new(unsafe { p.cast::<[f32; 8]>().read() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, p: *mut f32) {
        // SAFETY: the caller promises eight writable floats at `p`, and an array of floats is aligned as one float.
        unsafe { p.cast::<[f32; 8]>().write(v.to_array()) }
    }

    #[inline(always)]
    fn prefetch_ptr(self, _: *const f32) {}

    #[inline(always)]
    fn prefetch_far(self, _: *const f32) {}

    #[inline(always)]
    fn prefetch_own(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }

    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }

    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }

    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }

    #[inline(always)]
    fn fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }

    // Only the x86 instruction behind `fast_max` is known to give `b` where either is NaN.
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        if cfg!(target_feature = "sse") { a.fast_max(b) } else { a.simd_gt(b).bitselect(a, b) }
    }

    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        if cfg!(target_feature = "sse") { a.fast_min(b) } else { a.simd_lt(b).bitselect(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }

    // Beside 1.5 · 2²³ floats lie 1 apart, so that the addition rounds to integers, ties to even.
    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        let shift = f32x8::splat(12_582_912.0);
        a + shift - shift
    }

    // Beside 2²³ the low bits of a float count in ones: they become the biased exponent.
    #[inline(always)]
    fn exp2_integral(self, a: f32x8) -> f32x8 {
        let counted: u32x8 = (a + f32x8::splat(8_388_608.0 + 127.0)).to_bits();
        f32x8::from_bits(counted << 23)
    }

    #[inline(always)]
    fn gt(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_gt(b)
    }

    #[inline(always)]
    fn eq(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_eq(b)
    }

    #[inline(always)]
    fn is_nan(self, a: f32x8) -> f32x8 {
        a.is_nan()
    }

    #[inline(always)]
    fn or(self, a: f32x8, b: f32x8) -> f32x8 {
        a | b
    }

    #[inline(always)]
    fn and_not(self, a: f32x8, b: f32x8) -> f32x8 {
        b.bitselect(f32x8::ZERO, a)
    }

    #[inline(always)]
    fn select(self, m: f32x8, a: f32x8, b: f32x8) -> f32x8 {
        m.bitselect(a, b)
    }

    #[inline(always)]
    fn add_where(self, m: f32x8, a: f32x8, b: f32x8) -> f32x8 {
        a + (m & b)
    }

    #[inline(always)]
    fn rsqrt(self, a: f32x8) -> f32x8 {
        f32x8::splat(1.0) / a.sqrt()
    }

    #[inline(always)]
    fn deinterleave(self, a: f32x8, b: f32x8) -> (f32x8, f32x8) {
        let (a, b) = (a.as_array(), b.as_array());
        (
            f32x8::new([a[0], a[2], a[4], a[6], b[0], b[2], b[4], b[6]]),
            f32x8::new([a[1], a[3], a[5], a[7], b[1], b[3], b[5], b[7]]),
        )
    }

    #[inline(always)]
    fn deinterleave3(self, [a, b, c]: [f32x8; 3]) -> [f32x8; 3] {
        let (a, b, c) = (a.as_array(), b.as_array(), c.as_array());
        [
            f32x8::new([a[0], a[3], a[6], b[1], b[4], b[7], c[2], c[5]]),
            f32x8::new([a[1], a[4], a[7], b[2], b[5], c[0], c[3], c[6]]),
            f32x8::new([a[2], a[5], b[0], b[3], b[6], c[1], c[4], c[7]]),
        ]
    }

    #[inline(always)]
    fn shift_in(self, a: f32x8, b: f32x8) -> f32x8 {
        let (a, b) = (a.as_array(), b.as_array());
        f32x8::new([a[1], a[2], a[3], a[4], a[5], a[6], a[7], b[0]])
    }

    #[inline(always)]
    fn permute(self, a: f32x8, lanes: &[u32; 16]) -> f32x8 {
        let a = a.as_array();
        f32x8::new(std::array::from_fn(|l| a[lanes[l] as usize % 8]))
    }

    #[inline(always)]
    fn interleave(self, a: f32x8, b: f32x8) -> (f32x8, f32x8) {
        let (a, b) = (a.as_array(), b.as_array());
        (
            f32x8::new([a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]]),
            f32x8::new([a[4], b[4], a[5], b[5], a[6], b[6], a[7], b[7]]),
        )
    }

    #[inline(always)]
    fn load_columns(self, s: &[f32], at: &[usize; 16]) -> [f32x8; 8] {
        let mut rows = [f32x8::ZERO; 8];
        for l in 0..8 {
            rows[l] = self.load(&s[at[l]..]);
        }
        f32x8::transpose(rows)
    }

    #[inline(always)]
    fn store_columns<const N: usize>(self, v: [f32x8; 8], s: &mut [f32], stride: usize) {
        const { assert!(N == 2 || N == 4 || N == 6 || N == 8) };
        let rows = f32x8::transpose(v);
        for l in 0..8 {
            s[l * stride..][..N].copy_from_slice(&rows[l].as_array()[..N]);
        }
    }

    #[inline(always)]
    fn reduce_sum(self, a: f32x8) -> f32 {
        let a = a.as_array();
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }

    #[inline(always)]
    fn reduce_max(self, a: f32x8) -> f32 {
        a.as_array().iter().fold(f32::NEG_INFINITY, |m, &x| if x > m { x } else { m })
    }

    #[inline(always)]
    fn store_u8(self, v: f32x8, s: &mut [u8]) {
        let s = &mut s[..8];
        for (byte, lane) in s.iter_mut().zip(v.as_array()) {
            *byte = *lane as u8;
        }
    }
}
