//! Virtual im2col: panels of the column matrix are packed straight from the image, for any window of the output; the
//! matrix itself is never written.
//!
//! ```text
//! row k     = (c, ky, kx) in the order of the filters
//! column j  = (n, y, x), the cells of the output window, image by image
//! element   = in(n, c, y·s − p + ky·d, x·s − p + kx·d) = plane[start(j) + tap(k)]
//! ```
//! Start and tap add up because the plane has no border and no stride along rows: it is the input itself where that
//! has neither, else [`padded`](crate::padded)'s copy. The columns of a panel are a few *runs*, cells of one output row.

use std::ops::Range;

use crate::gemm::{Ahead, Cells, Columns, MAX_PANEL_WIDTH, Straight, TILES};
use crate::geometry::{Geometry, Window};
use crate::padded::Padded;
use crate::simd::Simd;
use crate::view::Maps;

/// The column matrix of a batch of maps for a window of the output.
pub(crate) struct Im2col<'a> {
    /// Begins with the first channel that the filters read.
    data: &'a [f32],
    /// From image to image, and from output row to output row.
    strides: [usize; 2],
    /// Of each row of the matrix.
    taps: &'a Taps,
    batch: usize,
    /// Rows and columns of the output window.
    size: [usize; 2],
}

/// Where the taps of a convolution lie in a plane: offsets from the cell that tap (0, 0, 0) reads.
pub(crate) struct Taps {
    offsets: Vec<usize>,
    /// From each to the next, where they lie at equal distances: those of single cells.
    step: Option<usize>,
}

impl Taps {
    /// For `channels` planes that are `strides` apart: channels, input rows; columns of stride `s` lie in `s` parts of
    /// a row, `part` apart.
    fn new(geometry: &Geometry, channels: usize, [channel, row]: [usize; 2], part: usize) -> Self {
        let ([kh, kw], [dy, dx]) = (geometry.kernel, geometry.dilation);
        let s = geometry.stride[1];
        let columns: Vec<usize> = (0..kw).map(|kx| kx * dx % s * part + kx * dx / s).collect();
        let mut offsets = Vec::with_capacity(channels * kh * kw);
        for c in 0..channels {
            for ky in 0..kh {
                let start = c * channel + ky * dy * row;
                offsets.extend(columns.iter().map(|column| start + column));
            }
        }
        Self { offsets, step: (geometry.kernel == [1, 1]).then_some(channel) }
    }

    /// Of each tap, in the order of the filters.
    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }
}

impl<'a> Im2col<'a> {
    /// Whether the cells that `window` reads can be read where they are: no padding among them, columns adjacent.
    pub(crate) fn reads_in_place(geometry: &Geometry, window: Window, input: &Maps<'_>) -> bool {
        let reach = geometry.reach(window);
        let full = Window::full(input.full());
        let inside = reach.is_some_and(|w| full.contains(w));
        (inside && geometry.stride[1] == 1) || geometry.kernel == [1, 1] && inside && window.width() == 1
    }

    /// Taps for [`Im2col::in_place`].
    pub(crate) fn taps(geometry: &Geometry, channels: usize, input: &Maps<'_>) -> Taps {
        let [_, channel, row] = input.layout().strides;
        Taps::new(geometry, channels, [channel, row], 0)
    }

    /// Taps for [`Im2col::padded`].
    pub(crate) fn padded_taps(geometry: &Geometry, channels: usize, input: &Padded) -> Taps {
        Taps::new(geometry, channels, [input.strides[1], input.strides[2]], input.part)
    }

    /// Straight from `input`, where [`Im2col::reads_in_place`].
    pub(crate) fn in_place(input: Maps<'a>, geometry: &Geometry, window: Window, taps: &'a Taps) -> Self {
        let layout = input.layout();
        let reach = geometry.reach(window).unwrap_or(Window::full([0, 0]));
        input.check_holds(reach);
        let [image, _, row] = layout.strides;
        let data = match reach.is_empty() || layout.channels == 0 {
            true => input.data(),
            false => &input.data()[(reach.y0 - layout.window.y0) * row + reach.x0 - layout.window.x0..],
        };
        let line = row * geometry.stride[0];
        let size = lines([window.height(), window.width()], line);
        Self { data, strides: [image, line], taps, batch: layout.batch, size }
    }

    /// From channel `first` on of a copy that was made for the same window.
    pub(crate) fn padded(input: &'a Padded, first: usize, window: Window, taps: &'a Taps) -> Self {
        let [image, channel, _] = input.strides;
        Self {
            data: &input.data()[first * channel..],
            strides: [image, input.line],
            taps,
            batch: input.batch,
            size: lines([window.height(), window.width()], input.line),
        }
    }

    /// The runs of columns `j`, and how many.
    #[inline(always)]
    fn runs(&self, j: Range<usize>) -> ([Run; MAX_PANEL_WIDTH], usize) {
        let [height, width] = self.size;
        let mut runs = [Run::default(); MAX_PANEL_WIDTH];
        let mut count = 0;
        let (mut line, mut x) = (j.start / width, j.start % width);
        let mut at = 0;
        while at < j.len() {
            let len = (width - x).min(j.len() - at);
            let start = line / height * self.strides[0] + line % height * self.strides[1] + x;
            runs[count] = Run { at, len, start };
            count += 1;
            at += len;
            line += 1;
            x = 0;
        }
        (runs, count)
    }
}

