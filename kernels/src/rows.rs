//! What the map kernels share: rows brought into the order of vectors.
//!
//! A pool of stride s reads every s-th cell of a row. Parting the padded row into its s phases first makes every tap a
//! plain vector load, at any stride, dilation and padding, with no case for borders:
//!
//! ```text
//! padded row    . . a b c d e f . .        tap t of outputs 0, 1, 2 … (stride 2):
//! phase 0       .   a   c   e   .          phase (t mod 2), from element t / 2 on
//! phase 1         .   b   d   f   .
//! ```

use std::ops::Range;

use crate::aligned::AlignedBuf;
use crate::geometry::{Geometry, Window};
use crate::simd::Simd;
use crate::view::{Layout, Maps};

/// The layouts of equal windows with all rows joined into one, where neither has gaps between rows: for kernels that
/// look at each cell alone.
pub(crate) fn join_rows<const N: usize>(layouts: [Layout; N]) -> Option<[Layout; N]> {
    let gapless = |l: &Layout| l.strides[2] == l.window.width() || l.window.height() == 1;
    layouts.iter().all(gapless).then(|| {
        layouts.map(|l| {
            let full = [1, l.window.area()];
            Layout { full, window: Window::full(full), ..l }
        })
    })
}

/// Panics unless the pool `geometry` leads from maps of `input` to maps of `out` cells.
pub(crate) fn check_pool(geometry: &Geometry, input: [usize; 2], out: [usize; 2]) {
    let Geometry { kernel, stride, dilation, .. } = geometry;
    assert!([kernel, stride, dilation].iter().all(|p| p[0] > 0 && p[1] > 0), "{geometry:?} has a zero");
    let sizes = [false, true].map(|ceil| geometry.out_size(input, ceil));
    assert!(sizes.contains(&Some(out)), "a pool of {input:?} gives {:?} or {:?}, not {out:?}", sizes[0], sizes[1]);
}

/// The input row that tap `tap` of output row `out` reads (axis 0), or column (axis 1); `None` in the padding.
#[inline(always)]
pub(crate) fn tap_at(geometry: &Geometry, axis: usize, out: usize, tap: usize, size: usize) -> Option<usize> {
    let at = out * geometry.stride[axis] + tap * geometry.dilation[axis];
    at.checked_sub(geometry.pads[axis]).filter(|&at| at < size)
}

/// The signal's window, without rows where it has no cells.
pub(crate) fn present_rows(signal: Maps<'_>) -> Window {
    let window = signal.window();
    if window.is_empty() { Window { y1: window.y0, x1: window.x0, ..window } } else { window }
}

/// Where the taps of a row begin in its line of phases, from the first tap on.
pub(crate) fn tap_starts(geometry: &Geometry, pitch: usize) -> Vec<usize> {
    let stride = geometry.stride[1];
    (0..geometry.kernel[1]).map(|kx| kx * geometry.dilation[1]).map(|t| t % stride * pitch + t / stride).collect()
}

/// A number of cells, rounded up to whole vectors.
#[inline(always)]
pub(crate) fn whole_vectors<S: Simd>(_: S, cells: usize) -> usize {
    cells.next_multiple_of(S::LANES)
}

/// A number of elements, rounded up to whole cache lines: vectors that begin there cross none.
pub(crate) fn whole_cache_lines(elements: usize) -> usize {
    elements.next_multiple_of(16)
}

/// The last rows that were brought into order, each in the slot of its number modulo the capacity.
pub(crate) struct Ring {
    /// capacity × len
    pub(crate) lines: AlignedBuf,
    len: usize,
    held: Vec<usize>,
}

impl Ring {
    /// Room for at least `capacity` rows of `len` elements, which hold `padding` until they are written to.
    pub(crate) fn new(capacity: usize, len: usize, padding: f32) -> Self {
        // A power of two, so that a row's slot takes no division.
        let capacity = capacity.next_power_of_two();
        let mut lines = AlignedBuf::zeroed(capacity * len);
        lines.fill(padding);
        Self { lines, len, held: vec![usize::MAX; capacity] }
    }

