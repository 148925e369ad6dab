//! A left operand that is read where it lies: where few columns use it, to pack it would take longer than it saves.
//!
//! ```text
//! A, row-major    mr rows, kc steps of each ⟶ a micro-kernel that goes through mr rows at once
//! ```

use std::ops::Range;

use super::{Cut, Left, Panels, SETS, Straight, WAYS};
use crate::Cpu;
use crate::aligned::LINE;
use crate::gemm::ahead::Ahead;
use crate::gemm::micro::{Shape, WIDE};
use crate::gemm::{Matrix, Packed};

/// Columns up to which a product reads its left operand where it lies; and where that is dear: vectors are short, so that a row
/// is read more often for as many columns, or its rows fill more than half of a set of the first cache.
const FEW: [usize; 2] = [4096, 512];

/// A row-major matrix.
pub(in crate::gemm) struct InPlace<'a> {
    cut: Cut,
    a: Matrix<'a>,
}

impl<'a> InPlace<'a> {
    /// `a`, if that pays for a product of `columns`: its steps are adjacent, and the rows of a tile do not push each other
    /// out of the first cache while they are read, a line in sixteen steps.
    pub(in crate::gemm) fn of(cpu: &Cpu, a: Matrix<'a>, columns: usize) -> Option<Self> {
        let shape = Shape::at(cpu.level);
        let [rows, k] = [a.rows(), a.columns()];
        let [row, step] = a.strides();
        let lines = most_in_a_set(row, shape.mr.min(rows));
        let few = FEW[usize::from(shape.lanes < WIDE || lines > WAYS / 2)];
        let pays = step == 1 && rows * k > 0 && columns <= few && lines < WAYS;
        pays.then(|| Self { cut: Cut::new(cpu.level, rows, k), a })
    }
}

/// The most lines of one set of the first cache among those of so many `rows`, `step` floats apart.
fn most_in_a_set(step: usize, rows: usize) -> usize {
    let mut sets = [0; SETS];
    (0..rows).for_each(|i| sets[i * step / LINE % SETS] += 1);
    sets.into_iter().max().unwrap_or(0)
}

impl Panels for InPlace<'_> {
    const PACKED: bool = false;

    fn cut(&self) -> &Cut {
        &self.cut
    }

    #[inline(always)]
    fn panels_from(&self, k: &Range<usize>, p: usize) -> Left<'_> {
        Left::Rows(Straight {
            data: &self.a.data()[self.a.offset(self.panel_rows(p).start, k.start)..],
            step: self.a.strides()[0],
        })
    }

    #[inline(always)]
    fn ahead(&self, k: &Range<usize>, p: usize, [part, parts]: [usize; 2]) -> Ahead {
        let rows = self.panel_rows(p);
        let each = rows.len().div_ceil(parts);
        let rows = (rows.start + part * each).min(rows.end)..(rows.start + (part + 1) * each).min(rows.end);
        if rows.is_empty() {
            return Ahead::nothing();
        }
        let data = &self.a.data()[self.a.offset(rows.start, k.start)..];
        Ahead::rows(data, [rows.len(), k.len()], self.a.strides()[0], Ahead::each(rows.len(), k.len(), k.len()))
    }
}
