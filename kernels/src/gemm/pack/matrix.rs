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
                simd.store_some(v, to);
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
        let [row, column] = self.strides();
        let whole = column == 1 && j.len() == width;
        match self.data().get(self.offset(k.start, j.start)..) {
            Some(from) if whole && width == S::LANES => copy::<S, 1>(simd, from, row, k.len(), panel),
            Some(from) if whole && width == 2 * S::LANES => copy::<S, 2>(simd, from, row, k.len(), panel),
            Some(from) if column == 1 => {
                for (i, to) in panel.chunks_exact_mut(width).take(k.len()).enumerate() {
                    let row = &from[i * row..][..j.len()];
                    for (to, x) in to.chunks_exact_mut(S::LANES).zip(row.chunks(S::LANES)) {
                        simd.store(simd.load_some(x, 0.0), to);
                    }
                }
            }
            _ => {
                for (to, k) in panel.chunks_exact_mut(width).zip(k) {
                    to.iter_mut().zip(j.clone()).for_each(|(x, j)| *x = self.data()[self.offset(k, j)]);
                    to[j.len()..].fill(0.0);
                }
            }
        }
    }
}

/// Copies the first `N` vectors of each of `k` rows of `from`, `row` floats apart.
#[inline(always)]
fn copy<S: Simd, const N: usize>(simd: S, from: &[f32], row: usize, k: usize, panel: &mut [f32]) {
    for (i, to) in panel.chunks_exact_mut(N * S::LANES).take(k).enumerate() {
        let from = &from[i * row..][..N * S::LANES];
        for v in 0..N {
            simd.store(simd.load(&from[v * S::LANES..]), &mut to[v * S::LANES..]);
        }
    }
}
