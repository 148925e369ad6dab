//! A block of tiles on its way: input transform, products, output transform.
//!
//! ```text
//! V   as `layout` has it
//! M   [ξ][panel][row][tile]                                          some rows at a time, so that it stays in L2
//! ```

use std::cell::Cell;
use std::ops::Range;

use super::layout::{GAP, Layout, Part};
use super::transform::{self, MAX_ALPHA};
use super::{PackedWinograd, Tile, V};
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::conv2d::Activation;
use crate::gemm::{Ahead, Packed, Shape, multiply};
use crate::geometry::Window;
use crate::padded::Padded;
use crate::simd::{Simd, SimdOp};
use crate::view::PlaneMut;

/// What all blocks share.
pub(super) struct Work<'a> {
    pub(super) packed: &'a PackedWinograd,
    pub(super) copy: &'a Padded,
    /// The outputs that are wanted.
    pub(super) window: Window,
    /// The first output of the first tile.
    pub(super) origin: [usize; 2],
    /// Tiles of a tile row.
    pub(super) columns: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

/// Tile rows of some images.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Block {
    pub(super) fn layout(&self, work: &Work<'_>, shape: Shape) -> Layout {
        let tiles = self.images.len() * self.rows.len() * work.columns;
        Layout::new(tiles, shape, work.packed)
    }

    /// Image and tile row, counted in the block, and tile column of tile `t`.
    #[inline(always)]
    fn locate(&self, work: &Work<'_>, t: usize) -> [usize; 3] {
        let line = t / work.columns;
        [line / self.rows.len(), line % self.rows.len(), t % work.columns]
    }
}

/// Calls a function that is generic over α and m with those of a tile.
macro_rules! with_alpha {
    ($work:expr, $f:ident($($arg:expr),*)) => {
        match ($work.packed.alpha(), $work.packed.tile) {
            (4, _) => $f::<_, 4, 2>($($arg),*),
            (6, _) => $f::<_, 6, 4>($($arg),*),
            (_, Tile::F4) => $f::<_, 8, 4>($($arg),*),
            _ => $f::<_, 8, 6>($($arg),*),
        }
    };
}

/// Transforms the inputs of one part.
pub(super) struct Input<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) part: Part,
    pub(super) v: &'a mut [f32],
}

impl SimdOp for Input<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let layout = self.block.layout(self.work, const { Shape::of::<S>() });
        with_alpha!(self.work, transform_input(simd, self.work, self.block, &layout, self.part, self.v));
    }
}

/// Multiplies and transforms back the rows of some row panels.
pub(super) struct Output<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) panels: Range<usize>,
    pub(super) v: &'a [f32],
    pub(super) planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Output<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let layout = self.block.layout(self.work, const { Shape::of::<S>() });
        let planes = &mut self.planes;
        with_alpha!(self.work, finish(simd, self.work, self.block, &layout, self.panels, self.v, planes));
    }
}

/// A block from its inputs to its outputs.
pub(super) struct Whole<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) planes: Vec<PlaneMut<'a>>,
}

impl SimdOp for Whole<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Whole { work, block, .. } = self;
        let layout = block.layout(work, const { Shape::of::<S>() });
        let mut v = V.take().filter(|v| v.len() >= layout.len()).unwrap_or_else(|| AlignedBuf::zeroed(layout.len()));
        for part in layout.all() {
            let start = layout.start(part);
            let v = &mut v[start..start + layout.xis() * layout.stride(part)];
            with_alpha!(work, transform_input(simd, work, block, &layout, part, v));
        }
        let panels = 0..work.packed.products[0].panels();
        let planes = &mut self.planes;
        with_alpha!(work, finish(simd, work, block, &layout, panels, &v, planes));
        V.set(Some(v));
    }
}

