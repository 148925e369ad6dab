//! The product in five loops around a register tile (the names are BLIS's).
//!
//! ```text
//! tasks: rectangles of C, dealt to the threads
//!   for a few panels of nr columns       a block of C, which stays in the last cache (the next loop first where A does not)
//!     for kc steps                       a B block, kc × a few nr, packed before, stays in L2
//!       for mr rows                      an A panel, mr × kc, comes from beyond once
//!         for nr columns                 both panels stream from L2
//!           micro-kernel                 C tile, mr × nr, in registers
//! ```
//! Where few rows use a panel of B whose rows lie at equal distances, it is read where it is; what comes next is asked for
//! while the tiles before it are computed.

use std::cell::Cell;
use std::ops::Range;

use super::ahead::Ahead;
use super::fill::{Fill, Part};
use super::micro::{Carry, MAX_MR, MAX_NR, Shape, WIDE};
use super::pack::{Columns, Panels, Straight};
use super::tiles::{Operands, Output, Spill};
use super::{Epilogue, Product, Steps, Task, share, sizes, tasks};
use crate::Cpu;
use crate::aligned::{AlignedBuf, LINE};
use crate::caches::Caches;
use crate::simd::{FMA_LATENCY, Simd, SimdOp, fma_rate};

/// Computes all `products`, which have the same size; the rows of the first come first in `out`.
pub(crate) fn run<A: Panels, B: Columns>(
    cpu: &Cpu,
    products: &[Product<'_, A, B>],
    out: Output<'_>,
    epilogue: &Epilogue<'_>,
) {
    let Some([m, k, n]) = sizes(cpu, products, &out, epilogue) else { return };
    let panels = products[0].a.panels();
    let shape = Shape::at(cpu.level);
    let grid = Grid::best(products.len(), panels, [m.div_ceil(panels), k, n], shape, cpu.threads.count());
    let panels: Vec<_> = (0..grid.rows).map(|i| share(panels, grid.rows, i)).collect();
    let columns: Vec<_> = (0..grid.columns)
        .map(|i| share(n.div_ceil(grid.unit), grid.columns, i))
        .map(|units| units.start * grid.unit..(units.end * grid.unit).min(n))
        .collect();
    cpu.threads.for_each(tasks(products, out, &panels, &columns, epilogue), |task| cpu.level.dispatch(task));
}

/// How C is cut into tasks: parts of the rows of each product, parts of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    rows: usize,
    columns: usize,
    /// Columns that stay together: those of a panel, or of a vector.
    unit: usize,
}

impl Grid {
    /// The cut whose slowest thread is done first. A task costs its tiles, of which those of a lone vector may wait for their own
    /// sums; packing its columns as much as a few rows; and reading its rows of A as much as two vectors of columns where they
    /// come from beyond L2. So columns are parted first, rows where there are few columns.
    fn best(products: usize, panels: usize, [mr, k, n]: [usize; 3], shape: Shape, threads: usize) -> Self {
        const PACKING: usize = 8;
        let reading = if panels * mr * k * size_of::<f32>() > Caches::get().l2 / 2 { 2 } else { 0 };
        let vectors = n.div_ceil(shape.lanes);
        if threads == 1 || vectors == 0 {
            return Grid { rows: 1, columns: 1, unit: shape.nr() };
        }
        // Of a tile with a lone vector, if it had `mr` rows for each multiply-add that is under way.
        let lone = mr.max(FMA_LATENCY * fma_rate(shape.lanes));
        let cost = |grid: Grid| {
            let rounds = (products * grid.rows * grid.columns).div_ceil(threads);
            let wide = n.div_ceil(grid.unit).div_ceil(grid.columns) * (grid.unit / shape.lanes);
            let odd = wide % shape.vectors;
            let rows = panels.div_ceil(grid.rows) * mr;
            rounds * (((wide - odd) * mr + odd * lone) * (rows + PACKING) + rows * reading * mr)
        };
        let units = [shape.nr(), shape.lanes];
        units
            .into_iter()
            .flat_map(|unit| (1..=(2 * threads).min(n.div_ceil(unit))).map(move |columns| (columns, unit)))
            .flat_map(|(columns, unit)| (1..=threads.min(panels)).map(move |rows| Grid { rows, columns, unit }))
            .min_by_key(|&grid| (cost(grid), grid.rows * grid.columns))
            .unwrap_or(Grid { rows: 1, columns: 1, unit: shape.nr() })
    }
}

