//! A copy of what a window of outputs reads, with its padding written out and its columns parted by stride.
//!
//! ```text
//! row of the input      a b c d e f           pad 1, stride 2
//! row of the copy       0 b d f │ a c e 0     part 0: columns 0, 2, 4, … of the padded row; part 1: 1, 3, 5, …
//! ```
//! So what a tap reads for adjacent outputs is adjacent, whatever the stride, and nothing asks for borders.

use std::cell::Cell;
use std::ops::Range;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::geometry::{Geometry, Window};
use crate::simd::{Simd, SimdOp};
use crate::view::Maps;

/// The copy; its memory goes back to the thread that made it.
pub(crate) struct Padded {
    buffer: Option<AlignedBuf>,
    pub(crate) batch: usize,
    /// From image to image, channel to channel, row to row.
    pub(crate) strides: [usize; 3],
    /// From part to part of a row.
    pub(crate) part: usize,
    /// From the cells of one row of outputs to those of the next.
    pub(crate) line: usize,
}

thread_local! {
    /// Kept from call to call.
    static BUFFER: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Elements that may be read past the last one.
const SLACK: usize = 64;

impl Padded {
    /// What `window`, not empty, reads of all channels of `input`, which must hold it.
    pub(crate) fn new(cpu: &Cpu, input: Maps<'_>, geometry: &Geometry, window: Window) -> Self {
        let needed = geometry.input_window(window, input.full());
        assert!(
            input.window().contains(needed),
            "the outputs of {window:?} read {needed:?}, the input holds {:?}",
            input.window()
        );
        let [_, s] = geometry.stride;
        let [extent_y, extent_x] = geometry.extent();
        // A single tap reads every s-th row and column: there is no need of the others.
        let [step, parts] = [0, 1].map(|i| if geometry.kernel[i] == 1 { 1 } else { geometry.stride[i] });
        let skip = geometry.stride[0] / step;
        let rows = (window.height() - 1) * step + extent_y;
        let columns = (window.width() - 1) * s + extent_x;
        let part = columns.div_ceil(s);
        let (row, plane) = (part * parts, part * parts * rows);
        let strides = [plane * input.channels(), plane, row];
        let len = strides[0] * input.batch() + SLACK;
        let mut buffer = AlignedBuf::reused(BUFFER.take(), len);
        let origin = [
            (window.y0 * geometry.stride[0]) as isize - geometry.pads[0] as isize,
            (window.x0 * s) as isize - geometry.pads[1] as isize,
        ];
        let parts = (0..parts).map(|p| Part::new(p, part, columns, s, origin[1], [needed.x0, needed.x1])).collect();
        let copy = Copy { input, needed, top: origin[0], parts, part, stride: s, skip };
        // A few planes a task.
        let each = plane * (input.batch() * input.channels()).div_ceil(4 * cpu.threads.count()).max(1);
        let channels = input.channels();
        cpu.threads.chunks_mut(&mut buffer[..strides[0] * input.batch()], each, |i, planes| {
            for (p, plane) in planes.chunks_exact_mut(plane).enumerate() {
                let index = i * (each / plane.len()) + p;
                cpu.level.dispatch(Plane {
                    copy: &copy,
                    image: index / channels,
                    channel: index % channels,
                    row,
                    to: plane,
                });
            }
        });
        Self { buffer: Some(buffer), batch: input.batch(), strides, part, line: row * step }
    }

    /// The first element is what output (0, 0) of the window reads through tap (0, 0) of channel 0.
    pub(crate) fn data(&self) -> &[f32] {
        self.buffer.as_deref().expect("there until it is dropped")
    }
}

impl Drop for Padded {
    fn drop(&mut self) {
        BUFFER.set(self.buffer.take());
    }
}

/// What all planes share.
struct Copy<'a> {
    input: Maps<'a>,
    /// The cells that are there.
    needed: Window,
    /// Row of the copy's first cell; negative in the padding.
    top: isize,
    /// Of a row.
    parts: Vec<Part>,
    /// Columns of a part.
    part: usize,
    stride: usize,
    /// Rows of the input from row to row of the copy.
    skip: usize,
}

