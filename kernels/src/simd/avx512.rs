//! The AVX-512 level: sixteen lanes, masks in their own registers.

use std::arch::x86_64::*;

use super::avx2::prefetch_own;
use super::{Simd, SimdOp, lanes_within};

/// Proof that this machine has AVX-512 F, BW, VL and DQ (and AVX2, FMA, F16C): only detection makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The token, where the machine has the instructions.
    #[inline]
    pub(super) fn new() -> Option<Self> {
        let detected = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        detected.then_some(Self(()))
    }
}

/// Evaluates an expression of intrinsics that touch no memory.
macro_rules! registers {
    ($e:expr) => {{
        // SAFETY: `self`, the token, exists only where detection found the features of these intrinsics, and they
        // work on registers alone.
        #[allow(clippy::macro_metavars_in_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// The first `n` lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    assert!(n <= 16, "{n} floats for a vector of 16");
    ((1u32 << n) - 1) as __mmask16
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    const CHEAP_RSQRT: bool = true;
    type F32 = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn load(self, s: &[f32]) -> __m512 {
        let p = s[..16].as_ptr();
        // SAFETY: the slice above checked that sixteen floats are there; the token proves AVX-512F.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    fn store(self, v: __m512, s: &mut [f32]) {
        let p = s[..16].as_mut_ptr();
        // SAFETY: the slice above checked that sixteen floats are there; the token proves AVX-512F.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    fn load_partial(self, s: &[f32], fill: f32) -> __m512 {
        let mask = first(s.len());
        // SAFETY: a masked load touches the lanes of its mask alone, the first `s.len()`; the token proves AVX-512F.
        unsafe { _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask, s.as_ptr()) }
    }

    #[inline(always)]
    fn load_within(self, s: &[f32], at: isize) -> __m512 {
        let [from, to] = lanes_within(s.len(), at, 16);
        let mask = first(to) & !first(from);
        // SAFETY: a masked load touches the lanes of its mask alone, those for which `s` has an element; the token proves
        // AVX-512F.
        unsafe { _mm512_maskz_loadu_ps(mask, s.as_ptr().wrapping_offset(at)) }
    }

    #[inline(always)]
    fn store_partial(self, v: __m512, s: &mut [f32]) {
        let mask = first(s.len());
        // SAFETY: a masked store touches the lanes of its mask alone, the first `s.len()`; the token proves AVX-512F.
        unsafe { _mm512_mask_storeu_ps(s.as_mut_ptr(), mask, v) }
    }

    #[inline(always)]
    fn load_f32_bytes(self, s: &[u8]) -> __m512 {
        let p = s[..64].as_ptr();
        // SAFETY: the slice above checked that 64 bytes are there, and the load takes any alignment; the token proves AVX-512F.
        unsafe { _mm512_loadu_ps(p.cast()) }
    }

    #[inline(always)]
    fn load_f16_bytes(self, s: &[u8]) -> __m512 {
        let p = s[..32].as_ptr();
        // SAFETY: the slice above checked that 32 bytes are there, and the load takes any alignment; the token proves AVX-512F.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }

    #[inline(always)]
    fn store_f16_bytes(self, v: __m512, s: &mut [u8]) {
        let p = s[..32].as_mut_ptr();
        // SAFETY: the slice above checked that 32 bytes are there, and the store takes any alignment; the token proves AVX-512F.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    fn load_u8(self, s: &[u8]) -> __m512 {
        let p = s[..16].as_ptr();
        // SAFETY: the slice above checked that 16 bytes are there, and the load takes any alignment; the token proves AVX-512F.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> __m512 {
        // SAFETY: the caller promises sixteen readable floats at `p`; the token proves AVX-512F.
        unsafe { _mm512_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, p: *mut f32) {
        // SAFETY: the caller promises sixteen writable floats at `p`; the token proves AVX-512F.
        unsafe { _mm512_storeu_ps(p, v) }
    }

    #[inline(always)]
    fn store_u8(self, v: __m512, s: &mut [u8]) {
        let p = s[..16].as_mut_ptr();
        // SAFETY: the slice above checked that 16 bytes are there, which is what the store writes, at any alignment.
        unsafe { _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))) }
    }

    #[inline]
    fn vectorize<O: SimdOp>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn compiled<O: SimdOp>(token: Avx512, op: O) -> O::Output {
            op.run(token)
        }
        // SAFETY: the token exists only where detection found the features that `compiled` enables.
        unsafe { compiled(self, op) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        registers!(_mm512_set1_ps(x))
    }

    #[inline(always)]
    fn prefetch_ptr(self, p: *const f32) {
        // SAFETY: a prefetch reads nothing that the program could see and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_far(self, p: *const f32) {
        // SAFETY: a prefetch reads nothing that the program could see and never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    fn prefetch_own(self, p: *const f32) {
        prefetch_own(p);
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        registers!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        registers!(_mm512_sqrt_ps(a))
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        registers!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn exp2_integral(self, a: __m512) -> __m512 {
        registers!({
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }

    #[inline(always)]
    fn gt(self, a: __m512, b: __m512) -> __mmask16 {
        registers!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b))
    }

    #[inline(always)]
    fn eq(self, a: __m512, b: __m512) -> __mmask16 {
        registers!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }

    #[inline(always)]
    fn is_nan(self, a: __m512) -> __mmask16 {
        registers!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a))
    }

    #[inline(always)]
    fn select(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mask_blend_ps(m, b, a))
    }

    #[inline(always)]
    fn add_where(self, m: __mmask16, a: __m512, b: __m512) -> __m512 {
        registers!(_mm512_mask_add_ps(a, m, a, b))
    }

    // One Newton step from an estimate within 2⁻¹⁴: r + r · (½ − ½ · a · r²).
    #[inline(always)]
    fn rsqrt(self, a: __m512) -> __m512 {
        registers!({
            let half = _mm512_set1_ps(0.5);
            let r = _mm512_rsqrt14_ps(a);
            let step = _mm512_fnmadd_ps(_mm512_mul_ps(_mm512_mul_ps(half, a), r), r, half);
            _mm512_fmadd_ps(r, step, r)
        })
    }

    #[inline(always)]
    fn deinterleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        registers!({
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        })
    }

    // Lanes of the third vector are filled in last; indices of 16 and more name lanes of the second operand.
    #[inline(always)]
    fn deinterleave3(self, [a, b, c]: [__m512; 3]) -> [__m512; 3] {
        registers!({
            let ab = _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
            let abc = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
            let first = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, ab, b), abc, c);
            let ab = _mm512_setr_epi32(1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
            let abc = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
            let second = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, ab, b), abc, c);
            let ab = _mm512_setr_epi32(2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
            let abc = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
            let third = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, ab, b), abc, c);
            [first, second, third]
        })
    }

    #[inline(always)]
    fn shift_in(self, a: __m512, b: __m512) -> __m512 {
        registers!({
            let moved = _mm512_alignr_epi32::<1>(_mm512_castps_si512(b), _mm512_castps_si512(a));
            _mm512_castsi512_ps(moved)
        })
    }

    #[inline(always)]
    fn permute(self, a: __m512, lanes: &[u32; 16]) -> __m512 {
        // SAFETY: `lanes` holds the sixteen numbers that are loaded; the token proves AVX-512F.
        unsafe { _mm512_permutexvar_ps(_mm512_loadu_si512(lanes.as_ptr().cast()), a) }
    }

    // Indices of 16 and more name lanes of `b`.
    #[inline(always)]
    fn interleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        registers!({
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        })
    }

    // Each quarter of a register takes four columns of one row; four such registers are transposed within quarters.
    #[inline(always)]
    fn load_columns(self, s: &[f32], at: &[usize; 16]) -> [__m512; 8] {
        let mut last = 0;
        for l in 0..16 {
            last = last.max(at[l]);
        }
        assert!(last < s.len() && s.len() - last >= 8, "eight columns from {last} on, the slice has {}", s.len());
        let mut columns = [self.splat(0.0); 8];
        for h in 0..2 {
            let mut rows = [self.splat(0.0); 4];
            for k in 0..4 {
                // SAFETY: every entry of `at` is at most `last`, so that eight floats follow it (above); the token
                // proves AVX-512F.
                rows[k] = unsafe {
                    let p = s.as_ptr().add(4 * h);
                    let v = _mm512_castps128_ps512(_mm_loadu_ps(p.add(at[k])));
                    let v = _mm512_insertf32x4::<1>(v, _mm_loadu_ps(p.add(at[k + 4])));
                    let v = _mm512_insertf32x4::<2>(v, _mm_loadu_ps(p.add(at[k + 8])));
                    _mm512_insertf32x4::<3>(v, _mm_loadu_ps(p.add(at[k + 12])))
                };
            }
            let four = self.transpose_quarters(rows);
            for k in 0..4 {
                columns[4 * h + k] = four[k];
            }
        }
        columns
    }

    #[inline(always)]
    fn load_columns_apart(self, s: &[f32], stride: usize) -> [__m512; 8] {
        assert!(15 * stride + 8 <= s.len(), "sixteen rows {stride} apart, the slice has {}", s.len());
        let mut r = [self.splat(0.0); 8];
        for l in 0..8 {
            // SAFETY: eight floats follow the starts of rows l and l + 8 (above); the token proves AVX-512F.
            r[l] = unsafe {
                let p = s.as_ptr().add(l * stride);
                let (low, high) = (_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8 * stride)));
                let low = _mm512_castpd256_pd512(_mm256_castps_pd(low));
                _mm512_castpd_ps(_mm512_insertf64x4::<1>(low, _mm256_castps_pd(high)))
            };
        }
        // Each half for itself: pairs of rows, then of pairs, then of their quarters.
        // SAFETY: the token proves AVX-512F.
        unsafe {
            let mut pairs = [self.splat(0.0); 8];
            for l in 0..4 {
                pairs[2 * l] = _mm512_unpacklo_ps(r[2 * l], r[2 * l + 1]);
                pairs[2 * l + 1] = _mm512_unpackhi_ps(r[2 * l], r[2 * l + 1]);
            }
            let mut fours = [_mm512_castps_pd(self.splat(0.0)); 8];
            for h in 0..2 {
                for i in 0..2 {
                    let (a, b) = (_mm512_castps_pd(pairs[4 * h + i]), _mm512_castps_pd(pairs[4 * h + i + 2]));
                    fours[4 * h + 2 * i] = _mm512_unpacklo_pd(a, b);
                    fours[4 * h + 2 * i + 1] = _mm512_unpackhi_pd(a, b);
                }
            }
            let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
            let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
            for j in 0..4 {
                r[j] = _mm512_castpd_ps(_mm512_permutex2var_pd(fours[j], low, fours[j + 4]));
                r[j + 4] = _mm512_castpd_ps(_mm512_permutex2var_pd(fours[j], high, fours[j + 4]));
            }
        }
        r
    }

    #[inline(always)]
    fn store_columns<const N: usize>(self, v: [__m512; 8], s: &mut [f32], stride: usize) {
        const { assert!(N == 2 || N == 4 || N == 6 || N == 8) };
        assert!(15 * stride + N <= s.len(), "sixteen rows {stride} apart, the slice has {}", s.len());
        for h in 0..N.div_ceil(4) {
            let rows = self.transpose_quarters([v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3]]);
            for k in 0..4 {
                // SAFETY: rows k, k + 4, k + 8 and k + 12 are at most the sixteenth, and `N` floats of that are there
                // (above), of which this half has four, or two where it is the last of 2 or 6; the token proves AVX-512F.
                unsafe {
                    let p = s.as_mut_ptr().add(k * stride + 4 * h);
                    let quarters = [
                        _mm512_castps512_ps128(rows[k]),
                        _mm512_extractf32x4_ps::<1>(rows[k]),
                        _mm512_extractf32x4_ps::<2>(rows[k]),
                        _mm512_extractf32x4_ps::<3>(rows[k]),
                    ];
                    for (i, quarter) in quarters.into_iter().enumerate() {
                        let p = p.add(4 * i * stride);
                        if N - 4 * h >= 4 {
                            _mm_storeu_ps(p, quarter);
                        } else {
                            // Not `_mm_storel_pd`, which wants the alignment of a double.
                            _mm_storel_epi64(p.cast(), _mm_castps_si128(quarter));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m512) -> f32 {
        registers!({
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn reduce_max(self, a: __m512) -> f32 {
        registers!({
            let eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn and_not(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & !b
    }
}

impl Avx512 {
    /// Transposes the 4 × 4 matrices in the quarters of four registers.
    #[inline(always)]
    fn transpose_quarters(self, r: [__m512; 4]) -> [__m512; 4] {
        registers!({
            let (a, b) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
            [
                _mm512_shuffle_ps::<0b01_00_01_00>(a, c),
                _mm512_shuffle_ps::<0b11_10_11_10>(a, c),
                _mm512_shuffle_ps::<0b01_00_01_00>(b, d),
                _mm512_shuffle_ps::<0b11_10_11_10>(b, d),
            ]
        })
    }
}
