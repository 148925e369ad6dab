//! What the map kernels share: planes handed to threads, and rows brought into the order of vectors.
//!
//! A pool of stride s reads every s-th cell of a row. Parting the padded row into its s phases first makes every tap a
//! plain vector load, at any stride, dilation and padding, with no case for borders:
//!
//! ```text
//! padded row    . . a b c d e f . .        tap t of outputs 0, 1, 2 … (stride 2):
//! phase 0       .   a   c   e   .          phase (t mod 2), from element t / 2 on
//! phase 1         .   b   d   f   .
//! ```

use crate::Cpu;
use crate::geometry::{Geometry, Window};
use crate::simd::Simd;
use crate::view::{Layout, Maps};

/// Cells of a task below which a fork costs more than it gains.
const GRAIN: usize = 1 << 15;

/// Hands `planes`, of `cells` each, to the threads in groups; a group keeps its order. A group's result must not
/// depend on what else is in it.
pub(crate) fn for_groups<T: Send>(cpu: &Cpu, planes: Vec<T>, cells: usize, f: impl Fn(Vec<T>) + Send + Sync) {
    let group = GRAIN.div_ceil(cells.max(1)).max(planes.len().div_ceil(8 * cpu.threads.count()));
    if planes.is_empty() {
        return;
    }
    if cpu.threads.count() == 1 || planes.len() <= group {
        f(planes);
    } else {
        let mut groups = Vec::with_capacity(planes.len().div_ceil(group));
        let mut planes = planes.into_iter().peekable();
        while planes.peek().is_some() {
            groups.push(planes.by_ref().take(group).collect());
        }
        cpu.threads.for_each(groups, f);
    }
}

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
    cells.div_ceil(S::LANES) * S::LANES
}

/// The last rows that were brought into order, each in the slot of its number modulo the capacity.
pub(crate) struct Ring {
    /// capacity × len
    pub(crate) lines: Vec<f32>,
    len: usize,
    held: Vec<usize>,
}

impl Ring {
    /// Room for `capacity` rows of `len` elements.
    pub(crate) fn new(capacity: usize, len: usize) -> Self {
        Self { lines: vec![0.0; capacity * len], len, held: vec![usize::MAX; capacity] }
    }

    /// Forgets all rows: another map follows.
    pub(crate) fn clear(&mut self) {
        self.held.fill(usize::MAX);
    }

