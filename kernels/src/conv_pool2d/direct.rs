//! A convolution of few taps and its pool at a stride of 2: the rows between them stay in the first cache.
//!
//! ```text
//! for mr filters
//!   for rows of the pool
//!     the rows of the convolution that no row before has read ─▶ ring of 2 or 3 rows of mr channels ─▶ pooled rows
//! ```

use std::cell::Cell;

use super::ConvPool2d;
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::conv2d::Activation;
use crate::direct::{Direct, Rows, Soon, rows};
use crate::gemm::{MAX_PANEL_HEIGHT, Packed, PackedA, Panels};
use crate::geometry::{Geometry, Window};
use crate::im2col::Im2col;
use crate::max_pool2d::tapless;
use crate::padded::Padded;
use crate::rows::{whole_cache_lines, whole_vectors};
use crate::simd::{Simd, SimdOp};
use crate::view::{Maps, PlaneMut};

thread_local! {
    /// This thread's ring, kept from band to band.
    static RING: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Whether the pool `geometry` from maps of `size` can be fused so.
pub(super) fn can(geometry: &Geometry, size: [usize; 2], full: [usize; 2]) -> bool {
    let Geometry { kernel, stride, dilation, .. } = *geometry;
    let square = kernel == [2, 2] || kernel == [3, 3];
    // Each row of outputs reads a row, each output a column.
    let rows = geometry.pads[0] < kernel[0] && (full[0] - 1) * stride[0] < size[0] + geometry.pads[0];
    square && stride[1] == 2 && dilation == [1, 1] && rows && !tapless(geometry, Window::full(full), size[1])
}

/// Rows `window` of `planes`, which are all pooled maps of one image.
pub(super) fn run(
    cpu: &Cpu,
    work: &ConvPool2d<'_>,
    filters: &PackedA,
    input: Maps<'_>,
    window: Window,
    planes: Vec<PlaneMut<'_>>,
) {
    let between = work.pool.input_window(window, work.size);
    let copy = Padded::new(cpu, input, &work.conv.geometry, between);
    let taps = Im2col::padded_taps(&work.conv.geometry, work.conv.in_channels, &copy);
    let relu = work.activation == Activation::Relu;
    let conv = Direct { copy: &copy, taps: &taps, filters, bias: work.bias, relu };
    cpu.level.dispatch(Band { work, conv, between, window, planes });
}

struct Band<'a> {
    work: &'a ConvPool2d<'a>,
    conv: Direct<'a>,
    /// Of the convolution's maps.
    between: Window,
    /// Of the pooled maps.
    window: Window,
    planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.work.pool.kernel[1] {
            2 => simd.vectorize(Square::<2>(self)),
            _ => simd.vectorize(Square::<3>(self)),
        }
    }
}

/// A pool of `N` × `N` cells.
struct Square<'a, const N: usize>(Band<'a>);

