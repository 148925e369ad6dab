//! The product of sums that one kc block holds: all rows of C over one panel of B at a time, in a few calls.
//!
//! ```text
//! for a slab of A             some panels, which stay in L2
//!   for nr columns            a B panel, k × nr, read where it is or packed; the next one is asked for meanwhile
//!     for panels of A of equal height
//!       micro-kernel          C tile below C tile, mr × nr each, in registers; the next one is asked for meanwhile
//! ```
//! Sums that are cut into kc blocks are made by the same columns of tiles, in the loops of `panels`.
//!
//! Nothing is done between tiles that a kernel cannot do itself. That counts where sums are short; and where they are long,
//! B is read once for each slab, which costs no more than to pack it. The last columns, too few for a vector, are the rows of
//! tiles whose columns are rows of A: a panel of A is as good a panel of B.

use std::cell::Cell;
use std::ops::Range;

use super::ahead::{Ahead, FAR};
use super::micro::{Carry, MAX_MR, MAX_NR, Shape, WIDE};
use super::pack::{Columns, Left, Panels, Straight, WAYS};
use super::tiles::{Operands, Place, Spill, multiply};
use super::{Product, Task, share};
use crate::aligned::{AlignedBuf, LINE};
use crate::caches::Caches;
use crate::simd::Simd;

/// Rows whose addresses collide are packed where they are no more than this.
const FEW: usize = 64;

