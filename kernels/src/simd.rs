//! Vectors of `f32` behind one trait: [`Level`] is the value that says which instructions run, [`Simd`] is what a
//! kernel body is generic over, and [`Level::dispatch`] is the one `match` that joins them.
//!
//! A kernel is a struct of its arguments that implements [`SimdOp`]; its `run` and all it calls with a token must be
//! `#[inline(always)]`, so that the body is compiled once per level inside a function with the level's target features.
//! Threads are forked outside, each task dispatching for itself.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod cpuid;
mod portable;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
pub(crate) use cpuid::caches as cpuid_caches;
pub use portable::Portable;

use std::fmt;
use std::str::FromStr;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(Kind);

/// Private, so that a `Level` above `portable` can only come from detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Safe Rust on `wide`: what the build's target offers (SSE2 on a plain x86-64 build).
    pub const PORTABLE: Level = Level(Kind::Portable);

    /// AVX2 with FMA and F16C, where this machine has them.
    pub fn avx2() -> Option<Level> {
        #[cfg(target_arch = "x86_64")]
        if avx2::Avx2::new().is_some() {
            return Some(Level(Kind::Avx2));
        }
        None
    }

    /// AVX-512 (F, BW, VL, DQ), where this machine has it.
    pub fn avx512() -> Option<Level> {
        #[cfg(target_arch = "x86_64")]
        if avx512::Avx512::new().is_some() {
            return Some(Level(Kind::Avx512));
        }
        None
    }

    /// The widest level that this machine can run.
    pub fn best() -> Level {
        Self::avx512().or_else(Self::avx2).unwrap_or(Self::PORTABLE)
    }

    /// Every level that this machine can run, narrowest first.
    pub fn available() -> Vec<Level> {
        [Some(Self::PORTABLE), Self::avx2(), Self::avx512()].into_iter().flatten().collect()
    }

    /// `portable`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }

    /// `f32` elements in a vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl SimdOp for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.dispatch(Lanes)
    }

    /// Vector multiply-adds that a core of this machine can begin each cycle: 2, or 1 where a vector is wider than the
    /// units. What the price of everything else follows from, when it is counted in multiply-adds.
    pub fn fma_rate(self) -> usize {
        fma_rate(self.lanes())
    }

    /// Runs `op` with this level's token, compiled with this level's instructions.
    #[inline]
    pub fn dispatch<O: SimdOp>(self, op: O) -> O::Output {
        match self.0 {
            Kind::Portable => op.run(Portable),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => avx2::Avx2::new().expect("a Level exists only where detection found it").vectorize(op),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => avx512::Avx512::new().expect("a Level exists only where detection found it").vectorize(op),
        }
    }
}

/// Cycles from one vector multiply-add of a sum to the next.
pub(crate) const FMA_LATENCY: usize = 4;

/// [`Level::fma_rate`] by the lanes of a vector.
pub(crate) fn fma_rate(lanes: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if lanes == 16 && cpuid::halves_512() {
        return 1;
    }
    let _ = lanes;
    2
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    /// `auto` or a name; an error says what this machine can run.
    fn from_str(s: &str) -> Result<Self, String> {
        let missing = |name: &str| {
            let names: Vec<_> = Self::available().iter().map(|l| l.name()).collect();
            format!("this machine has no {name}; it can run: {}", names.join(", "))
        };
        match s {
            "auto" => Ok(Self::best()),
            "portable" => Ok(Self::PORTABLE),
            "avx2" => Self::avx2().ok_or_else(|| missing("AVX2 with FMA and F16C")),
            "avx512" => Self::avx512().ok_or_else(|| missing("AVX-512")),
            other => Err(format!("unknown level \"{}\"; try auto, portable, avx2 or avx512", other.escape_debug())),
        }
    }
}

/// Rows that [`Simd::load_rows`] and [`Simd::store_rows`] move at most: those of the largest tile of Winograd's.
pub const ROWS: usize = 9;

/// A computation that [`Level::dispatch`] compiles for every level.
pub trait SimdOp {
    /// What it gives.
    type Output;
    /// The body; implementations must be `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A vector instruction set: the token's existence proves that the machine has it.
///
/// Loads and stores of slices check that `LANES` elements are there. The pointer forms are for the inner loops of
/// `gemm`, which check whole panels at once.
pub trait Simd: Copy + Send + Sync + 'static {
    /// `f32` elements in a vector.
    const LANES: usize;
    /// How many `F32` the machine's vector registers hold at once.
    const REGISTERS: usize;
    /// Whether [`Simd::rsqrt`] costs much less than a square root and a division.
    const CHEAP_RSQRT: bool;
    /// `LANES` floats.
    type F32: Copy;
    /// `LANES` booleans.
    type Mask: Copy;