impl<const N: usize> SimdOp for Square<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Band { work, conv, between, window, mut planes } = self.0;
        let (pool, size) = (&work.pool, work.size);
        // A row of the ring has what pads it on both sides, as much as whole vectors of outputs read.
        let (left, width) = (pool.pads[1], size[1]);
        let pitch = whole_cache_lines(left + whole_vectors(simd, width).max(2 * whole_vectors(simd, window.width())));
        let slot = MAX_PANEL_HEIGHT * pitch;
        // Whether an output reads what is computed beyond the map.
        let hangs = 2 * (window.x1 - 1) + N > left + width;
        let mut ring = AlignedBuf::reused(RING.take(), N * slot);
        ring[..N * slot].fill(f32::NEG_INFINITY);
        let mut lines = ring.chunks_exact_mut(slot).map(|cells| rows(cells, pitch));
        let mut slots: [Rows<'_>; N] = std::array::from_fn(|_| lines.next().expect("a slot for each row"));
        for p in 0..conv.filters.panels() {
            let planes = &mut planes[conv.filters.panel_rows(p)];
            let mut next = between.y0;
            for oy in window.y0..window.y1 {
                let mut soon = Soon { rows: [std::ptr::null(); MAX_PANEL_HEIGHT], ahead: 0, step: 2 };
                for (soon, plane) in soon.rows.iter_mut().zip(planes.iter_mut()) {
                    *soon = plane.row_mut(oy).as_ptr();
                }
                let read = pool.input_window(Window { y0: oy, y1: oy + 1, ..window }, size);
                for y in next.max(read.y0)..read.y1 {
                    let rows = &mut slots[y % N];
                    conv.row(simd, [0, y - between.y0, p], left, width, rows, &soon);
                    if hangs {
                        for row in &mut rows[..planes.len()] {
                            row[left + width..left + whole_vectors(simd, width)].fill(f32::NEG_INFINITY);
                        }
                    }
                }
                next = read.y1;
                // A row that is not there is one that is.
                let read: [usize; N] = std::array::from_fn(|i| (read.y0 + i).min(read.y1 - 1) % N);
                let mut sum = simd.splat(0.0);
                for (i, plane) in planes.iter_mut().enumerate() {
                    let rows = read.map(|slot| &slots[slot][i][..pitch]);
                    sum = simd.add(sum, maxima(simd, rows, plane.row_mut(oy)));
                }
                if simd.reduce_sum(sum).is_nan() {
                    for (i, plane) in planes.iter_mut().enumerate() {
                        any(read.map(|slot| &slots[slot][i][..pitch]), plane.row_mut(oy));
                    }
                }
            }
        }
        RING.set(Some(ring));
    }
}

/// The maxima of squares of `N` cells of `rows` at a stride of 2, unless some cell is NaN: then some lane of what it gives is
/// NaN. Two vectors of cells are there for each of maxima begun.
#[inline(always)]
fn maxima<S: Simd, const N: usize>(simd: S, rows: [&[f32]; N], out: &mut [f32]) -> S::F32 {
    let zero = simd.splat(0.0);
    let mut sum = [zero; 2];
    let mut pair = columns(simd, &rows, 0, &mut sum);
    let mut at = 0;
    while at < out.len() {
        let (even, odd) = pair;
        let mut best = simd.max(odd, even);
        let more = at + S::LANES < out.len();
        if more {
            pair = columns(simd, &rows, at + S::LANES, &mut sum);
        }
        if N == 3 {
            best = simd.max(simd.shift_in(even, pair.0), best);
        }
        // −0 becomes +0.
        let best = simd.add(best, zero);
        match more {
            true => simd.store(best, &mut out[at..]),
            false => simd.store_partial(best, &mut out[at..]),
        }
        at += S::LANES;
    }
    simd.add(sum[0], sum[1])
}

/// The maxima of the even and of the odd ones of the columns that outputs from `at` on read first; each cell is added to a sum.
#[inline(always)]
fn columns<S: Simd, const N: usize>(simd: S, rows: &[&[f32]; N], at: usize, sum: &mut [S::F32; 2]) -> (S::F32, S::F32) {
    let mut best = [simd.splat(0.0); 2];
    for i in 0..N {
        let row = &rows[i][2 * at..2 * (at + S::LANES)];
        for half in 0..2 {
            let v = simd.load(&row[half * S::LANES..]);
            sum[half] = simd.add(sum[half], v);
            best[half] = if i == 0 { v } else { simd.max(v, best[half]) };
        }
    }
    simd.deinterleave(best[0], best[1])
}

/// The same for any cells, one by one: the first NaN wins.
fn any<const N: usize>(rows: [&[f32]; N], out: &mut [f32]) {
    for (o, out) in out.iter_mut().enumerate() {
        let cells = rows.iter().flat_map(|row| &row[2 * o..2 * o + N]);
        let larger = |best: f32, &v: &f32| if v > best || v.is_nan() && !best.is_nan() { v } else { best };
        *out = cells.fold(f32::NEG_INFINITY, larger) + 0.0;
    }
}