    /// Forgets all rows: another map follows.
    pub(crate) fn clear(&mut self) {
        self.held.fill(usize::MAX);
    }

    /// The slot of `row`, where its line begins, and whether it is there already (from now on it counts as there).
    #[inline(always)]
    pub(crate) fn claim(&mut self, row: usize) -> (usize, usize, bool) {
        let slot = row & (self.held.len() - 1);
        let present = self.held[slot] == row;
        self.held[slot] = row;
        (slot, slot * self.len, present)
    }

    /// The line that begins at `start`.
    #[inline(always)]
    pub(crate) fn line_mut(&mut self, start: usize) -> &mut [f32] {
        &mut self.lines[start..start + self.len]
    }
}

/// Where each vector of a row of `len` begins: the last one overlaps the one before it, so that none hangs over. Nothing
/// where the row is shorter than a vector.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(_: S, len: usize) -> impl Iterator<Item = usize> {
    let count = if len < S::LANES { 0 } else { len.div_ceil(S::LANES) };
    (0..count).map(move |i| (i * S::LANES).min(len - S::LANES))
}

/// How rows are parted into phases: element i of phase q is element `first + i · stride + q` of the row.
///
/// Which elements lie inside the row is the same for all rows of a map, so that padding is filled in once and a row's
/// own elements are copied between it.
pub(crate) struct Split {
    first: isize,
    stride: usize,
    pitch: usize,
    /// For each phase, the elements inside the row.
    inside: Vec<Range<usize>>,
}

impl Split {
    /// For rows of `len` elements, into `phases` lines of `pitch` elements.
    pub(crate) fn new(first: isize, len: usize, stride: usize, phases: usize, pitch: usize) -> Self {
        let inside = (0..phases as isize).map(|q| {
            // The first element at or behind each border of the row.
            let element = |at: isize| (at - first - q + stride as isize - 1).div_euclid(stride as isize);
            let lo = element(0).clamp(0, pitch as isize);
            lo as usize..element(len as isize).clamp(lo, pitch as isize) as usize
        });
        Self { first, stride, pitch, inside: inside.collect() }
    }

    /// Copies what lies inside `row` to the phases in `line`; says whether all of it is finite.
    #[inline(always)]
    pub(crate) fn row<S: Simd>(&self, simd: S, row: &[f32], line: &mut [f32]) -> bool {
        let zero = simd.splat(0.0);
        let mut special = zero;
        let mut finite = true;
        match &self.inside[..] {
            [inside] if self.stride == 1 => {
                let dst = &mut line[inside.clone()];
                let src = &row[(self.first + inside.start as isize) as usize..][..dst.len()];
                for at in vectors(simd, dst.len()) {
                    let v = simd.load(&src[at..]);
                    special = simd.fma(v, zero, special);
                    simd.store(v, &mut dst[at..]);
                }
                if dst.len() < S::LANES {
                    let v = simd.load_partial(src, 0.0);
                    special = simd.fma(v, zero, special);
                    simd.store_partial(v, dst);
                }
            }
            [even, odd] if self.stride == 2 => {
                let both = even.start.max(odd.start)..even.end.min(odd.end);
                let (evens, odds) = line.split_at_mut(self.pitch);
                let at_element = |i: usize| (self.first + 2 * i as isize) as usize;
                let pairs = vectors(simd, both.len());
                for i in pairs.map(|i| both.start + i) {
                    let pair = &row[at_element(i)..][..2 * S::LANES];
                    let (a, b) = (simd.load(pair), simd.load(&pair[S::LANES..]));
                    special = simd.fma(b, zero, simd.fma(a, zero, special));
                    let (a, b) = simd.deinterleave(a, b);
                    simd.store(a, &mut evens[i..]);
                    simd.store(b, &mut odds[i..]);
                }
                let paired = if both.len() < S::LANES { both.start..both.start } else { both };
                for (q, (inside, phase)) in [(even, evens), (odd, odds)].into_iter().enumerate() {
                    let rest =
                        (inside.start..paired.start.min(inside.end)).chain(paired.end.max(inside.start)..inside.end);
                    for i in rest {
                        phase[i] = row[(self.first + (2 * i + q) as isize) as usize];
                        finite &= phase[i].is_finite();
                    }
                }
            }
            phases => {
                for (q, (inside, phase)) in phases.iter().zip(line.chunks_exact_mut(self.pitch)).enumerate() {
                    let start = (self.first + (inside.start * self.stride + q) as isize) as usize;
                    let src = row.get(start..).unwrap_or_default().iter().step_by(self.stride);
                    for (dst, src) in phase[inside.clone()].iter_mut().zip(src) {
                        *dst = *src;
                        finite &= src.is_finite();
                    }
                }
            }
        }
        // 0 · x is NaN for infinities and NaN, else a zero.
        finite && simd.reduce_sum(special) == 0.0
    }
}