/// Panels of A for which a B panel is not packed: fewer tiles than that would take as long.
pub(super) const FEW: usize = 2;

/// The most panels of A that are computed column by column: the pages of so many rows of C, and of those of B that are packed
/// meanwhile, stay known to the processor even if they are two apart.
const SLAB: usize = 40;

/// Line `i` of the `next` panel of B, row by row, if it has so many.
#[inline(always)]
pub(super) fn line(next: Option<Straight<'_>>, i: usize) -> Ahead {
    match next {
        Some(next) if i <= MAX_NR / LINE => Ahead::stream(next.data, i * LINE, next.step),
        _ => Ahead::nothing(),
    }
}

thread_local! {
    /// Two packed blocks of B of this thread, kept from task to task.
    static B_PANELS: Cell<[Option<AlignedBuf>; 2]> = const { Cell::new([None, None]) };
}

impl<A: Panels, B: Columns> SimdOp for Task<'_, A, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.fits_strips(simd) {
            return self.strips(simd);
        }
        if const { S::LANES < WIDE } {
            return self.panel_by_panel(simd);
        }
        let shape = const { Shape::of::<S>() };
        let kc = self.product.a.steps().longest();
        // Few rows wait for B to come: the fewer of it at once, the more of it stays. Many rows go by too often.
        let columns = if self.panels.len() * shape.mr < 192 { 64 } else { 128 };
        // Two blocks take half of L2.
        let room = Caches::get().l2 / 4 / (size_of::<f32>() * (kc * shape.nr()).max(1));
        let most = room.min(columns / shape.nr()).max(1);
        let len = most * kc * shape.nr() + S::LANES;
        let slabs = self.panels.len().div_ceil(SLAB).max(1);
        let buffers = B_PANELS.take();
        let mut buffers = buffers.map(|buffer| AlignedBuf::reused(buffer, len));
        for slab in 0..slabs {
            let panels = share(self.panels.len(), slabs, slab);
            let panels = self.panels.start + panels.start..self.panels.start + panels.end;
            self.slab(simd, panels, most, &mut buffers);
        }
        B_PANELS.set(buffers.map(Some));
    }
}

