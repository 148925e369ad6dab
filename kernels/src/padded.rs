//! A copy of what a window of outputs reads, with its padding written out and its columns parted by stride.
//!
//! ```text
//! row of the input      a b c d e f           pad 1, stride 2
//! row of the copy       0 b d f │ a c e 0     part 0: columns 0, 2, 4, … of the padded row; part 1: 1, 3, 5, …
//! ```
//! So what a tap reads for adjacent outputs is adjacent, whatever the stride, and nothing asks for borders.

use std::cell::Cell;

use crate::Cpu;
use crate::aligned::{AlignedBuf, LINE};
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

/// Elements from what is read to the row that is asked for, at least: where columns or rows are skipped, the processor sees late
/// where they lead.
const AHEAD: usize = 2048;

impl Padded {
    /// What `window`, not empty, reads of all channels of `input`, which must hold it.
    pub(crate) fn new(cpu: &Cpu, input: Maps<'_>, geometry: &Geometry, window: Window) -> Self {
        let needed = geometry.input_window(window, input.full());
        input.check_holds(needed);
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
        let copy = Copy { input, needed, origin, parts, part, stride: s, skip };
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
    /// Row and column of the copy's first cell; negative in the padding.
    origin: [isize; 2],
    /// Of a row, and columns of each, which lie `stride` apart in the input.
    parts: usize,
    part: usize,
    stride: usize,
    /// Rows of the input from row to row of the copy.
    skip: usize,
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
        match (self.copy.stride, self.copy.parts) {
            (1, 1) => self.rows::<S, 1, 1>(simd),
            (2, 1) => self.rows::<S, 2, 1>(simd),
            (2, 2) => self.rows::<S, 2, 2>(simd),
            (4, 1) => self.rows::<S, 4, 1>(simd),
            (4, 4) => self.rows::<S, 4, 4>(simd),
            _ => self.rows::<S, 0, 0>(simd),
        }
    }
}

impl Plane<'_> {
    /// `STRIDE` and `PARTS` are 0 where they are none that vectors are parted by.
    #[inline(always)]
    fn rows<S: Simd, const STRIDE: usize, const PARTS: usize>(self, simd: S) {
        let Copy { input, needed, origin: [top, left], parts, part, stride, skip } = *self.copy;
        let (parts, stride) = if PARTS > 0 { (PARTS, STRIDE) } else { (parts, stride) };
        let first = input.window().x0;
        // A map of one row may have any stride.
        let apart = input.layout().strides[2].saturating_mul(skip).max(1);
        let ahead = AHEAD.checked_next_multiple_of(apart).unwrap_or(0);
        // Which of the cells that are there the first column of part 0 is.
        let left = left - needed.x0 as isize;
        for (y, row) in self.to.chunks_exact_mut(self.row).enumerate() {
            let y = top + (y * skip) as isize;
            if y < needed.y0 as isize || y >= needed.y1 as isize || needed.is_empty() {
                row.fill(0.0);
                continue;
            }
            let cells = &input.row(self.image, self.channel, y as usize)[needed.x0 - first..needed.x1 - first];
            for at in (0..if STRIDE > 1 { cells.len() } else { 0 }).step_by(LINE) {
                simd.prefetch(cells, at.wrapping_add(ahead));
            }
            if PARTS == 0 {
                for (p, to) in row.chunks_exact_mut(part).enumerate() {
                    for (i, x) in to.iter_mut().enumerate() {
                        *x = *cells.get((left + (p + i * stride) as isize) as usize).unwrap_or(&0.0);
                    }
                }
                continue;
            }
            for at in (0..part).step_by(S::LANES) {
                let columns = parted::<S, STRIDE>(simd, cells, left + (at * stride) as isize);
                let len = S::LANES.min(part - at);
                for p in 0..parts {
                    let to = &mut row[p * part + at..][..len];
                    simd.store_some(columns[p], to);
                }
            }
        }
    }
}

/// The cells of `from` from `at` on, zero where there are none, parted by `STRIDE`: 1, 2 or 4 vectors.
#[inline(always)]
fn parted<S: Simd, const STRIDE: usize>(simd: S, from: &[f32], at: isize) -> [S::F32; 4] {
    let mut v = [simd.splat(0.0); 4];
    let inside = usize::try_from(at).ok().and_then(|at| from.get(at..at + STRIDE * S::LANES));
    for i in 0..STRIDE {
        v[i] = match inside {
            Some(from) => simd.load(&from[i * S::LANES..]),
            None => simd.load_within(from, at + (i * S::LANES) as isize),
        };
    }
    match STRIDE {
        2 => (v[0], v[1]) = simd.deinterleave(v[0], v[1]),
        4 => {
            let ((a, b), (c, d)) = (simd.deinterleave(v[0], v[1]), simd.deinterleave(v[2], v[3]));
            ((v[0], v[2]), (v[1], v[3])) = (simd.deinterleave(a, c), simd.deinterleave(b, d));
        }
        _ => {}
    }
    v
}

/// The elements of `from` at 0, `stride`, 2·`stride`, …: a vector full, arbitrary beyond the end.
#[inline(always)]
pub(crate) fn spaced<S: Simd>(simd: S, from: &[f32], stride: usize) -> S::F32 {
    match stride {
        1 => simd.load_within(from, 0),
        2 => parted::<S, 2>(simd, from, 0)[0],
        4 => parted::<S, 4>(simd, from, 0)[0],
        _ => {
            let mut lanes = [0.0; 16];
            for (lane, x) in lanes.iter_mut().zip(from.iter().step_by(stride)).take(S::LANES) {
                *lane = *x;
            }
            simd.load(&lanes)
        }
    }
}