/// V of `part`: Bᵀ d B of its tiles in each of its channels.
#[inline(always)]
fn transform_input<S: Simd, const A: usize, const N: usize>(
    simd: S,
    work: &Work<'_>,
    block: &Block,
    layout: &Layout,
    part: Part,
    v: &mut [f32],
) {
    let m = N;
    let [image, channel, line] = work.copy.strides;
    // Channels are parted by stride: s rows of s parts each.
    let s = work.packed.conv.geometry.stride[0];
    let row = s * line;
    let plane = |c: usize| c / (s * s) * channel + c / s % s * line + c % s * work.copy.part;
    let (width, stride) = (layout.width(part.panel), layout.stride(part));
    let first = part.panel * layout.shape().nr();
    // Where the tiles of each vector begin; lanes without a tile read the last one.
    let mut at = [[0; 16]; 2];
    for (i, at) in at.iter_mut().take(width / S::LANES).enumerate() {
        for (l, at) in at.iter_mut().take(S::LANES).enumerate() {
            let t = (first + i * S::LANES + l).min(layout.tiles() - 1);
            let [n, y, x] = block.locate(work, t);
            *at = (block.images.start + n) * image + (block.rows.start + y) * m * row + x * m;
        }
    }
    let mut half = [0.0; HALF];
    for (i, c) in layout.steps().range(part.step).enumerate() {
        let (start, next) = (plane(c), plane(c + 1));
        let plane = &work.copy.data()[start..];
        for j in 0..width / S::LANES {
            let rows = Rows { plane, next: next - start, row, at: &at[j], m };
            transform_cells::<S, A>(simd, rows, &mut v[i * width + j * S::LANES..], stride, &mut half);
        }
    }
}

/// What a vector of tiles reads of one channel, row by row. A trait and no closure: closures are not compiled with the level's
/// instructions unless they happen to be inlined.
pub(super) trait Cells {
    /// Row `y` of every tile.
    fn row<S: Simd>(&mut self, simd: S, y: usize) -> [S::F32; 8];
}

/// Tiles of maps that lie alike.
struct Rows<'a> {
    plane: &'a [f32],
    /// From channel to channel.
    next: usize,
    row: usize,
    /// Where each tile begins.
    at: &'a [usize; 16],
    m: usize,
}

impl Cells for Rows<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, y: usize) -> [S::F32; 8] {
        // The next channel is on its way meanwhile: a cache line of each row holds 16 / m tiles.
        for l in (0..S::LANES).step_by((16 / self.m).max(1)) {
            simd.prefetch(self.plane, self.next + y * self.row + self.at[l]);
        }
        simd.load_columns(&self.plane[y * self.row..], self.at)
    }
}

/// Bᵀ d B of a vector of tiles; place ξ goes to `v[ξ · stride]`.
#[inline(always)]
pub(super) fn transform_cells<S: Simd, const A: usize>(
    simd: S,
    mut cells: impl Cells,
    v: &mut [f32],
    stride: usize,
    half: &mut [f32; HALF],
) {
    let zero = simd.splat(0.0);
    for y in 0..A {
        let line = transform::input::<S, A>(simd, cells.row(simd, y));
        for x in 0..A {
            simd.store(line[x], &mut half[(x * A + y) * S::LANES..]);
        }
    }
    for x in 0..A {
        let mut column = [zero; 8];
        for y in 0..A {
            column[y] = simd.load(&half[(x * A + y) * S::LANES..]);
        }
        let column = transform::input::<S, A>(simd, column);
        for y in 0..A {
            simd.store(column[y], &mut v[(y * A + x) * stride..]);
        }
    }
}

/// Room for a tile transformed along one axis, in all lanes.
pub(super) const HALF: usize = MAX_ALPHA * MAX_ALPHA * 16;

