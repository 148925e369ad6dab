//! Operands that are matrices: A written as panels for one product, B read where it lies or packed.
//!
//! ```text
//! A, row-major    8 steps of each of mr rows ⟶ 8 vectors, a lane for each row ⟶ steps of the panel, one after the other
//! ```
//! A vector that reaches past its step is written over by the next one.

use std::ops::Range;

use super::{Columns, PackedA, SLACK, Straight};
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::gemm::Matrix;
use crate::simd::{Simd, SimdOp};

impl PackedA {
    /// Packs `a`, into the memory of `buffer` if it is large enough.
    pub(in crate::gemm) fn of(cpu: &Cpu, a: Matrix<'_>, buffer: Option<AlignedBuf>) -> Self {
        let size = [a.rows(), a.columns()];
        let data = AlignedBuf::reused(buffer, a.rows() * a.columns() + SLACK);
        Self::panel_by_panel(cpu, size, data, |rows, ks, panel| cpu.level.dispatch(Fill { a: &a, rows, ks, panel }))
    }

    /// Its memory, for the next one.
    pub(in crate::gemm) fn into_buffer(self) -> AlignedBuf {
        self.data
    }
}

/// Writes one panel of A.
struct Fill<'a> {
    a: &'a Matrix<'a>,
    rows: Range<usize>,
    ks: Range<usize>,
    panel: &'a mut [f32],
}

impl SimdOp for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        /// Steps that are written together.
        const GROUP: usize = 8;
        let Self { a, rows, ks, panel } = self;
        let height = rows.len();
        let [row, step] = a.strides();
        // Lanes without a row read the last one once more.
        let at: [usize; 16] = std::array::from_fn(|l| l.min(height.saturating_sub(1)) * row);
        let mut k = ks.start;
        while step == 1 && k + GROUP <= ks.end {
            let group = simd.load_columns(&a.data()[a.offset(rows.start, k)..], &at);
            for (i, v) in group.into_iter().enumerate() {
                let to = &mut panel[(k - ks.start + i) * height..];
                if to.len() >= S::LANES { simd.store(v, to) } else { simd.store_partial(v, to) }
            }
            k += GROUP;
        }
        for (to, k) in panel.chunks_exact_mut(height).zip(ks.clone()).skip(k - ks.start) {
            let start = a.offset(rows.start, k);
            if row == 1 {
                to.copy_from_slice(&a.data()[start..start + height]);
            } else {
                for (i, x) in to.iter_mut().enumerate() {
                    *x = a.data()[start + i * row];
                }
            }
        }
    }
}

impl Columns for Matrix<'_> {
    fn k(&self) -> usize {
        self.rows()
    }

    fn count(&self) -> usize {
        self.columns()
    }

    #[inline(always)]
    fn straight(&self, k: &Range<usize>, j: &Range<usize>) -> Option<Straight<'_>> {
        let [step, 1] = self.strides() else { return None };
        Some(Straight { data: self.data().get(self.offset(k.start, j.start)..)?, step })
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, k: Range<usize>, j: Range<usize>, width: usize, panel: &mut [f32]) {
        let adjacent = self.strides()[1] == 1;
        for (step, k) in panel.chunks_exact_mut(width).zip(k) {
            if adjacent {
                let start = self.offset(k, j.start);
                let row = &self.data()[start..start + j.len()];
                for (to, from) in step.chunks_exact_mut(S::LANES).zip(row.chunks(S::LANES)) {
                    let v = match from.len() == S::LANES {
                        true => simd.load(from),
                        false => simd.load_partial(from, 0.0),
                    };
                    simd.store(v, to);
                }
            } else {
                for (x, j) in step.iter_mut().zip(j.clone()) {
                    *x = self.data()[self.offset(k, j)];
                }
                step[j.len()..].fill(0.0);
            }
        }
    }
}