/// Columns of the copy that lie `stride` apart in the input.
struct Part {
    /// Those that are there; zeros before and after.
    here: Range<usize>,
    /// Column of the first of them, in the input.
    from: usize,
}

impl Part {
    /// Part `p` of `len` columns of a row of `columns`, of which the first is column `left` of the input and those
    /// from `first` to `end` are there.
    fn new(p: usize, len: usize, columns: usize, stride: usize, left: isize, [first, end]: [usize; 2]) -> Self {
        // Column i is cell start + i·stride.
        let start = left + p as isize;
        let beyond = |x: usize| ((x as isize - start).max(0) as usize).div_ceil(stride);
        let hi = beyond(end).min(columns.saturating_sub(p).div_ceil(stride)).min(len);
        let lo = beyond(first).min(hi);
        Self { here: lo..hi, from: (start + (lo * stride) as isize).max(0) as usize }
    }
}

struct Plane<'a> {
    copy: &'a Copy<'a>,
    image: usize,
    channel: usize,
    row: usize,
    to: &'a mut [f32],
}

impl SimdOp for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match self.copy.stride {
            1 => self.rows::<S, 1>(simd),
            2 => self.rows::<S, 2>(simd),
            4 => self.rows::<S, 4>(simd),
            _ => self.rows::<S, 0>(simd),
        }
    }
}

impl Plane<'_> {
    /// `STRIDE` is the stride, or 0 for one that is not known.
    #[inline(always)]
    fn rows<S: Simd, const STRIDE: usize>(self, simd: S) {
        let Copy { input, needed, top, ref parts, part, stride, skip } = *self.copy;
        let stride = if STRIDE > 0 { STRIDE } else { stride };
        let first = input.window().x0;
        for (y, row) in self.to.chunks_exact_mut(self.row).enumerate() {
            let y = top + (y * skip) as isize;
            if y < needed.y0 as isize || y >= needed.y1 as isize || needed.is_empty() {
                row.fill(0.0);
                continue;
            }
            let row_in = input.row(self.image, self.channel, y as usize);
            for (to, Part { here, from }) in row.chunks_exact_mut(part).zip(parts) {
                clear(simd, &mut to[..here.start]);
                clear(simd, &mut to[here.end..]);
                if here.is_empty() {
                    continue;
                }
                let (from, to) = (&row_in[from - first..], &mut to[here.clone()]);
                let whole = (to.len() / S::LANES).min(from.len() / (stride * S::LANES)) * S::LANES;
                let (head, tail) = to.split_at_mut(whole);
                let (from_head, from_tail) = from.split_at(whole * stride);
                for (to, from) in head.chunks_exact_mut(S::LANES).zip(from_head.chunks_exact(S::LANES * stride)) {
                    simd.store(spaced(simd, from, stride), to);
                }
                for (i, to) in tail.chunks_mut(S::LANES).enumerate() {
                    simd.store_partial(spaced(simd, &from_tail[i * S::LANES * stride..], stride), to);
                }
            }
        }
    }
}

/// Fills a short row with zeros.
#[inline(always)]
fn clear<S: Simd>(simd: S, row: &mut [f32]) {
    for part in row.chunks_mut(S::LANES) {
        simd.store_partial(simd.splat(0.0), part);
    }
}

/// The elements of `from` at 0, `stride`, 2·`stride`, …: a vector full, arbitrary beyond the end.
#[inline(always)]
pub(crate) fn spaced<S: Simd>(simd: S, from: &[f32], stride: usize) -> S::F32 {
    let at = |i: usize| match from.get(i * S::LANES..(i + 1) * S::LANES) {
        Some(from) => simd.load(from),
        None => simd.load_partial(&from[(i * S::LANES).min(from.len())..], 0.0),
    };
    let every_second = |a, b| simd.deinterleave(a, b).0;
    match stride {
        1 => at(0),
        2 => every_second(at(0), at(1)),
        4 => every_second(every_second(at(0), at(1)), every_second(at(2), at(3))),
        _ => {
            let mut lanes = [0.0; 16];
            for (lane, x) in lanes.iter_mut().zip(from.iter().step_by(stride)).take(S::LANES) {
                *lane = *x;
            }
            simd.load(&lanes)
        }
    }
}
