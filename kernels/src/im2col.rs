//! Virtual im2col: panels of the column matrix are packed straight from the image, for any window of the output; the
//! matrix itself is never written.
//!
//! ```text
//! row k     = (c, ky, kx) in the order of the filters
//! column j  = (n, y, x), the cells of the output window, image by image
//! element   = in(n, c, y·s − p + ky·d, x·s − p + kx·d), zero in the padding
//! ```
//! The columns of a panel are a few *runs*: cells of one output row, which read cells of one input row, `s` apart.

use std::ops::Range;

use crate::gemm::{Columns, MAX_PANEL_WIDTH};
use crate::geometry::{Geometry, Window};
use crate::simd::Simd;
use crate::view::{Layout, Maps};

/// The column matrix of a batch of maps for a window of the output.
pub(crate) struct Im2col<'a> {
    data: &'a [f32],
    layout: Layout,
    geometry: Geometry,
    /// Of the output.
    window: Window,
}

impl<'a> Im2col<'a> {
    /// All cells that `window` reads must be present in `input`, or padding.
    pub(crate) fn new(input: Maps<'a>, geometry: &Geometry, window: Window) -> Self {
        let needed = geometry.input_window(window, input.full());
        assert!(
            input.window().contains(needed),
            "the outputs of {window:?} read {needed:?}, the input holds {:?}",
            input.window()
        );
        let mut this = Self { data: input.data(), layout: input.layout(), geometry: *geometry, window };
        this.join_rows();
        this
    }

    /// A kernel of one cell over rows without gaps takes the window as one long row.
    fn join_rows(&mut self) {
        let (g, layout) = (self.geometry, self.layout);
        let whole = self.window.width() == layout.window.width() && layout.strides[2] == layout.window.width();
        if g.kernel == [1, 1] && g.stride == [1, 1] && g.pads == [0; 4] && whole && !self.window.is_empty() {
            let first = self.window.y0 - layout.window.y0;
            let width = self.window.width();
            let present = Window::full([1, layout.window.area()]);
            self.layout = Layout { full: [1, present.x1], window: present, ..layout };
            self.window = Window { y0: 0, x0: first * width, y1: 1, x1: (first + self.window.height()) * width };
        }
    }
}

/// Adjacent columns of a panel that are adjacent cells of one output row.
#[derive(Clone, Copy, Default)]
struct Run {
    /// First column in the panel.
    at: usize,
    /// Columns.
    len: usize,
    /// Where the image begins in the data.
    image: usize,
    /// Row and column that tap (0, 0) of the first cell reads; negative in the padding.
    y: isize,
    x: isize,
}

/// Which columns of a run read inside the map, for one `kx`, and the first cell that they read.
#[derive(Clone, Copy, Default)]
struct Clip {
    from: usize,
    to: usize,
    x: usize,
}

impl Im2col<'_> {
    /// The runs of columns `j`, and how many.
    fn runs(&self, j: Range<usize>) -> ([Run; MAX_PANEL_WIDTH], usize) {
        let g = &self.geometry;
        let (width, height) = (self.window.width(), self.window.height());
        let mut runs = [Run::default(); MAX_PANEL_WIDTH];
        let mut count = 0;
        let mut at = 0;
        while at < j.len() {
            let (line, x) = ((j.start + at) / width, (j.start + at) % width);
            let len = (width - x).min(j.len() - at);
            runs[count] = Run {
                at,
                len,
                image: line / height * self.layout.strides[0],
                y: ((self.window.y0 + line % height) * g.stride[0]) as isize - g.pads[0] as isize,
                x: ((self.window.x0 + x) * g.stride[1]) as isize - g.pads[1] as isize,
            };
            count += 1;
            at += len;
        }
        (runs, count)
    }

    /// The part of `run` that reads inside the map through the taps of column `kx`.
    fn clip(&self, run: &Run, kx: usize) -> Clip {
        let stride = self.geometry.stride[1];
        let x = run.x + (kx * self.geometry.dilation[1]) as isize;
        let from = x.min(0).unsigned_abs().div_ceil(stride).min(run.len);
        let inside = (self.layout.full[1] as isize - x).max(0) as usize;
        let to = inside.div_ceil(stride).clamp(from, run.len);
        if from == to {
            return Clip::default();
        }
        // Present, as all that the window reads is.
        Clip { from, to, x: (x + (from * stride) as isize) as usize - self.layout.window.x0 }
    }
}