thread_local! {
    /// M of this thread's rows.
    pub(super) static M: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Neighbours of one tile row within a vector of tiles: where their results go.
#[derive(Clone, Copy)]
struct Run {
    /// The plane of the first channel; the next channel's follows.
    plane: usize,
    /// First and one past the last row of the map.
    rows: [usize; 2],
    /// First row in the tiles.
    top: usize,
    /// First column in a row of the vector's results.
    from: usize,
    /// First column in the window.
    x: usize,
    /// Columns.
    width: usize,
}

impl Run {
    /// Asks for what the next channel will be stored to.
    #[inline(always)]
    fn prefetch<S: Simd>(&self, simd: S, planes: &mut [PlaneMut<'_>]) {
        let Some(plane) = planes.get_mut(self.plane + 1) else { return };
        for y in self.rows[0]..self.rows[1] {
            let row = &plane.row_mut(y)[self.x..];
            for at in (0..self.width).step_by(16) {
                simd.prefetch(row, at);
            }
        }
    }
}

/// Appends the runs of the vector that holds `tiles`; a picture has `channels` planes.
fn find_runs(work: &Work<'_>, block: &Block, channels: usize, tiles: Range<usize>, m: usize, runs: &mut Vec<Run>) {
    let window = work.window;
    let mut t = tiles.start;
    while t < tiles.end {
        let [n, y, x] = block.locate(work, t);
        let count = (work.columns - x).min(tiles.end - t);
        let top = work.origin[0] + (block.rows.start + y) * m;
        let left = work.origin[1] + x * m;
        let skip = [window.y0.saturating_sub(top), window.x0.saturating_sub(left)];
        runs.push(Run {
            plane: n * channels,
            rows: [top + skip[0], (top + m).min(window.y1)],
            top: skip[0],
            from: (t - tiles.start) * m + skip[1],
            x: left + skip[1] - window.x0,
            width: (left + count * m).min(window.x1) - left - skip[1],
        });
        t += count;
    }
}

/// M = U·V and out = Aᵀ M A for the rows of `panels`.
#[inline(always)]
fn finish<S: Simd, const A: usize, const N: usize>(
    simd: S,
    work: &Work<'_>,
    block: &Block,
    layout: &Layout,
    panels: Range<usize>,
    v: &[f32],
    planes: &mut [PlaneMut<'_>],
) {
    let m = N;
    let u = &work.packed.products;
    let first = u[0].panel_rows(panels.start).start;
    let height = u[0].panel_rows(panels.end - 1).end - first;
    // Those of each vector of tiles follow those of the one before.
    let (mut runs, mut ends) = (Vec::new(), vec![0]);
    for t in (0..layout.tiles()).step_by(S::LANES) {
        find_runs(work, block, height, t..(t + S::LANES).min(layout.tiles()), m, &mut runs);
        ends.push(runs.len());
    }

    // M takes half of L2. U is read once for each chunk of tiles, V once for each group of rows: a square is best.
    let (nr, mr) = (layout.shape().nr(), layout.shape().mr);
    let room = (Caches::get().l2 / 2 / (A * A * size_of::<f32>())).max(nr * mr);
    let mut group = (room.isqrt() / mr).clamp(1, panels.len());
    let chunk = (room / (group * mr) / nr).clamp(1, layout.panels());
    group = (room / (chunk * nr) / mr).clamp(1, panels.len());
    let (groups, chunks) = (panels.len().div_ceil(group), layout.panels().div_ceil(chunk));
    let stride = group * mr * chunk * nr + GAP;
    let len = A * A * stride;
    let mut products = M.take().filter(|b| b.len() >= len).unwrap_or_else(|| AlignedBuf::zeroed(len));
    let (mut half, mut cells) = ([0.0; HALF], [0.0; CELLS]);
    for tiles in (0..chunks).map(|i| share(0..layout.panels(), chunks, i)) {
        for group in (0..groups).map(|i| share(panels.clone(), groups, i)) {
            let rows = u[0].panel_rows(group.start).start..u[0].panel_rows(group.end - 1).end;
            // Row `o` of panel `t`.
            let place = |t: usize, o: usize| (t - tiles.start) * nr * rows.len() + (o - rows.start) * layout.width(t);
            for xi in 0..A * A {
                for step in 0..layout.steps().count() {
                    let k = layout.steps().range(step);
                    for panel in tiles.clone() {
                        let part = Part { panel, step };
                        let b = &v[layout.start(part) + xi * layout.stride(part)..];
                        let width = layout.width(panel);
                        for p in group.clone() {
                            let r = u[xi].panel_rows(p);
                            let c = &mut products[xi * stride + place(panel, r.start)..][..r.len() * width];
                            multiply(
                                simd,
                                [r.len(), k.len(), width],
                                u[xi].panel(&k, p),
                                b,
                                c,
                                step > 0,
                                [Ahead::stream(u[xi].panel(&k, p), 1024, r.len()), Ahead::nothing()],
                            );
                        }
                    }
                }
            }
            for o in rows.clone() {
                let planes = &mut planes[o - first..];
                for panel in tiles.clone() {
                    for j in (0..layout.width(panel)).step_by(S::LANES) {
                        let vector = (panel * nr + j) / S::LANES;
                        let runs = &runs[ends[vector]..ends[vector + 1]];
                        for run in runs {
                            run.prefetch(simd, planes);
                        }
                        let from = &products[place(panel, o) + j..];
                        let bias = work.bias.map_or(0.0, |bias| bias[o]);
                        let relu = work.activation == Activation::Relu;
                        transform_sums::<S, A, N>(simd, (bias, relu), from, stride, &mut half, &mut cells);
                        scatter(&cells, S::LANES * m, runs, planes);
                    }
                }
            }
        }
    }
    M.set(Some(products));
}

/// Part `i` of `range` dealt evenly to `parts`.
#[inline(always)]
pub(super) fn share(range: Range<usize>, parts: usize, i: usize) -> Range<usize> {
    let at = |i: usize| range.start + range.len() * i / parts;
    at(i)..at(i + 1)
}

/// The results of a vector of tiles: m rows, each of all its tiles side by side.
pub(super) const CELLS: usize = 16 * (MAX_ALPHA - 2) * (MAX_ALPHA - 2);

/// Aᵀ M A of a vector of tiles, then the bias and, where it is asked for, max(x, 0); `M[ξ]` lies at `from[ξ · stride]`.
#[inline(always)]
pub(super) fn transform_sums<S: Simd, const A: usize, const N: usize>(
    simd: S,
    (bias, relu): (f32, bool),
    from: &[f32],
    stride: usize,
    half: &mut [f32; HALF],
    cells: &mut [f32; CELLS],
) {
    let m = N;
    let zero = simd.splat(0.0);
    for x in 0..A {
        let mut column = [zero; 8];
        for y in 0..A {
            column[y] = simd.load(&from[(y * A + x) * stride..]);
        }
        let column = transform::output::<S, A, N>(simd, column);
        for y in 0..m {
            simd.store(column[y], &mut half[(y * A + x) * S::LANES..]);
        }
    }
    let bias = simd.splat(bias);
    for y in 0..m {
        let mut row = [zero; 8];
        for x in 0..A {
            row[x] = simd.load(&half[(y * A + x) * S::LANES..]);
        }
        let mut row = transform::output::<S, A, N>(simd, row);
        for x in 0..m {
            row[x] = simd.add(row[x], bias);
            if relu {
                row[x] = simd.max(zero, row[x]);
            }
        }
        let to = &mut cells[y * S::LANES * m..];
        match N {
            2 => simd.store_columns::<2>(row, to, m),
            4 => simd.store_columns::<4>(row, to, m),
            _ => simd.store_columns::<6>(row, to, m),
        }
    }
}

/// The results of a vector of tiles, rows of `width` columns, into their planes.
#[inline(always)]
fn scatter(cells: &[f32; CELLS], width: usize, runs: &[Run], planes: &mut [PlaneMut<'_>]) {
    for run in runs {
        let plane = &mut planes[run.plane];
        for (y, cells) in (run.rows[0]..run.rows[1]).zip(cells.chunks_exact(width).skip(run.top)) {
            plane.row_mut(y)[run.x..][..run.width].copy_from_slice(&cells[run.from..][..run.width]);
        }
    }
}