thread_local! {
    /// The packed B panel of this thread, kept from task to task.
    static PANEL: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Panels of one height, one after the other.
pub(super) struct Strip {
    pub(super) panels: Range<usize>,
    pub(super) height: usize,
    /// In C.
    pub(super) rows: Range<usize>,
}

/// A kc block of the sums.
pub(super) struct Sums {
    pub(super) k: Range<usize>,
    /// Add to what C holds.
    pub(super) add: bool,
    /// Whether they are complete then.
    pub(super) last: bool,
}

impl<A: Panels, B: Columns> Task<'_, A, B> {
    /// Slabs of A for which B is read.
    fn slabs<S: Simd>(&self) -> usize {
        let a = self.product.a.steps().k().max(1) * const { Shape::of::<S>().mr } * size_of::<f32>();
        let most = (Caches::get().l2 * 5 / 16 / a).max(1);
        self.panels.len().div_ceil(most)
    }

    /// Whether the task is one for [`strips`](Self::strips): its sums are of one kc block, and no panel of B is packed twice,
    /// nor, with small tiles, which wait for it longer, read twice.
    #[inline(always)]
    pub(super) fn fits_strips<S: Simd>(&self, _: S) -> bool {
        let Product { a, b } = self.product;
        let columns = self.block.columns();
        let first = columns.start..columns.end.min(columns.start + const { Shape::of::<S>().nr() });
        let again = || S::LANES >= WIDE && b.straight(&a.steps().range(0), &first).is_some();
        a.steps().count() == 1 && (self.slabs::<S>() == 1 || again())
    }

    /// Computes the task.
    #[inline(always)]
    pub(super) fn strips<S: Simd>(&mut self, simd: S) {
        let Product { a, b } = self.product;
        let nr = const { Shape::of::<S>().nr() };
        let sums = Sums { k: a.steps().range(0), add: self.epilogue.accumulate, last: true };
        let k = sums.k.clone();
        let mut buffer = AlignedBuf::reused(PANEL.take(), k.len() * nr + S::LANES);
        let mut spill: Spill = [0.0; MAX_MR * MAX_NR + MAX_NR];
        let all = self.block.columns();
        let few = if A::PACKED { few::<S>(&all, k.len()) } else { all.end..all.end };
        let columns = all.start..few.start;
        let panel = |start: usize| start..columns.end.min(start + nr);
        let slabs = self.slabs::<S>();
        for slab in 0..slabs {
            let strips = self.heights(share(self.panels.len(), slabs, slab));
            for start in columns.clone().step_by(nr) {
                let j = panel(start);
                let width = j.len().next_multiple_of(S::LANES);
                let read = b
                    .straight(&k, &j)
                    .filter(|s| s.reaches(k.len(), width) && !scattered::<S>(s, k.len(), self.panels.len()));
                if read.is_none() {
                    b.pack(simd, k.clone(), j.clone(), width, &mut buffer[..k.len() * width + S::LANES]);
                }
                let operand = read.unwrap_or(Straight { data: &buffer, step: width });
                let [line, next] = lines(b, &k, panel(j.end));
                let place = self.block.place(&j, S::LANES);
                for (i, strip) in strips.iter().enumerate() {
                    // Behind the last rows the next columns come, with the first ones.
                    let soon = strips.get(i + 1).map_or((strips[0].rows.start, nr), |next| (next.rows.start, 0));
                    let weights = self.weights(strip, [slab, slabs], [start == columns.start, j.end == columns.end]);
                    let ahead = [line, weights.unwrap_or(next)];
                    self.strip(simd, strip, &sums, &operand, &place, soon, &ahead, &mut spill);
                }
            }
            if !few.is_empty() {
                self.narrow(simd, &strips, few.clone(), &mut buffer, &mut spill);
            }
        }
        PANEL.set(Some(buffer));
    }

    /// What of A is asked for with `strip`: itself with the first columns, a little further on; with the last ones what
    /// stands in its place in the next slab.
    #[inline(always)]
    fn weights(&self, strip: &Strip, [slab, slabs]: [usize; 2], [first, last]: [bool; 2]) -> Option<Ahead> {
        let Strip { panels, height, .. } = strip;
        let (a, all) = (self.product.a, self.panels.len());
        let k = a.steps().range(0);
        let further = share(all, slabs, slab + 1).start - share(all, slabs, slab).start;
        let (from, distance) = match (first, last && slab + 1 < slabs) {
            _ if panels.len() <= 2 => return None,
            (true, _) => (panels.start, FAR),
            (_, true) => ((panels.start + further).min(self.panels.end - 1), 0),
            _ => return None,
        };
        match a.panels_from(&k, from) {
            Left::Panels(a) => Some(Ahead::stream(a, distance, *height).tiles(k.len() * height)),
            Left::Rows(_) => None,
        }
    }

    /// The rows of `strip` over one panel of B.
    #[expect(clippy::too_many_arguments, reason = "operands, where they go and what comes next")]
    #[inline(always)]
    pub(super) fn strip<S: Simd>(
        &mut self,
        simd: S,
        strip: &Strip,
        sums: &Sums,
        panel: &Straight<'_>,
        place: &Place,
        soon: (usize, usize),
        ahead: &[Ahead; 2],
        spill: &mut Spill,
    ) {
        if place.is_whole() {
            return self.tiles(simd, strip, 0..strip.panels.len(), sums, panel, place, soon, ahead, spill);
        }
        let mut ahead = *ahead;
        for i in 0..strip.panels.len() {
            self.tiles(simd, strip, i..i + 1, sums, panel, place, soon, &ahead, spill);
            ahead[0].advance();
            ahead[1].advance();
        }
    }

    /// Those of the panels `some` of the strip, in one call.
    #[expect(clippy::too_many_arguments, reason = "operands, where they go and what comes next")]
    #[inline(always)]
    fn tiles<S: Simd>(
        &mut self,
        simd: S,
        Strip { panels, height, rows }: &Strip,
        some: Range<usize>,
        &Sums { ref k, add, last }: &Sums,
        panel: &Straight<'_>,
        place: &Place,
        soon: (usize, usize),
        ahead: &[Ahead; 2],
        spill: &mut Spill,
    ) {
        let (row, count) = (rows.start + some.start * height, some.len());
        let operands = Operands {
            row,
            rows: *height,
            count,
            k: k.len(),
            a: self.product.a.panels_from(k, panels.start + some.start),
            b: panel.data,
            b_step: panel.step,
            add,
            bias: self.epilogue.bias.filter(|_| last).map(|bias| &bias[row..row + height * count]),
            relu: self.epilogue.relu && last,
            ahead,
            carry: &Carry::NONE,
            soon: Some(soon),
        };
        self.block.tile(simd, place, &operands, spill);
    }

    /// The rows of `strips` over columns `j`, less than a vector: transposed, so that rows fill the vectors.
    #[inline(always)]
    fn narrow<S: Simd>(&mut self, simd: S, strips: &[Strip], j: Range<usize>, buffer: &mut [f32], tile: &mut Spill) {
        let Product { a, b } = self.product;
        let (k, width) = (a.steps().range(0), j.len());
        // Packed as whole vectors, then without what fills them up.
        b.pack(simd, k.clone(), j.clone(), S::LANES, &mut buffer[..(k.len() + 1) * S::LANES]);
        for step in 1..k.len() {
            buffer.copy_within(step * S::LANES..step * S::LANES + width, step * width);
        }
        for Strip { panels, height, rows } in strips {
            for (i, p) in panels.clone().enumerate() {
                let rows = rows.start + i * height..rows.start + (i + 1) * height;
                self.block.prefetch(simd, &j, &rows);
                let Left::Panels(data) = a.panels_from(&k, p) else {
                    unreachable!("packed, as there are narrow columns")
                };
                let panel = Straight { data, step: *height };
                let cells = Straight { data: buffer, step: width };
                let nothing = [Ahead::nothing(); 2];
                multiply(simd, [width, k.len(), S::LANES], &cells, &panel, &mut tile[..], false, nothing);
                self.block.store_transposed(simd, &j, &rows, &tile[..], S::LANES, self.epilogue);
            }
        }
    }

    /// The task's `panels`, in strips of equal height.
    pub(super) fn heights(&self, panels: Range<usize>) -> Vec<Strip> {
        let mut strips: Vec<Strip> = Vec::with_capacity(2);
        for p in panels.map(|p| self.panels.start + p) {
            let rows = self.product.a.panel_rows(p);
            let (height, rows) = (rows.len(), self.first_row + rows.start..self.first_row + rows.end);
            match strips.last_mut() {
                Some(strip) if strip.height == height => (strip.panels.end, strip.rows.end) = (p + 1, rows.end),
                _ => strips.push(Strip { panels: p..p + 1, height, rows }),
            }
        }
        strips
    }
}