impl Columns for Im2col<'_> {
    fn k(&self) -> usize {
        self.layout.channels * self.geometry.kernel[0] * self.geometry.kernel[1]
    }

    fn count(&self) -> usize {
        self.layout.batch * self.window.area()
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, k: Range<usize>, j: Range<usize>, width: usize, panel: &mut [f32]) {
        let [kh, kw] = self.geometry.kernel;
        let [_, channel, line] = self.layout.strides;
        let columns = j.len();
        let (runs, count) = self.runs(j);
        let runs = &runs[..count];
        let clips: Vec<Clip> = (0..kw).flat_map(|kx| runs.iter().map(move |run| self.clip(run, kx))).collect();

        let (mut c, mut ky, mut kx) = (k.start / (kh * kw), k.start / kw % kh, k.start % kw);
        for step in 0..k.len() {
            let row = step * width;
            for (run, clip) in runs.iter().zip(&clips[kx * count..]) {
                let y = run.y + (ky * self.geometry.dilation[0]) as isize;
                let to = row + run.at;
                if y < 0 || y as usize >= self.layout.full[0] || clip.from == clip.to {
                    zeros(simd, panel, to, run.len);
                    continue;
                }
                let from = run.image + c * channel + (y as usize - self.layout.window.y0) * line + clip.x;
                zeros(simd, panel, to, clip.from);
                copy(simd, &self.data[from..], self.geometry.stride[1], panel, to + clip.from, clip.to - clip.from);
                zeros(simd, panel, to + clip.to, run.len - clip.to);
            }
            zeros(simd, panel, row + columns, width - columns);
            kx += 1;
            if kx == kw {
                kx = 0;
                ky += 1;
                if ky == kh {
                    ky = 0;
                    c += 1;
                }
            }
        }
    }
}

/// `len` zeros, rounded up to whole vectors: what follows is written later.
#[inline(always)]
fn zeros<S: Simd>(simd: S, panel: &mut [f32], at: usize, len: usize) {
    for i in (0..len).step_by(S::LANES) {
        simd.store(simd.splat(0.0), &mut panel[at + i..]);
    }
}

/// `len` elements `stride` apart from the start of `from`, rounded up to whole vectors: what follows is written later.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], stride: usize, panel: &mut [f32], at: usize, len: usize) {
    for i in (0..len).step_by(S::LANES) {
        let v = spaced(simd, &from[i * stride..], stride, len - i);
        simd.store(v, &mut panel[at + i..]);
    }
}

/// The elements of `from` at 0, `stride`, 2·`stride`, …: `len` of them or a vector full, the rest arbitrary.
#[inline(always)]
pub(crate) fn spaced<S: Simd>(simd: S, from: &[f32], stride: usize, len: usize) -> S::F32 {
    if stride == 1 {
        return match from.len() >= S::LANES {
            true => simd.load(from),
            false => simd.load_partial(&from[..len.min(from.len())], 0.0),
        };
    }
    if stride == 2 && from.len() >= 2 * S::LANES {
        return simd.deinterleave(simd.load(from), simd.load(&from[S::LANES..])).0;
    }
    let mut lanes = [0.0; 16];
    for (lane, x) in lanes.iter_mut().zip(from.iter().step_by(stride)).take(len.min(S::LANES)) {
        *lane = *x;
    }
    simd.load(&lanes)
}
