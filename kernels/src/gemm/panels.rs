//! The product for levels whose micro-kernel has no cycle to spare: panels of B are packed one by one, between tiles.
//!
//! ```text
//!   for nc columns                       a B block, kc × nc, stays in the last cache
//!     for kc steps
//!       for mc rows                      an A block, mc × kc, stays in L2
//!         for nr columns                 a B panel, kc × nr, packed by the first mc rows, stays in L1
//!           for mr rows                  A panels stream from L2
//!             micro-kernel               C tile, mr × nr, in registers
//! ```

use std::cell::Cell;

use super::ahead::Ahead;
use super::blocks::{FEW, line};
use super::micro::{Carry, MAX_MR, MAX_NR, Shape};
use super::pack::{Columns, Left, Panels, Straight};
use super::tiles::{Operands, Spill};
use super::{Product, Task, share};
use crate::aligned::AlignedBuf;
use crate::caches::Caches;
use crate::simd::Simd;

thread_local! {
    /// The packed B block of this thread, kept from task to task.
    static B_BLOCK: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// What tile `i` of a B panel asks for: the lines of the next panel in turn, and A further on where there is much of it.
#[inline(always)]
fn ahead(next: Option<Straight<'_>>, i: usize, few: bool, a: Left<'_>, rows: usize) -> [Ahead; 2] {
    match a {
        _ if few => [line(next, 2 * i), line(next, 2 * i + 1)],
        Left::Panels(a) => [Ahead::panels(a, rows), line(next, i)],
        Left::Rows(_) => [Ahead::nothing(), line(next, i)],
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
            _ => (caches.share / 2 / (size_of::<f32>() * kc)).clamp(nr, columns.len().max(nr)) / nr * nr,
        };
        let few = self.panels.len() <= FEW;
        let stride = kc * nr;
        let len = match parts {
            1 => stride,
            _ => nc.div_ceil(nr) * stride,
        } + S::LANES;
        let mut panels = AlignedBuf::reused(B_BLOCK.take(), len);
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
                                count: 1,
                                k: k.len(),
                                a: a.panels_from(&k, p),
                                b,
                                b_step,
                                add,
                                bias,
                                relu: self.epilogue.relu && last,
                                ahead: &ahead(next, i, few, a.panels_from(&k, p), rows.len()),
                                carry: &Carry::NONE,
                                soon: None,
                            };
                            self.block.tile(simd, &place, &operands, &mut spill);
                        }
                    }
                }
            }
        }
        B_BLOCK.set(Some(panels));
    }
}