/// Rows of `size` that begin `line` apart: without gaps between them they are one long row.
fn lines([height, width]: [usize; 2], line: usize) -> [usize; 2] {
    if line == width { [height.min(1), height * width] } else { [height, width] }
}

/// Adjacent columns of a panel that are adjacent cells of one output row.
#[derive(Clone, Copy, Default)]
struct Run {
    /// First column in the panel.
    at: usize,
    /// Columns.
    len: usize,
    /// What tap 0 of the first column reads.
    start: usize,
}

impl Columns for Im2col<'_> {
    fn k(&self) -> usize {
        self.taps.offsets.len()
    }

    fn count(&self) -> usize {
        self.batch * self.size[0] * self.size[1]
    }

    #[inline(always)]
    fn straight(&self, k: &Range<usize>, j: &Range<usize>) -> Option<Straight<'_>> {
        let step = self.taps.step.filter(|_| !k.is_empty())?;
        let [height, width] = self.size;
        let (line, x) = (j.start / width, j.start % width);
        if x + j.len() > width {
            return None;
        }
        let start = line / height * self.strides[0] + line % height * self.strides[1] + x;
        Some(Straight { data: self.data.get(start + self.taps.offsets[k.start]..)?, step })
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, k: Range<usize>, j: Range<usize>, width: usize, panel: &mut [f32]) {
        let columns = j.len();
        let (runs, count) = self.runs(j);
        let runs = &runs[..count];
        let taps = &self.taps.offsets[k];
        // All that whole vectors read is there but at the very end of the data.
        let reach = runs.iter().map(|r| r.start + r.len + S::LANES).max().unwrap_or(0);
        let safe = taps.iter().max().is_none_or(|tap| tap + reach <= self.data.len());
        // Those are asked for while the tiles of the panel before are computed.
        let straight = self.taps.step.is_some();
        if let ([run], true) = (runs, safe && columns == width && width == 2 * S::LANES) {
            for (step, tap) in panel.chunks_exact_mut(2 * S::LANES).zip(taps) {
                let from = &self.data[run.start + tap..][..2 * S::LANES];
                if !straight {
                    // The next panel begins where this one ends.
                    simd.prefetch_far(from.as_ptr().wrapping_add(2 * S::LANES));
                    simd.prefetch_far(from.as_ptr().wrapping_add(3 * S::LANES));
                }
                let (a, b) = step.split_at_mut(S::LANES);
                simd.store(simd.load(from), a);
                simd.store(simd.load(&from[S::LANES..]), b);
            }
            return;
        }
        for (step, tap) in taps.iter().enumerate() {
            let row = step * width;
            for run in runs {
                let from = &self.data[run.start + tap..];
                for i in (0..run.len).step_by(S::LANES) {
                    let v = match safe {
                        true => simd.load(&from[i..]),
                        false => simd.load_some(&from[i..], 0.0),
                    };
                    // Whole vectors: what follows a run is written later.
                    simd.store(v, &mut panel[row + run.at + i..]);
                }
            }
            let mut i = columns;
            while i < width {
                simd.store(simd.splat(0.0), &mut panel[row + i..]);
                i += S::LANES;
            }
        }
    }
}

/// Adjacent cells of a tile that are adjacent cells of one output row.
#[derive(Clone, Copy, Default)]
struct Move {
    /// What tap 0 of the first cell reads.
    from: usize,
    /// Where tap 0 of the first cell goes.
    to: usize,
    /// From tap to tap there.
    step: usize,
}

impl Cells for Im2col<'_> {
    #[inline(always)]
    fn pack_tiles<S: Simd>(&self, simd: S, k: Range<usize>, tiles: &[Range<usize>], stride: usize, panels: &mut [f32]) {
        let mut moves = [Move::default(); TILES * MAX_PANEL_WIDTH];
        let (mut count, mut cells, mut reach) = (0, 0, 0);
        for (i, tile) in tiles.iter().enumerate() {
            let (runs, n) = self.runs(tile.clone());
            for run in &runs[..n] {
                moves[count] = Move { from: run.start, to: i * stride + run.at, step: tile.len() };
                reach = reach.max(run.start + S::LANES);
                count += 1;
            }
            cells += tile.len();
        }
        let moves = &moves[..count];
        let taps = &self.taps.offsets[k];
        // All that whole vectors read is there but at the very end of the data.
        let whole = taps.iter().max().is_none_or(|tap| tap + reach <= self.data.len());
        for (k, tap) in taps.iter().enumerate() {
            for m in moves {
                let from = &self.data[m.from + tap..];
                let v = match whole {
                    true => simd.load(from),
                    false => simd.load_some(from, 0.0),
                };
                // What follows a run is written later.
                simd.store(v, &mut panels[m.to + k * m.step..]);
                simd.prefetch_far(from.as_ptr().wrapping_add(cells));
            }
        }
    }

    #[inline(always)]
    fn ahead(&self, k: &Range<usize>, j: usize) -> Ahead {
        let [height, width] = self.size;
        let (line, x) = (j / width, j % width);
        let start = line / height * self.strides[0] + line % height * self.strides[1] + x;
        let (first, last) = (self.taps.offsets[k.start], self.taps.offsets[k.end - 1]);
        Ahead::over(&self.data[start + first..=start + last], k.len())
    }
}