impl<A: Panels, B: Columns> Task<'_, A, B> {
    /// The rows of some `panels` of A; blocks of B have at most `most` panels, for two of which there is room.
    #[inline(always)]
    fn slab<S: Simd>(&mut self, simd: S, panels: Range<usize>, most: usize, buffers: &mut [AlignedBuf; 2]) {
        let Product { a, b } = self.product;
        let nr = const { Shape::of::<S>().nr() };
        let steps = a.steps();
        let stride = steps.longest() * nr;
        let few = panels.len() <= FEW;
        let caches = Caches::get();
        let step = panels.len() * Shape::of::<S>().mr * size_of::<f32>();
        let across = step * steps.k() > caches.share;
        let parts = Parts { columns: self.block.columns(), steps, nr, most: if few { 1 } else { most }, across };
        let [now, then] = buffers;
        let mut spill: Spill = [0.0; MAX_MR * MAX_NR + MAX_NR];
        // A that does not stay in L2.
        let far = step * steps.longest() > caches.l2 / 4;
        let mut places = Vec::with_capacity(most);
        let mut next = parts.first();
        let mut packed = false;
        while let Some((part, step)) = next {
            let k = part.k.clone();
            let count = part.panels(nr);
            let tiles = panels.len() * count;
            let last = step + 1 == steps.count();
            next = parts.after(&part, step);
            let read = if few { part.straight(b, S::LANES) } else { None };
            if read.is_none() && !packed {
                Fill::new(b, part.clone(), [nr, S::LANES], stride, 1, k.len()).finish(simd, now);
            }
            let fill = |(part, _)| Fill::new(b, part, [nr, S::LANES], stride, tiles, k.len());
            let mut fill = next.clone().filter(|_| !few).map(fill);
            packed = fill.is_some();
            let after = match &next {
                Some((part, _)) if few => b.straight(&part.k, &part.j),
                _ => None,
            };
            places.clear();
            places.extend((0..count).map(|q| self.block.place(&part.panel(q, nr), S::LANES)));
            // A panel of A meets all of the block, so that rows of C are written far; but one panel of B meets all of A
            // where it alone stays in L1.
            let panel = k.len() * nr * size_of::<f32>();
            let down = panel * count > caches.l1 && panel <= caches.l1 / 2;
            let (outer, inner) = if down { (count, panels.len()) } else { (panels.len(), count) };
            // The next panel of A is asked for, by parts where it is not next at once.
            let shares = if down { 1 } else { count };
            let mut t = 0;
            for outer in 0..outer {
                for inner in 0..inner {
                    let (i, q) = if down { (inner, outer) } else { (outer, inner) };
                    let p = panels.start + i;
                    let rows = a.panel_rows(p);
                    let row = self.first_row + rows.start;
                    let width = part.panel(q, nr).len().next_multiple_of(S::LANES);
                    let (b, b_step) = read.map_or((&now[q * stride..], width), |s| (s.data, s.step));
                    let mut ahead = [Ahead::nothing(); 2];
                    let mut carry = Carry::NONE;
                    if few {
                        ahead = [line(after, 2 * i), line(after, 2 * i + 1)];
                    } else if far && p + 1 < panels.end {
                        ahead[0] = a.ahead(&k, p + 1, [if down { 0 } else { q }, shares]);
                    }
                    if let Some(fill) = &mut fill {
                        ahead[1] = fill.ahead(t, tiles);
                        carry = fill.carry(simd, t, tiles, then);
                    }
                    let operands = Operands {
                        row,
                        rows: rows.len(),
                        count: 1,
                        k: k.len(),
                        a: a.panels_from(&k, p),
                        b,
                        b_step,
                        add: step > 0 || self.epilogue.accumulate,
                        bias: self.epilogue.bias.filter(|_| last).map(|bias| &bias[row..row + rows.len()]),
                        relu: self.epilogue.relu && last,
                        ahead: &ahead,
                        carry: &carry,
                        soon: None,
                    };
                    self.block.tile(simd, &places[q], &operands, &mut spill);
                    if let Some(fill) = &mut fill {
                        fill.advance(simd, t, tiles, then);
                    }
                    t += 1;
                }
            }
            std::mem::swap(now, then);
        }
    }
}

/// The blocks that a task's columns are cut into, in the order in which they are computed.
struct Parts {
    columns: Range<usize>,
    steps: Steps,
    nr: usize,
    /// The most panels of a block.
    most: usize,
    /// Whether all columns meet a kc block before the next, as where more of A would go by in between than the last cache keeps.
    across: bool,
}

impl Parts {
    /// The first, which nothing comes before to hide its packing: one panel.
    fn first(&self) -> Option<(Part, usize)> {
        self.at(self.columns.start, 1, 0)
    }

    /// The next kc block, then the next columns, twice as many at most; or the other way round.
    fn after(&self, part: &Part, step: usize) -> Option<(Part, usize)> {
        let deeper = (step + 1 < self.steps.count()).then_some(step + 1);
        let beside = |step| self.at(part.j.end, 2 * part.panels(self.nr), step);
        match (self.across, deeper) {
            (true, _) => beside(step).or_else(|| self.at(self.columns.start, self.most, deeper?)),
            (false, Some(step)) => Some((Part { k: self.steps.range(step), j: part.j.clone() }, step)),
            (false, None) => beside(0),
        }
    }

    fn at(&self, j: usize, panels: usize, step: usize) -> Option<(Part, usize)> {
        let end = (j + panels.min(self.most) * self.nr).min(self.columns.end);
        (j < end).then(|| (Part { k: self.steps.range(step), j: j..end }, step))
    }
}
