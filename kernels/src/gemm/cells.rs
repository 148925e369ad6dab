//! The product with its operands exchanged: the cells of maps are the rows of a tile, the filters its columns.
//!
//! ```text
//! tasks: rectangles of C, dealt to the threads
//!   for a block of cells                their sums with all filters of the task stay in L2
//!     for kc steps                      the cells, packed as panels kc × mr or read where they are, stay in L2
//!       for nr filters                  a panel, kc × nr, comes from the last cache once and stays in L1
//!         for mr cells
//!           micro-kernel                mr × nr sums; with the last step they are transposed into the maps
//! ```
//! Filters divide into whole vectors as they mostly come in multiples of 16, and maps into rows of a tile: no lane
//! is idle at 7×7 or 13×13. Weights, which small maps have more of than cells, are read once by one thread.

use std::cell::Cell;
use std::ops::Range;

use super::ahead::Ahead;
use super::micro::{Shape, WIDE};
use super::pack::{Cells, Straight, TILES};
use super::tiles::{Output, multiply};
use super::{Epilogue, Packed, PackedB, Product, Task, share, sizes, tasks};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::simd::{Simd, SimdOp};

/// Computes all `products`, which have the same size; the filters of the first are the first rows of `out`.
pub(crate) fn run_cells<B: Cells>(
    cpu: &Cpu,
    products: &[Product<'_, PackedB, B>],
    out: Output<'_>,
    epilogue: &Epilogue<'_>,
) {
    let Some([_, _, n]) = sizes(cpu, products, &out, epilogue) else { return };
    let panels = products[0].a.panels();
    let shape = Shape::at(cpu.level);
    let tiles = n.div_ceil(shape.mr);
    let grid = Grid::best(products.len(), tiles, panels, shape, cpu.threads.count());
    let panels: Vec<_> = (0..grid.panels).map(|i| share(panels, grid.panels, i)).collect();
    let columns: Vec<_> = (0..grid.tiles)
        .map(|i| share(tiles, grid.tiles, i))
        .map(|t| share(n, tiles, t.start).start..share(n, tiles, t.end - 1).end)
        .collect();
    cpu.threads.for_each(tasks(products, out, &panels, &columns, epilogue), |task| cpu.level.dispatch(task));
}

/// How C is cut into tasks: parts of the tiles of cells, parts of the panels of filters of each product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    tiles: usize,
    panels: usize,
}

impl Grid {
    /// The cut whose slowest thread is done first. For each tap a task makes a multiply-add for each cell and vector of
    /// filters; packing a cell and reading it from afar costs about one, reading a vector of filters from afar eight.
    fn best(products: usize, tiles: usize, panels: usize, shape: Shape, threads: usize) -> Self {
        if threads == 1 {
            return Grid { tiles: 1, panels: 1 };
        }
        let cost = |grid: Grid| {
            let rounds = (products * grid.tiles * grid.panels).div_ceil(threads);
            let cells = tiles.div_ceil(grid.tiles) * shape.mr;
            let vectors = panels.div_ceil(grid.panels) * shape.vectors;
            rounds * (cells * vectors + cells + 8 * vectors)
        };
        (1..=(2 * threads).min(tiles))
            .flat_map(|tiles| (1..=(2 * threads).min(panels)).map(move |panels| Grid { tiles, panels }))
            .min_by_key(|&grid| (cost(grid), grid.tiles * grid.panels))
            .unwrap_or(Grid { tiles: 1, panels: 1 })
    }
}

/// Cells `j` where they are, if tiles have so many cells that little of a cache line is read in vain, and the steps do not push
/// each other out of the first cache.
#[inline(always)]
fn in_place<'a, S: Simd, B: Cells>(cells: &'a B, k: &Range<usize>, j: &Range<usize>) -> Option<Straight<'a>> {
    let fits = |s: &Straight<'_>| S::LANES >= WIDE && s.reaches(k.len(), j.len()) && !s.collides();
    cells.straight(k, j).filter(fits)
}