    /// The slot of `row`, where its line begins, and whether it is there already (from now on it counts as there).
    #[inline(always)]
    pub(crate) fn claim(&mut self, row: usize) -> (usize, usize, bool) {
        let slot = row % self.held.len();
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

/// Copies and says whether all numbers are finite.
#[inline(always)]
fn copy_finite<S: Simd>(simd: S, src: &[f32], dst: &mut [f32]) -> bool {
    let zero = simd.splat(0.0);
    let mut sum = zero;
    let (src_tail, dst_tail) = {
        let mut from = src.chunks_exact(S::LANES);
        let mut to = dst.chunks_exact_mut(S::LANES);
        for (from, to) in from.by_ref().zip(to.by_ref()) {
            let v = simd.load(from);
            sum = simd.fma(v, zero, sum);
            simd.store(v, to);
        }
        (from.remainder(), to.into_remainder())
    };
    let v = simd.load_partial(src_tail, 0.0);
    simd.store_partial(v, dst_tail);
    // 0 · x is NaN for infinities and NaN, else a zero.
    simd.reduce_sum(simd.fma(v, zero, sum)) == 0.0
}

/// Parts a row into the first `dst.len() / pitch` of its `stride` phases: dst\[q · pitch + i\] is the element
/// `first + i · stride + q` of `src`, or `fill` outside of it. Says whether all it read was finite.
#[inline(always)]
pub(crate) fn split_row<S: Simd>(
    simd: S,
    src: &[f32],
    first: isize,
    stride: usize,
    pitch: usize,
    fill: f32,
    dst: &mut [f32],
) -> bool {
    let len = src.len() as isize;
    let phases = dst.len() / pitch;
    let mut finite = true;
    if stride == 1 {
        let lo = (-first).clamp(0, pitch as isize);
        let hi = (len - first).clamp(lo, pitch as isize);
        dst[..lo as usize].fill(fill);
        dst[hi as usize..].fill(fill);
        if lo < hi {
            let src = &src[(first + lo) as usize..(first + hi) as usize];
            finite = copy_finite(simd, src, &mut dst[lo as usize..hi as usize]);
        }
        return finite;
    }
    // The elements lo..hi have all their phases inside `src`.
    let (lo, hi) = if stride == 2 && phases == 2 {
        let lo = (1 - first).div_euclid(2).clamp(0, pitch as isize);
        let hi = (len - first).div_euclid(2).clamp(lo, pitch as isize);
        let (mut i, hi) = (lo as usize, hi as usize);
        let (even, odd) = dst.split_at_mut(pitch);
        let zero = simd.splat(0.0);
        let mut sum = zero;
        let lo = i;
        while i < hi && hi - lo >= S::LANES {
            // The last vector overlaps the one before it.
            let at = i.min(hi - S::LANES);
            let pair = &src[(first + 2 * at as isize) as usize..][..2 * S::LANES];
            let (a, b) = (simd.load(pair), simd.load(&pair[S::LANES..]));
            sum = simd.fma(b, zero, simd.fma(a, zero, sum));
            let (a, b) = simd.deinterleave(a, b);
            simd.store(a, &mut even[at..]);
            simd.store(b, &mut odd[at..]);
            i = at + S::LANES;
        }
        finite = simd.reduce_sum(sum) == 0.0;
        (lo, i)
    } else {
        (0, 0)
    };
    for (q, phase) in dst.chunks_exact_mut(pitch).enumerate() {
        // Inside `src` from the first element not below 0 to the last below its length.
        let (stride, first) = (stride as isize, first + q as isize);
        let inside = (stride - 1 - first).div_euclid(stride).clamp(0, pitch as isize) as usize;
        let outside = (len - first + stride - 1).div_euclid(stride).clamp(inside as isize, pitch as isize) as usize;
        phase[..inside].fill(fill);
        phase[outside..].fill(fill);
        for i in (inside..lo.max(inside)).chain(hi.max(inside)..outside) {
            let x = src[(first + i as isize * stride) as usize];
            finite &= x.is_finite();
            phase[i] = x;
        }
    }
    finite
}

/// The way back: out\[j\] is element `(q0 + j) / stride` of phase `(q0 + j) mod stride`.
#[inline(always)]
pub(crate) fn weave_row<S: Simd>(simd: S, phases: &[f32], pitch: usize, stride: usize, q0: usize, out: &mut [f32]) {
    if stride == 1 {
        out.copy_from_slice(&phases[q0..q0 + out.len()]);
        return;
    }
    let mut done = 0;
    if stride == 2 {
        let (even, odd) = phases.split_at(pitch);
        if q0 == 1 && !out.is_empty() {
            out[0] = odd[0];
            done = 1;
        }
        while done + 2 * S::LANES <= out.len() {
            let i = (q0 + done) / 2;
            let (a, b) = simd.interleave(simd.load(&even[i..]), simd.load(&odd[i..]));
            let pair = &mut out[done..done + 2 * S::LANES];
            simd.store(a, pair);
            simd.store(b, &mut pair[S::LANES..]);
            done += 2 * S::LANES;
        }
    }
    for j in done..out.len() {
        out[j] = phases[(q0 + j) % stride * pitch + (q0 + j) / stride];
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
    /// The farthest element, counted from its output, that a tap lands on.
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
            reach: (geometry.kernel[1] - 1) * geometry.dilation[1] / stride,
            q0: (x0 + pad) % stride,
        }
    }

    /// Elements of a line of outputs: from `first − reach` on, as many as all taps of a phase read.
    #[inline(always)]
    pub(crate) fn line(&self) -> usize {
        self.pitch + self.reach
    }

    /// For each phase the taps that land on it, from the last down, and where in a line of outputs each begins: from
    /// the last tap down, the outputs that cover a cell come in rising order.
    pub(crate) fn taps(&self, geometry: &Geometry) -> Vec<Vec<(usize, usize)>> {
        let stride = geometry.stride[1];
        let mut phases = vec![Vec::new(); stride];
        for kx in (0..geometry.kernel[1]).rev() {
            let t = kx * geometry.dilation[1];
            phases[t % stride].push((kx, self.reach - t / stride));
        }
        phases
    }

    /// Outputs from element 0 of a line to the one at column `x0` of the signal's window.
    #[inline(always)]
    pub(crate) fn start(&self, x0: usize) -> isize {
        (self.first as isize - self.reach as isize) - x0 as isize
    }
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
    for (v, out) in block.into_iter().zip(out.chunks_mut(S::LANES)) {
        if out.len() == S::LANES { simd.store(v, out) } else { simd.store_partial(v, out) }
    }
}

/// dst\[i\] = Σ lines\[tap + i\], the taps in their order; `dst` is in whole vectors.
#[inline(always)]
pub(crate) fn sum_taps<S: Simd>(simd: S, lines: &[f32], taps: &[usize], dst: &mut [f32]) {
    #[inline(always)]
    fn block<S: Simd, const N: usize>(simd: S, lines: &[f32], taps: &[usize], at: usize, dst: &mut [f32]) {
        let mut sum = [simd.splat(0.0); N];
        for tap in taps {
            let line = &lines[tap + at..tap + at + N * S::LANES];
            for n in 0..N {
                sum[n] = simd.add(sum[n], simd.load(&line[n * S::LANES..]));
            }
        }
        store_block(simd, sum, &mut dst[at..at + N * S::LANES]);
    }
    let mut at = 0;
    while at < dst.len() {
        at += S::LANES * by_block!((dst.len() - at) / S::LANES, N => { block::<S, N>(simd, lines, taps, at, dst); N });
    }
}
