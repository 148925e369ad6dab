//! The AVX2 level: eight lanes with FMA and F16C.

use std::arch::x86_64::*;

use super::{Simd, SimdOp, lanes_within};

/// Proof that this machine has AVX2, FMA and F16C: only detection makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The token, where the machine has the instructions.
    #[inline]
    pub(super) fn new() -> Option<Self> {
        let detected =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
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

/// [`Simd::prefetch_own`], also at AVX-512.
#[inline(always)]
pub(super) fn prefetch_own(p: *const f32) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: a prefetch changes nothing that the program could see and never faults, whatever the address; processors with
    // AVX2 that cannot do it let it pass.
    unsafe { std::arch::asm!("prefetchw [{}]", in(reg) p, options(nostack, preserves_flags)) }
}

impl Avx2 {
    /// All ones in the first `n` lanes.
    #[inline(always)]
    fn first(self, n: usize) -> __m256i {
        const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(n <= 8, "{n} floats for a vector of 8");
        let p = ONES_THEN_ZEROS[8 - n..16 - n].as_ptr();
        // SAFETY: the slice above has eight integers, and the load takes any alignment; the token proves AVX.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    const CHEAP_RSQRT: bool = true;
    type F32 = __m256;
    type Mask = __m256;

    #[inline(always)]
    fn load(self, s: &[f32]) -> __m256 {
        let p = s[..8].as_ptr();
        // SAFETY: the slice above checked that eight floats are there; the token proves AVX.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    fn store(self, v: __m256, s: &mut [f32]) {
        let p = s[..8].as_mut_ptr();
        // SAFETY: the slice above checked that eight floats are there; the token proves AVX.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    fn load_partial(self, s: &[f32], fill: f32) -> __m256 {
        let mask = self.first(s.len());
        // SAFETY: a masked load touches the lanes of its mask alone, the first `s.len()`; the token proves AVX.
        unsafe {
            _mm256_blendv_ps(_mm256_set1_ps(fill), _mm256_maskload_ps(s.as_ptr(), mask), _mm256_castsi256_ps(mask))
        }
    }

    #[inline(always)]
    fn load_within(self, s: &[f32], at: isize) -> __m256 {
        let [from, to] = lanes_within(s.len(), at, 8);
        let mask = registers!(_mm256_andnot_si256(self.first(from), self.first(to)));
        // SAFETY: a masked load touches the lanes of its mask alone, those for which `s` has an element; the token proves AVX.
        unsafe { _mm256_maskload_ps(s.as_ptr().wrapping_offset(at), mask) }
    }

    #[inline(always)]
    fn store_partial(self, v: __m256, s: &mut [f32]) {
        let mask = self.first(s.len());
        // SAFETY: a masked store touches the lanes of its mask alone, the first `s.len()`; the token proves AVX.
        unsafe { _mm256_maskstore_ps(s.as_mut_ptr(), mask, v) }
    }

    #[inline(always)]
    fn load_f32_bytes(self, s: &[u8]) -> __m256 {
        let p = s[..32].as_ptr();
        // SAFETY: the slice above checked that 32 bytes are there, and the load takes any alignment; the token proves AVX.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }

    #[inline(always)]
    fn load_f16_bytes(self, s: &[u8]) -> __m256 {
        let p = s[..16].as_ptr();
        // SAFETY: the slice above checked that 16 bytes are there, and the load takes any alignment; the token proves F16C.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }

    #[inline(always)]
    fn store_f16_bytes(self, v: __m256, s: &mut [u8]) {
        let p = s[..16].as_mut_ptr();
        // SAFETY: the slice above checked that 16 bytes are there, and the store takes any alignment; the token proves F16C.
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }

    #[inline(always)]
    fn load_u8(self, s: &[u8]) -> __m256 {
        let p = s[..8].as_ptr();
        // SAFETY: the slice above checked that eight bytes are there, and the load takes any alignment; the token proves AVX2.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> __m256 {
        // SAFETY: the caller promises eight readable floats at `p`; the token proves AVX.
        unsafe { _mm256_loadu_ps(p) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, p: *mut f32) {
        // SAFETY: the caller promises eight writable floats at `p`; the token proves AVX.
        unsafe { _mm256_storeu_ps(p, v) }
    }

    #[inline(always)]
    fn store_u8(self, v: __m256, s: &mut [u8]) {
        let words = registers!({
            let ints = _mm256_cvtps_epi32(v);
            _mm_packs_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256::<1>(ints))
        });
        let p = s[..8].as_mut_ptr();
        // SAFETY: the slice above checked that eight bytes are there, which is what the store writes, at any alignment.
        unsafe { _mm_storel_epi64(p.cast(), _mm_packus_epi16(words, words)) }
    }

    #[inline]
    fn vectorize<O: SimdOp>(self, op: O) -> O::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled<O: SimdOp>(token: Avx2, op: O) -> O::Output {
            op.run(token)
        }
        // SAFETY: the token exists only where detection found the features that `compiled` enables.
        unsafe { compiled(self, op) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        registers!(_mm256_set1_ps(x))
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
    fn add(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        registers!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        registers!(_mm256_sqrt_ps(a))
    }

    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        registers!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a))
    }

    #[inline(always)]
    fn exp2_integral(self, a: __m256) -> __m256 {
        registers!({
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        })
    }

    #[inline(always)]
    fn gt(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b))
    }

    #[inline(always)]
    fn eq(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b))
    }

    #[inline(always)]
    fn is_nan(self, a: __m256) -> __m256 {
        registers!(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a))
    }

    #[inline(always)]
    fn or(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_or_ps(a, b))
    }

    #[inline(always)]
    fn and_not(self, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_andnot_ps(b, a))
    }

    #[inline(always)]
    fn select(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_blendv_ps(b, a, m))
    }

    #[inline(always)]
    fn add_where(self, m: __m256, a: __m256, b: __m256) -> __m256 {
        registers!(_mm256_add_ps(a, _mm256_and_ps(m, b)))
    }

    // One Newton step from an estimate within 1.5 · 2⁻¹²: r + r · (½ − ½ · a · r²).
    #[inline(always)]
    fn rsqrt(self, a: __m256) -> __m256 {
        registers!({
            let half = _mm256_set1_ps(0.5);
            let r = _mm256_rsqrt_ps(a);
            let step = _mm256_fnmadd_ps(_mm256_mul_ps(_mm256_mul_ps(half, a), r), r, half);
            _mm256_fmadd_ps(r, step, r)
        })
    }

    // Within each half first, then the four pairs into order.
    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        registers!({
            let even = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
            (
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(even)),
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(odd)),
            )
        })
    }

    // Each place of one vector alone has what is wanted; then lanes take their order.
    #[inline(always)]
    fn deinterleave3(self, [a, b, c]: [__m256; 3]) -> [__m256; 3] {
        registers!({
            let first = _mm256_blend_ps::<0b0010_0100>(_mm256_blend_ps::<0b1001_0010>(a, b), c);
            let second = _mm256_blend_ps::<0b0100_1001>(_mm256_blend_ps::<0b0010_0100>(a, b), c);
            let third = _mm256_blend_ps::<0b1001_0010>(_mm256_blend_ps::<0b0100_1001>(a, b), c);
            [
                _mm256_permutevar8x32_ps(first, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5)),
                _mm256_permutevar8x32_ps(second, _mm256_setr_epi32(1, 4, 7, 2, 5, 0, 3, 6)),
                _mm256_permutevar8x32_ps(third, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7)),
            ]
        })
    }

    // The upper half of `a` before the lower half of `b` gives each half what moves into it.
    #[inline(always)]
    fn shift_in(self, a: __m256, b: __m256) -> __m256 {
        registers!({
            let next = _mm256_castps_si256(_mm256_permute2f128_ps::<0x21>(a, b));
            _mm256_castsi256_ps(_mm256_alignr_epi8::<4>(next, _mm256_castps_si256(a)))
        })
    }

    #[inline(always)]
    fn permute(self, a: __m256, lanes: &[u32; 16]) -> __m256 {
        // SAFETY: `lanes` holds the eight numbers that are loaded, and eight more; the token proves AVX2.
        unsafe { _mm256_permutevar8x32_ps(a, _mm256_loadu_si256(lanes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        registers!({
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        })
    }

    // Each half of a register takes four columns of one row; four such registers are transposed within their halves.
    #[inline(always)]
    fn load_columns(self, s: &[f32], at: &[usize; 16]) -> [__m256; 8] {
        let mut last = 0;
        for l in 0..8 {
            last = last.max(at[l]);
        }
        assert!(last < s.len() && s.len() - last >= 8, "eight columns from {last} on, the slice has {}", s.len());
        let mut columns = [self.splat(0.0); 8];
        for h in 0..2 {
            let mut rows = [self.splat(0.0); 4];
            for k in 0..4 {
                // SAFETY: every entry of `at` up to the eighth is at most `last`, so that eight floats follow it
                // (above); the token proves AVX.
                rows[k] = unsafe {
                    let low = _mm_loadu_ps(s.as_ptr().add(at[k] + 4 * h));
                    let high = _mm_loadu_ps(s.as_ptr().add(at[k + 4] + 4 * h));
                    _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
                };
            }
            let four = self.transpose_halves(rows);
            for k in 0..4 {
                columns[4 * h + k] = four[k];
            }
        }
        columns
    }

    #[inline(always)]
    fn store_columns<const N: usize>(self, v: [__m256; 8], s: &mut [f32], stride: usize) {
        const { assert!(N == 2 || N == 4 || N == 6 || N == 8) };
        assert!(7 * stride + N <= s.len(), "eight rows {stride} apart, the slice has {}", s.len());
        for h in 0..N.div_ceil(4) {
            let rows = self.transpose_halves([v[4 * h], v[4 * h + 1], v[4 * h + 2], v[4 * h + 3]]);
            for k in 0..4 {
                // SAFETY: rows k and k + 4 are at most the eighth, and `N` floats of that are there (above), of which this
                // half has four, or two where it is the last of 2 or 6; the token proves AVX.
                unsafe {
                    let p = s.as_mut_ptr().add(k * stride + 4 * h);
                    let halves = [_mm256_castps256_ps128(rows[k]), _mm256_extractf128_ps::<1>(rows[k])];
                    for (i, half) in halves.into_iter().enumerate() {
                        let p = p.add(4 * i * stride);
                        if N - 4 * h >= 4 {
                            _mm_storeu_ps(p, half);
                        } else {
                            // Not `_mm_storel_pd`, which wants the alignment of a double.
                            _mm_storel_epi64(p.cast(), _mm_castps_si128(half));
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn reduce_sum(self, a: __m256) -> f32 {
        registers!({
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn reduce_max(self, a: __m256) -> f32 {
        registers!({
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }
}

impl Avx2 {
    /// Transposes the 4 × 4 matrices in the low and the high halves of four registers.
    #[inline(always)]
    fn transpose_halves(self, r: [__m256; 4]) -> [__m256; 4] {
        registers!({
            let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
            let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
            [
                _mm256_shuffle_ps::<0b01_00_01_00>(a, c),
                _mm256_shuffle_ps::<0b11_10_11_10>(a, c),
                _mm256_shuffle_ps::<0b01_00_01_00>(b, d),
                _mm256_shuffle_ps::<0b11_10_11_10>(b, d),
            ]
        })
    }
}