thread_local! {
    /// Packed cells and sums of this thread, kept from task to task.
    static BUFFERS: Cell<[Option<AlignedBuf>; 2]> = const { Cell::new([None, None]) };
}

impl<B: Cells> SimdOp for Task<'_, PackedB, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product { a: filters, b: cells } = self.product;
        let shape = const { Shape::of::<S>() };
        let steps = filters.steps();
        let all = self.block.columns();
        let panels = self.panels.len();
        // A tile of sums has a row for each lane, so that it can be transposed.
        let each = S::LANES * shape.nr();
        let room = Caches::get().l2 / 4 / size_of::<f32>();
        let kept = if steps.count() > 1 { panels } else { 0 };
        let most = (room / (steps.longest() * shape.mr)).min(room / (kept * each).max(1)).max(1);
        let tiles = all.len().div_ceil(shape.mr);
        let blocks = tiles.div_ceil(most);
        let most = tiles.div_ceil(blocks);
        let stride = steps.longest() * shape.mr + S::LANES;
        let [a, sums] = BUFFERS.take();
        let mut a = AlignedBuf::reused(a, most * stride);
        let mut sums = AlignedBuf::reused(sums, (most * kept).max(1) * each);
        let tile = |t: usize| {
            let j = share(all.len(), tiles, t);
            all.start + j.start..all.start + j.end
        };
        // What is not written over in the second cache is asked for before it is written.
        let far = self.epilogue.accumulate || self.block.bytes() > Caches::get().l2 / 2;
        for block in 0..blocks {
            let block = share(tiles, blocks, block);
            for step in 0..steps.count() {
                let k = steps.range(step);
                let last = step + 1 == steps.count();
                // What is packed or read after this.
                let later = match last {
                    false => Some((steps.range(step + 1), block.start)),
                    true => (block.end < tiles).then(|| (steps.range(0), block.end)),
                };
                let here = tile(block.start).start..tile(block.end - 1).end;
                let read = in_place::<S, B>(cells, &k, &here);
                if read.is_none() {
                    for first in block.clone().step_by(TILES) {
                        let count = TILES.min(block.end - first);
                        let group: [_; TILES] = std::array::from_fn(|i| tile(first + i.min(count - 1)));
                        let to = &mut a[(first - block.start) * stride..][..count * stride];
                        cells.pack_tiles(simd, k.clone(), &group[..count], stride, to);
                    }
                }
                for (q, p) in self.panels.clone().enumerate() {
                    let (b, width) = (filters.panel(&k, p), filters.width(p));
                    let next = match p + 1 < self.panels.end {
                        true => filters.panel(&k, p + 1),
                        false if !last => filters.panel(&steps.range(step + 1), self.panels.start),
                        false => &[],
                    };
                    let next = &next[..next.len().min(k.len() * width)];
                    let rows = filters.panel_rows(p);
                    let rows = self.first_row + rows.start..self.first_row + rows.end;
                    for (i, t) in block.clone().enumerate() {
                        let ahead = match &later {
                            Some((k, first)) if q == 0 && first + i < tiles => cells.ahead(k, tile(first + i).start),
                            _ => Ahead::nothing(),
                        };
                        let ahead = [Ahead::over(&next[share(next.len(), block.len(), i)], k.len()), ahead];
                        let j = tile(t);
                        let at = if kept > 0 { (q * most + i) * each } else { 0 };
                        let sums = &mut sums[at..at + each];
                        if last && far {
                            self.block.prefetch(simd, &j, &rows);
                        }
                        let b = &Straight { data: b, step: width };
                        let a = &match read {
                            Some(s) => Straight { data: &s.data[j.start - here.start..], step: s.step },
                            None => Straight { data: &a[i * stride..], step: j.len() },
                        };
                        multiply(simd, [j.len(), k.len(), width], a, b, sums, step > 0, ahead);
                        if last {
                            self.block.store_transposed(simd, &j, &rows, sums, width, self.epilogue);
                        }
                    }
                }
            }
        }
        BUFFERS.set([Some(a), Some(sums)]);
    }
}
