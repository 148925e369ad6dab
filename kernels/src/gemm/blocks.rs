//! The product in five loops around a register tile (the names are BLIS's).
//!
//! ```text
//! tasks: rectangles of C, dealt to the threads
//!   for nc columns                       a B block, kc × nc, stays in the last cache
//!     for kc steps
//!       for mc rows                      an A block, mc × kc, stays in L2
//!         for nr columns                 a B panel, kc × nr, packed by the first mc rows, stays in L1
//!           for mr rows                  A panels stream from L2
//!             micro-kernel               C tile, mr × nr, in registers
//! ```
//! Where few rows use a panel whose rows lie at equal distances, it is read where it is; what comes next is asked for
//! while the tiles before it are computed.

use std::cell::Cell;

use super::micro::{Ahead, MAX_MR, MAX_NR, Shape};
use super::pack::{Columns, Straight};
use super::tiles::{Operands, Output, Spill};
use super::{Epilogue, Packed, PackedA, Product, Task, share, sizes, tasks};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::simd::{Simd, SimdOp};

/// Computes all `products`, which have the same size; the rows of the first come first in `out`.
pub(crate) fn run<B: Columns>(
    cpu: &Cpu,
    products: &[Product<'_, PackedA, B>],
    out: Output<'_>,
    epilogue: &Epilogue<'_>,
) {
    let Some([m, k, n]) = sizes(cpu, products, &out, epilogue) else { return };
    let panels = products[0].a.panels();
    let shape = Shape::at(cpu.level);
    let grid = Grid::best(products.len(), panels, [m.div_ceil(panels), k, n], shape, cpu.threads.count());
    let panels: Vec<_> = (0..grid.rows).map(|i| share(panels, grid.rows, i)).collect();
    // Whole panels, so that only the last one of all is narrow.
    let wide = n.div_ceil(shape.nr());
    let columns: Vec<_> = match grid.columns <= wide {
        true => (0..grid.columns)
            .map(|i| share(wide, grid.columns, i))
            .map(|v| v.start * shape.nr()..(v.end * shape.nr()).min(n))
            .collect(),
        false => (0..grid.columns)
            .map(|i| share(n.div_ceil(shape.lanes), grid.columns, i))
            .map(|v| v.start * shape.lanes..(v.end * shape.lanes).min(n))
            .collect(),
    };
    cpu.threads.for_each(tasks(products, out, &panels, &columns, epilogue), |task| cpu.level.dispatch(task));
}

/// How C is cut into tasks: parts of the rows of each product, parts of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The cut whose slowest thread is done first. A task costs its tiles; packing its columns as much as a few rows;
    /// and reading its rows of A as much as two vectors of columns where they come from beyond L2. So columns are parted
    /// first, rows where there are few columns.
    fn best(products: usize, panels: usize, [mr, k, n]: [usize; 3], shape: Shape, threads: usize) -> Self {
        const PACKING: usize = 8;
        let reading = if panels * mr * k * size_of::<f32>() > Caches::get().l2 / 2 { 2 } else { 0 };
        let vectors = n.div_ceil(shape.lanes);
        if threads == 1 || vectors == 0 {
            return Grid { rows: 1, columns: 1 };
        }
        let cost = |grid: Grid| {
            let rounds = (products * grid.rows * grid.columns).div_ceil(threads);
            let wide = match grid.columns <= vectors.div_ceil(shape.vectors) {
                true => vectors.div_ceil(shape.vectors).div_ceil(grid.columns) * shape.vectors,
                false => vectors.div_ceil(grid.columns),
            };
            let rows = panels.div_ceil(grid.rows) * mr;
            rounds * (wide * (rows + PACKING) + rows * reading)
        };
        (1..=(2 * threads).min(vectors))
            .flat_map(|columns| (1..=threads.min(panels)).map(move |rows| Grid { rows, columns }))
            .min_by_key(|&grid| (cost(grid), grid.rows * grid.columns))
            .unwrap_or(Grid { rows: 1, columns: 1 })
    }
}