    /// Runs `op` as a function of its own, compiled with this level's instructions: what a table of kernels points at.
    fn vectorize<O: SimdOp>(self, op: O) -> O::Output;
    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first `LANES` elements of `s`.
    fn load(self, s: &[f32]) -> Self::F32;
    /// Writes to the first `LANES` elements of `s`.
    fn store(self, v: Self::F32, s: &mut [f32]);
    /// `s` padded with `fill`; takes all of `s`, at most `LANES` elements.
    fn load_partial(self, s: &[f32], fill: f32) -> Self::F32;
    /// A vector from the start of `s`, padded with `fill` where it is shorter.
    #[inline(always)]
    fn load_some(self, s: &[f32], fill: f32) -> Self::F32 {
        if s.len() >= Self::LANES { self.load(s) } else { self.load_partial(s, fill) }
    }
    /// Lane l is `s[at + l]`, or 0 where `s` has no such element.
    fn load_within(self, s: &[f32], at: isize) -> Self::F32;
    /// Writes as many lanes as `s` is long, at most `LANES`.
    fn store_partial(self, v: Self::F32, s: &mut [f32]);
    /// Writes as many lanes as `s` has room for.
    #[inline(always)]
    fn store_some(self, v: Self::F32, s: &mut [f32]) {
        if s.len() >= Self::LANES { self.store(v, s) } else { self.store_partial(v, s) }
    }
    /// `LANES` little-endian `f32`, at any alignment.
    fn load_f32_bytes(self, s: &[u8]) -> Self::F32;
    /// `LANES` little-endian IEEE half floats, at any alignment, widened.
    fn load_f16_bytes(self, s: &[u8]) -> Self::F32;
    /// The nearest half floats, ties to even, little-endian, to the first 2 · `LANES` bytes of `s`, at any alignment.
    fn store_f16_bytes(self, v: Self::F32, s: &mut [u8]);
    /// `LANES` bytes as the numbers 0 to 255.
    fn load_u8(self, s: &[u8]) -> Self::F32;
    /// Asks for the cache line that holds element `at` of `s`, which may lie beyond its end. A hint without effect.
    #[inline(always)]
    fn prefetch<T>(self, s: &[T], at: usize) {
        self.prefetch_ptr(s.as_ptr().wrapping_add(at).cast());
    }
    /// # Safety
    /// `p` must be valid for reading `LANES` floats; any alignment of a float.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32;
    /// # Safety
    /// `p` must be valid for writing `LANES` floats; any alignment of a float.
    unsafe fn store_ptr(self, v: Self::F32, p: *mut f32);

