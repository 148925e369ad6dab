//! The product for levels whose micro-kernel has no cycle to spare: panels of B are packed one by one, between tiles.
//!
//! ```text
//!   for nc columns                       a B block, kc × nc, stays in the last cache
//!     for kc steps
//!       for mc rows                      an A block, mc × kc, stays in L2
//!         for nr columns                 a B panel, kc × nr, packed by the first mc rows, stays in L1
//!           for panels of A of equal height
//!             micro-kernel               C tile below C tile, mr × nr each, in registers
//! ```

use std::cell::Cell;

use super::ahead::Ahead;
use super::blocks::{FEW, line};
use super::micro::{MAX_MR, MAX_NR, Shape};
use super::pack::{Columns, Left, Panels, Straight};
use super::strips::{Strip, Sums};
use super::tiles::Spill;
use super::{Product, Task, share};
use crate::aligned::{AlignedBuf, LINE};
use crate::caches::Caches;
use crate::simd::Simd;

thread_local! {
    /// The packed B block of this thread, kept from task to task.
    static B_BLOCK: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// What the tiles of a strip over a B panel ask for, of which tile `first` of all is the first: with each a line of the next
/// panel, and A further on, where it is packed and there is much of it; or two lines, where tiles are few.
#[inline(always)]
fn ahead(next: Option<Straight<'_>>, first: usize, few: bool, a: Left<'_>, panel: [usize; 2]) -> [Ahead; 2] {
    // From line `i` on, `tile` floats further with each tile.
    let lines = |i: usize, tile: usize| line(next, i).tiles(tile).within(MAX_NR.saturating_sub(i * LINE));
    let [k, height] = panel;
    match a {
        _ if few => [0, 1].map(|i| lines(2 * first + i, 2 * LINE)),
        Left::Panels(a) => [Ahead::panels(a, height).tiles(k * height), lines(first, LINE)],
        Left::Rows(_) => [Ahead::nothing(), lines(first, LINE)],
    }
}

impl<A: Panels, B: Columns> Task<'_, A, B> {
    /// Computes the task.
    #[inline(always)]
    pub(super) fn panel_by_panel<S: Simd>(&mut self, simd: S) {
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
            _ => (caches.share / 2 / (size_of::<f32>() * kc.max(1))).clamp(nr, columns.len().max(nr)) / nr * nr,
        };
        let few = self.panels.len() <= FEW;
        let stride = kc * nr;
        let len = match parts {
            1 => stride,
            _ => nc.div_ceil(nr) * stride,
        } + S::LANES;
        let mut panels = AlignedBuf::reused(B_BLOCK.take(), len);
        let mut spill: Spill = [0.0; MAX_MR * MAX_NR + MAX_NR];
        let blocks: Vec<Vec<Strip>> =
            (0..parts).map(|part| self.heights(share(self.panels.len(), parts, part))).collect();
        for jc in columns.clone().step_by(nc.max(1)) {
            let jc = jc..(jc + nc).min(columns.end);
            let panel = |start: usize| start..(start + nr).min(jc.end);
            for step in 0..steps.count() {
                let k = steps.range(step);
                let (add, last) = (step > 0 || self.epilogue.accumulate, step + 1 == steps.count());
                let sums = Sums { k: k.clone(), add, last };
                for (part, strips) in blocks.iter().enumerate() {
                    for (index, start) in jc.clone().step_by(nr).enumerate() {
                        let j = panel(start);
                        let width = j.len().next_multiple_of(S::LANES);
                        let at = if parts == 1 { 0 } else { index * stride };
                        let next = if part == 0 && j.end < jc.end { b.straight(&k, &panel(j.end)) } else { None };
                        let read = if few { b.straight(&k, &j).filter(|s| s.reaches(k.len(), width)) } else { None };
                        if part == 0 && read.is_none() {
                            b.pack(simd, k.clone(), j.clone(), width, &mut panels[at..at + k.len() * width + S::LANES]);
                        }
                        let operand = read.unwrap_or(Straight { data: &panels[at..], step: width });
                        let place = self.block.place(&j, S::LANES);
                        for (i, strip) in strips.iter().enumerate() {
                            let soon =
                                strips.get(i + 1).map_or((strips[0].rows.start, nr), |next| (next.rows.start, 0));
                            let first = strip.panels.start - strips[0].panels.start;
                            let from = a.panels_from(&k, strip.panels.start);
                            let ahead = ahead(next, first, few, from, [k.len(), strip.height]);
                            self.strip(simd, strip, &sums, &operand, &place, soon, &ahead, &mut spill);
                        }
                    }
                }
            }
        }
        B_BLOCK.set(Some(panels));
    }
}