/// Panels of A for which a B panel is not packed: fewer tiles than that would take as long.
const FEW: usize = 2;

/// What tile `i` of a B panel asks for: the lines of the next panel in turn, and A further on where there is much of it.
#[inline(always)]
fn ahead(next: Option<Straight<'_>>, i: usize, few: bool, a: &[f32], rows: usize) -> [Ahead; 2] {
    let line = |i: usize| match next {
        Some(next) if i <= MAX_NR / LINE => Ahead::stream(next.data, i * LINE, next.step),
        _ => Ahead::nothing(),
    };
    if few { [line(2 * i), line(2 * i + 1)] } else { [Ahead::panels(a, rows), line(i)] }
}

/// Floats of a cache line.
const LINE: usize = 16;

thread_local! {
    /// The packed B block of this thread, kept from task to task.
    static B_PANELS: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

impl<B: Columns> SimdOp for Task<'_, PackedA, B> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Product { a, b } = self.product;
        let nr = const { Shape::of::<S>().nr() };
        let steps = a.steps();
        let kc = steps.longest();
        let columns = self.block.columns();
        let caches = Caches::get();
        // An mc block of A takes at most half of L2; where there is more than one, the B block has to stay.
        let mc = (caches.l2 / 2 / (size_of::<f32>() * kc.max(1) * Shape::of::<S>().mr)).max(1);
        let parts = self.panels.len().div_ceil(mc).max(1);
        let nc = match parts {
            1 => columns.len(),
            _ => (caches.share / 2 / (size_of::<f32>() * kc)).clamp(nr, columns.len().max(nr)) / nr * nr,
        };
        let few = self.panels.len() <= FEW;
        let stride = kc * nr;
        let len = match parts {
            1 => stride,
            _ => nc.div_ceil(nr) * stride,
        } + S::LANES;
        let mut panels = AlignedBuf::reused(B_PANELS.take(), len);
        let mut spill: Spill = [0.0; MAX_MR * MAX_NR + MAX_NR];
        for jc in columns.clone().step_by(nc.max(1)) {
            let jc = jc..(jc + nc).min(columns.end);
            for step in 0..steps.count() {
                let k = steps.range(step);
                let last = step + 1 == steps.count();
                let add = step > 0 || self.epilogue.accumulate;
                for part in 0..parts {
                    for (index, j) in jc.clone().step_by(nr).enumerate() {
                        let j = j..(j + nr).min(jc.end);
                        let width = j.len().div_ceil(S::LANES) * S::LANES;
                        let at = if parts == 1 { 0 } else { index * stride };
                        let next = part == 0 && j.end < jc.end;
                        let next = if next { b.straight(&k, &(j.end..(j.end + nr).min(jc.end))) } else { None };
                        let read = if few { b.straight(&k, &j).filter(|s| s.reaches(k.len(), width)) } else { None };
                        if part == 0 && read.is_none() {
                            b.pack(simd, k.clone(), j.clone(), width, &mut panels[at..at + k.len() * width + S::LANES]);
                        }
                        let (b, b_step) = read.map_or((&panels[at..], width), |s| (s.data, s.step));
                        let place = self.block.place(&j, S::LANES);
                        for (i, p) in share(self.panels.len(), parts, part).enumerate() {
                            let p = self.panels.start + p;
                            let rows = a.panel_rows(p);
                            let row = self.first_row + rows.start;
                            let bias = self.epilogue.bias.filter(|_| last).map(|bias| &bias[row..row + rows.len()]);
                            let operands = Operands {
                                row,
                                rows: rows.len(),
                                k: k.len(),
                                a: a.panel(&k, p),
                                b,
                                b_step,
                                add,
                                bias,
                                relu: self.epilogue.relu && last,
                                ahead: ahead(next, i, few, a.panel(&k, p), rows.len()),
                            };
                            self.block.tile(simd, &place, &operands, &mut spill);
                        }
                    }
                }
            }
        }
        B_PANELS.set(Some(panels));
    }
}