/// Of `columns`, those after the last whole vector, where they are so few that it pays to make them rows of tiles.
#[inline(always)]
fn few<S: Simd>(columns: &Range<usize>, k: usize) -> Range<usize> {
    /// Steps that a transposed store takes.
    const STORE: usize = 150;
    /// Sums that keep the multiply-adds busy.
    const BUSY: usize = 4;
    let rest = columns.len() % S::LANES;
    let saved = (const { Shape::of::<S>().mr }).saturating_sub(rest.max(BUSY)) * k;
    let rest = if saved > STORE { rest } else { 0 };
    columns.end - rest..columns.end
}

/// Whether `k` rows are better packed: they push each other out of the first cache, and are so few that they are quickly
/// packed. Narrow tiles want a line so often that rows should follow each other also where there are more of them than half of
/// that cache holds; or than half of the sets that they share do, if the panel meets enough of `panels` of A.
#[inline(always)]
fn scattered<S: Simd>(panel: &Straight<'_>, k: usize, panels: usize) -> bool {
    const MANY: usize = 16;
    if const { S::LANES >= WIDE } {
        return k <= FEW && panel.collides();
    }
    let large = k * const { Shape::of::<S>().nr() * size_of::<f32>() } > Caches::get().l1 / 2;
    panel.collides() || large || panels >= MANY && k > WAYS / 2 * panel.sets()
}

/// The first lines of the rows of panel `j` of B, and the second; a tile further on, those that follow.
#[inline(always)]
fn lines<B: Columns>(b: &B, k: &Range<usize>, j: Range<usize>) -> [Ahead; 2] {
    if j.is_empty() {
        return [Ahead::nothing(); 2];
    }
    match b.straight(k, &j) {
        Some(panel) => [0, LINE].map(|at| Ahead::stream(panel.data, at, panel.step).tiles(LINE)),
        None => [Ahead::nothing(); 2],
    }
}