    /// Asks for the cache line at `p`, which may be any address. A hint without effect.
    fn prefetch_ptr(self, p: *const f32);
    /// The same, no nearer than the second cache: for what is needed later than all that the first holds.
    fn prefetch_far(self, p: *const f32);
    /// Asks for the cache line at `p`, which may be any address, so that this core alone holds it: whichever writes it next,
    /// this one or one that takes it so in its turn, need not first have others give it up. A hint without effect.
    fn prefetch_own(self, p: *const f32);

    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b + c, fused where the level has FMA.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// √a
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// The nearest integer, ties to even; for |a| < 2²².
    fn round(self, a: Self::F32) -> Self::F32;
    /// 2ᵃ for integral a in −126..=127.
    fn exp2_integral(self, a: Self::F32) -> Self::F32;
    /// a > b; false where either is NaN.
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a = b; false where either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// Lanes that are NaN.
    fn is_nan(self, a: Self::F32) -> Self::Mask;
    /// Either mask.
    fn or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` and not `b`.
    fn and_not(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `a` where the mask is set, else `b`.
    fn select(self, m: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a + b where the mask is set, else a + 0 or `a`: the same unless `a` is −0.
    fn add_where(self, m: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// 1 / √a for positive a, infinity excluded, within 2⁻²² of it; NaN for NaN.
    fn rsqrt(self, a: Self::F32) -> Self::F32;
    /// The 2·LANES values of `a` then `b`, parted into those at even and at odd places.
    fn deinterleave(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// The 3·LANES values of three vectors, parted into those at places 0, 3, …, at 1, 4, … and at 2, 5, ….
    fn deinterleave3(self, v: [Self::F32; 3]) -> [Self::F32; 3];
    /// Lanes 1.. of `a`, then lane 0 of `b`.
    fn shift_in(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Lane l is lane `lanes[l]` of `a`; entries from `LANES` on are not looked at.
    fn permute(self, a: Self::F32, lanes: &[u32; 16]) -> Self::F32;
    /// The way back: lanes of `a` at even and of `b` at odd places, as two vectors in order.
    fn interleave(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// Vector j holds, for each lane l, `s[at[l] + j]`: eight columns of `LANES` short rows. Entries of `at` beyond
    /// `LANES` are not looked at.
    fn load_columns(self, s: &[f32], at: &[usize; 16]) -> [Self::F32; 8];
    /// The same for rows that begin `stride` apart: vector j holds, for each lane l, `s[l · stride + j]`.
    #[inline(always)]
    fn load_columns_apart(self, s: &[f32], stride: usize) -> [Self::F32; 8] {
        self.load_columns(s, &std::array::from_fn(|l| if l < Self::LANES { l * stride } else { 0 }))
    }
    /// Lane l of vector j goes to `s[l · stride + j]` for j < `N`, which is 2, 4, 6 or 8; nothing else is written.
    fn store_columns<const N: usize>(self, v: [Self::F32; 8], s: &mut [f32], stride: usize);
    /// Vector j is `s[j · stride..]`, for j < `N`, at most [`ROWS`].
    #[inline(always)]
    fn load_rows<const N: usize>(self, s: &[f32], stride: usize) -> [Self::F32; ROWS] {
        check_rows::<N>(s.len(), stride, Self::LANES);
        let mut rows = [self.splat(0.0); ROWS];
        for j in 0..N {
            // SAFETY: `check_rows` found that a vector's floats follow the start of every row.
            rows[j] = unsafe { self.load_ptr(s.as_ptr().add(j * stride)) };
        }
        rows
    }
    /// Vector j goes to `s[j · stride..]`, for j < `N`, at most [`ROWS`], in that order.
    #[inline(always)]
    fn store_rows<const N: usize>(self, v: [Self::F32; ROWS], s: &mut [f32], stride: usize) {
        check_rows::<N>(s.len(), stride, Self::LANES);
        for j in 0..N {
            // SAFETY: as in `load_rows`; `s` is borrowed uniquely.
            unsafe { self.store_ptr(v[j], s.as_mut_ptr().add(j * stride)) };
        }
    }
    /// The sum of the lanes, by halving: ((0+4)+(2+6))+….
    fn reduce_sum(self, a: Self::F32) -> f32;
    /// The largest lane; any NaN may be lost.
    fn reduce_max(self, a: Self::F32) -> f32;
    /// Lanes, each an integer in 0..=255, as bytes to the first `LANES` bytes of `s`.
    fn store_u8(self, v: Self::F32, s: &mut [u8]);
    /// As many lanes as `s` is long, at most `LANES`, each an integer in 0..=255, as bytes.
    #[inline(always)]
    fn store_u8_partial(self, v: Self::F32, s: &mut [u8]) {
        let mut bytes = [0; 32];
        self.store_u8(v, &mut bytes);
        let mut at = 0;
        // Pieces of sizes known when this is compiled: plain moves.
        for size in [16, 8, 4, 2, 1] {
            if s.len() & size != 0 {
                s[at..at + size].copy_from_slice(&bytes[at..at + size]);
                at += size;
            }
        }
    }
}

/// The lanes l of `lanes` for which `len` elements have one at `at + l`: from the first to one past the last.
#[inline(always)]
fn lanes_within(len: usize, at: isize, lanes: usize) -> [usize; 2] {
    [at.saturating_neg(), (len as isize).saturating_sub(at)].map(|lane| lane.clamp(0, lanes as isize) as usize)
}

/// Panics unless `len` floats hold `N` rows of `lanes`, `stride` apart.
#[inline(always)]
fn check_rows<const N: usize>(len: usize, stride: usize, lanes: usize) {
    const { assert!(N >= 1 && N <= ROWS) };
    // A stride within the slice cannot make the product overflow.
    assert!(stride <= len && (N - 1) * stride + lanes <= len, "{N} rows {stride} apart, the slice has {len}");
}
