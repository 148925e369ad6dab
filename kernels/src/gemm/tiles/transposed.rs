//! Stores of tiles whose rows are cells of maps and whose columns are rows of C: eight rows of C at a time.

use std::ops::Range;

use super::{Block, MAX_MR};
use crate::gemm::Epilogue;
use crate::simd::Simd;

impl Block<'_> {
    /// Stores a tile whose rows are cells, `cells` of this block, and whose columns are rows of C, `rows`: transposed,
    /// after what `epilogue` asks for. `tile` has a row of `width` for each lane of a vector.
    ///
    /// Cells behind `cells` may be overwritten: tiles come in ascending order.
    #[inline(always)]
    pub(in crate::gemm) fn store_transposed<S: Simd>(
        &mut self,
        simd: S,
        cells: &Range<usize>,
        rows: &Range<usize>,
        tile: &[f32],
        width: usize,
        epilogue: &Epilogue<'_>,
    ) {
        assert!(self.rows.start <= rows.start && rows.end <= self.rows.end, "rows {rows:?} of {:?}", self.rows);
        assert!(self.columns.start <= cells.start && cells.end <= self.columns.end, "{cells:?} of {:?}", self.columns);
        assert!(cells.len() <= S::LANES.min(MAX_MR), "{} cells in a tile", cells.len());
        let mut lanes = [0; 16];
        for (l, at) in lanes.iter_mut().enumerate().take(S::LANES) {
            *at = l * width;
        }
        let (runs, count) = self.places.runs::<MAX_MR>(cells, S::LANES);
        let adjacent = self.places.locate(cells.start).1.min(self.columns.end - cells.start);
        for first in (0..rows.len()).step_by(8) {
            let eight = simd.load_columns(&tile[first..], &lanes);
            let rows = rows.start + first..rows.end.min(rows.start + first + 8);
            if count == 1 && rows.len() == 8 {
                // A vector whose last lanes are of tiles to come is stored whole.
                let len = if adjacent >= S::LANES && !epilogue.accumulate { S::LANES } else { cells.len() };
                self.store_eight(simd, rows.start, [runs[0].offset, len], eight, epilogue);
                continue;
            }
            for (row, &sum) in rows.zip(&eight) {
                for run in &runs[..count] {
                    let mut x = sum;
                    if run.at > 0 {
                        let mut moved = [0.0; 16];
                        simd.store(sum, &mut moved);
                        x = simd.load_partial(&moved[run.at..run.at + run.len], 0.0);
                    }
                    self.store_cells(simd, row, [run.offset, run.len], x, epilogue);
                }
            }
        }
    }

    /// `len` cells of each of eight rows from `row` on, from `offset` on, after what `epilogue` asks for.
    #[inline(always)]
    fn store_eight<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        [offset, len]: [usize; 2],
        mut sums: [S::F32; 8],
        epilogue: &Epilogue<'_>,
    ) {
        if epilogue.accumulate {
            for i in 0..8 {
                self.store_cells(simd, row + i, [offset, len], sums[i], epilogue);
            }
            return;
        }
        if let Some(bias) = epilogue.bias {
            let bias = &bias[row..row + 8];
            for i in 0..8 {
                sums[i] = simd.add(sums[i], simd.splat(bias[i]));
            }
        }
        if epilogue.relu {
            let zero = simd.splat(0.0);
            for i in 0..8 {
                sums[i] = simd.max(zero, sums[i]);
            }
        }
        for i in 0..8 {
            let to = self.cells(row + i, offset, len);
            simd.store_some(sums[i], to);
        }
    }

    /// The same for one row.
    #[inline(always)]
    fn store_cells<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        [offset, len]: [usize; 2],
        mut sum: S::F32,
        epilogue: &Epilogue<'_>,
    ) {
        let to = self.cells(row, offset, len);
        if epilogue.accumulate {
            sum = simd.add(simd.load_some(to, 0.0), sum);
        }
        if let Some(bias) = epilogue.bias {
            sum = simd.add(sum, simd.splat(bias[row]));
        }
        if epilogue.relu {
            sum = simd.max(simd.splat(0.0), sum);
        }
        simd.store_some(sum, to);
    }

    /// Asks for `cells` of `rows`, which `store_transposed` will write.
    #[inline(always)]
    pub(in crate::gemm) fn prefetch<S: Simd>(&self, simd: S, cells: &Range<usize>, rows: &Range<usize>) {
        let (first, _) = self.places.locate(cells.start);
        let (last, _) = self.places.locate(cells.end - 1);
        for row in rows.clone() {
            let row = self.data.wrapping_add(row * self.places.row);
            simd.prefetch_ptr(row.wrapping_add(first));
            simd.prefetch_ptr(row.wrapping_add(last));
        }
    }
}
