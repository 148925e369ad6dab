//! A copy of what a window of outputs reads, with its padding written out and its columns parted by stride.
//!
//! ```text
//! row of the input      a b c d e f           pad 1, stride 2
//! row of the copy       0 b d f │ a c e 0     part 0: columns 0, 2, 4, … of the padded row; part 1: 1, 3, 5, …
//! ```
//! So what a tap reads for adjacent outputs is adjacent, whatever the stride, and nothing asks for borders.

use std::cell::Cell;

use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::geometry::{Geometry, Window};
use crate::im2col::spaced;
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
        let copy = Copy { input, needed, origin, columns, part, stride: s, skip };
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
    /// Columns before they are parted.
    columns: usize,
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
        let Copy { input, needed, origin, columns, part, stride, skip } = *self.copy;
        let first = input.window().x0;
        for (y, row) in self.to.chunks_exact_mut(self.row).enumerate() {
            let y = origin[0] + (y * skip) as isize;
            if y < needed.y0 as isize || y >= needed.y1 as isize || needed.is_empty() {
                row.fill(0.0);
                continue;
            }
            let from = input.row(self.image, self.channel, y as usize);
            for (p, to) in row.chunks_exact_mut(part).enumerate() {
                // Column i of part p is cell origin + i·s + p; those in lo..hi are there.
                let start = origin[1] + p as isize;
                let lo = ((needed.x0 as isize - start).max(0) as usize).div_ceil(stride).min(part);
                let hi = ((needed.x1 as isize - start).max(0) as usize).div_ceil(stride).min(part).max(lo);
                let hi = hi.min((columns.saturating_sub(p)).div_ceil(stride)).max(lo);
                clear(simd, &mut to[..lo]);
                clear(simd, &mut to[hi..]);
                if lo == hi {
                    continue;
                }
                let from = &from[(start + (lo * stride) as isize) as usize - first..];
                let to = &mut to[lo..hi];
                let mut i = 0;
                while i + S::LANES <= to.len() {
                    simd.store(spaced(simd, &from[i * stride..], stride, S::LANES), &mut to[i..]);
                    i += S::LANES;
                }
                if stride == 1 {
                    let rest = to.len() - i;
                    simd.store_partial(simd.load_partial(&from[i..][..rest], 0.0), &mut to[i..]);
                    continue;
                }
                for (to, from) in to[i..].iter_mut().zip(from[(i * stride).min(from.len())..].iter().step_by(stride)) {
                    *to = *from;
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