/// The way back: out\[j\] is element `(q0 + j) / stride` of phase `(q0 + j) mod stride`.
#[inline(always)]
pub(crate) fn weave_row<S: Simd>(simd: S, phases: &[f32], pitch: usize, stride: usize, q0: usize, out: &mut [f32]) {
    if stride == 1 {
        out.copy_from_slice(&phases[q0..q0 + out.len()]);
        return;
    }
    if stride == 2 && out.len() > 2 * S::LANES {
        let (even, odd) = phases.split_at(pitch);
        // Pairs begin at an even element; a lone odd one may come before them, a lone even one after.
        let pairs = (out.len() - q0) / 2;
        if q0 == 1 {
            out[0] = odd[0];
        }
        for at in vectors(simd, pairs) {
            let i = q0 + at;
            let (a, b) = simd.interleave(simd.load(&even[i..]), simd.load(&odd[i..]));
            let pair = &mut out[q0 + 2 * at..][..2 * S::LANES];
            simd.store(a, pair);
            simd.store(b, &mut pair[S::LANES..]);
        }
        if (out.len() - q0) % 2 == 1 {
            out[q0 + 2 * pairs] = even[q0 + pairs];
        }
        return;
    }
    for (q, phase) in phases.chunks_exact(pitch).enumerate() {
        let (i, j) = if q < q0 { (1, q + stride - q0) } else { (0, q - q0) };
        for (out, x) in out.iter_mut().skip(j).step_by(stride).zip(&phase[i..]) {
            *out = *x;
        }
    }
}

/// The columns of one output window on their way back to the pool's input side.
///
/// Column x lies in phase (x + pad) mod stride, at element (x + pad) / stride − `first`; tap t of output o lands on
/// element o + t · dilation / stride of phase t · dilation mod stride.
#[derive(Clone, Copy)]
pub(crate) struct WayBack {
    /// The number of element 0 of a phase.
    pub(crate) first: usize,
    /// Elements of a phase, in whole vectors.
    pub(crate) pitch: usize,
    /// At least the farthest element, counted from its output, that a tap lands on; in whole cache lines.
    pub(crate) reach: usize,
    /// Where in the phases the window's first column lies.
    pub(crate) q0: usize,
}

impl WayBack {
    /// For the columns `x0..x1`.
    #[inline(always)]
    pub(crate) fn new<S: Simd>(simd: S, geometry: &Geometry, x0: usize, x1: usize) -> Self {
        let (stride, pad) = (geometry.stride[1], geometry.pads[1]);
        let first = (x0 + pad) / stride;
        Self {
            first,
            pitch: whole_vectors(simd, (x1 - 1 + pad) / stride + 1 - first),
            reach: whole_cache_lines((geometry.kernel[1] - 1) * geometry.dilation[1] / stride),
            q0: (x0 + pad) % stride,
        }
    }

