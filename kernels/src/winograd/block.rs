//! A block of tiles on its way: input transform, products, output transform.
//!
//! ```text
//! V   as `layout` has it
//! M   [ξ][panel][row][tile]                                          some rows at a time, so that it stays in L2
//! ```

use std::cell::Cell;
use std::ops::Range;

use super::input::{HALF, Slices, Strided, transform_input};
use super::layout::{GAP, InputTask, Layout, Part};
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
    pub(super) fn locate(&self, work: &Work<'_>, t: usize) -> [usize; 3] {
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

/// Transforms the inputs of one task.
pub(super) struct Input<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) block: &'a Block,
    pub(super) task: InputTask<'a>,
}

impl SimdOp for Input<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let layout = self.block.layout(self.work, const { Shape::of::<S>() });
        let InputTask { part, channels, v } = self.task;
        let places = Slices(v);
        with_alpha!(self.work, transform_input(simd, self.work, self.block, &layout, part, channels, places));
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
        let mut v = AlignedBuf::reused(V.take(), layout.len());
        for part in layout.all() {
            let start = layout.start(part);
            let v = &mut v[start..start + layout.xis() * layout.stride(part)];
            let (channels, places) = (layout.steps().range(part.step), Strided { v, stride: layout.stride(part) });
            with_alpha!(work, transform_input(simd, work, block, &layout, part, channels, places));
        }
        let panels = 0..work.packed.products[0].panels();
        let planes = &mut self.planes;
        with_alpha!(work, finish(simd, work, block, &layout, panels, &v, planes));
        V.set(Some(v));
    }
}

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
    let mut products = AlignedBuf::reused(M.take(), len);
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
                                [Ahead::panels(u[xi].panel(&k, p), r.len()), Ahead::nothing()],
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