    /// Elements of a line of outputs: from `first − reach` on, as many as all taps of a phase read, and one more for
    /// a phase that is read one element ahead of another.
    #[inline(always)]
    pub(crate) fn line(&self) -> usize {
        whole_cache_lines(self.pitch + self.reach + 1)
    }

    /// What lands on each phase.
    pub(crate) fn landings(&self, geometry: &Geometry) -> Vec<Landing> {
        let stride = geometry.stride[1];
        let mut phases = vec![Landing::default(); stride];
        for kx in (0..geometry.kernel[1]).rev() {
            let t = kx * geometry.dilation[1];
            phases[t % stride].taps.push(kx);
            phases[t % stride].starts.push(self.reach - t / stride);
        }
        phases
    }

    /// Which elements of a line the outputs of `window` are, and the place in their row of the first of them.
    pub(crate) fn present(&self, window: Window) -> (Range<usize>, usize) {
        let first = (self.first as isize - self.reach as isize) - window.x0 as isize;
        let lo = (-first).clamp(0, self.line() as isize);
        let hi = (window.width() as isize - first).clamp(lo, self.line() as isize);
        (lo as usize..hi as usize, if lo < hi { (first + lo) as usize } else { 0 })
    }
}

/// The taps that land on one phase, from the last down: so the outputs that cover a cell come in rising order.
#[derive(Clone, Default)]
pub(crate) struct Landing {
    /// Which taps.
    pub(crate) taps: Vec<usize>,
    /// Where in a line of outputs each begins.
    pub(crate) starts: Vec<usize>,
}

/// `$call::<S, n>(…)` for the number n, 1 to 4, of vectors in the next block of `$left` vectors.
macro_rules! by_block {
    ($left:expr, $n:ident => $call:expr) => {
        match $left {
            1 => {
                const $n: usize = 1;
                $call
            }
            2 => {
                const $n: usize = 2;
                $call
            }
            3 => {
                const $n: usize = 3;
                $call
            }
            _ => {
                const $n: usize = 4;
                $call
            }
        }
    };
}
pub(crate) use by_block;

/// Stores a block of vectors to as many elements as `out` has.
#[inline(always)]
pub(crate) fn store_block<S: Simd, const N: usize>(simd: S, block: [S::F32; N], out: &mut [f32]) {
    if out.len() >= N * S::LANES {
        let out = &mut out[..N * S::LANES];
        for i in 0..N {
            simd.store(block[i], &mut out[i * S::LANES..]);
        }
        return;
    }
    if N == 1 {
        simd.store_partial(block[0], out);
        return;
    }
    // By number, so that the block stays in registers.
    for i in 0..N {
        if i * S::LANES < out.len() {
            simd.store_some(block[i], &mut out[i * S::LANES..]);
        }
    }
}

/// dst\[i\] = Σ lines\[row + tap + i\], row by row and tap by tap; `dst` is in whole vectors.
#[inline(always)]
pub(crate) fn sum_taps<S: Simd>(simd: S, lines: &[f32], rows: &[usize], taps: &[usize], dst: &mut [f32]) {
    #[inline(always)]
    fn block<S: Simd, const N: usize>(simd: S, lines: &[f32], rows: &[usize], taps: &[usize], dst: &mut [f32]) {
        let mut sum = [simd.splat(0.0); N];
        for row in rows {
            for tap in taps {
                let line = &lines[row + tap..][..N * S::LANES];
                for n in 0..N {
                    sum[n] = simd.add(sum[n], simd.load(&line[n * S::LANES..]));
                }
            }
        }
        store_block(simd, sum, dst);
    }
    let mut at = 0;
    while at < dst.len() {
        let left = (dst.len() - at) / S::LANES;
        let (lines, dst) = (&lines[at..], &mut dst[at..]);
        at += S::LANES * by_block!(left, N => { block::<S, N>(simd, lines, rows, taps, dst); N });
    }
}
