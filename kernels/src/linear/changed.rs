//! A linear layer by what changes of its inputs, for many vectors at once: sums += changes · W[:, changed]ᵀ.
//!
//! ```text
//! changes, packed: vectors × changed      weights, where they lie: outputs × inputs
//!                                           some columns of them, turned into panels as they are needed
//! ```

use std::ops::Range;

use super::Linear;
use crate::Cpu;
use crate::gemm::{self, Columns, Epilogue, MatrixMut, Output, PackedA, Product};
use crate::simd::Simd;
use crate::view::{Dtype, Weights};

/// Adds to `sums`, vectors × `outputs.len()`, what the outputs of `outputs` get from `changes`: vectors × `changed`, which
/// names inputs in rising order.
///
/// # Example
///
/// ```
/// use switchback_kernels::gemm::{MatrixMut, PackedA};
/// use switchback_kernels::linear::{Linear, linear_changes};
/// use switchback_kernels::{Cpu, Dtype, Weights};
///
/// let cpu = Cpu::new(1);
/// let layer = Linear { inputs: 3, outputs: 2, transposed: true };
/// let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// // Input 2 of the first vector has risen by 10, of the second by 100.
/// let changes = PackedA::new(&cpu, 2, 1, |vector, _| [10.0, 100.0][vector]);
/// let mut sums = [0.5; 4];
/// let weights = Weights::new(&bytes, Dtype::F32);
/// linear_changes(&cpu, &layer, weights, 0..2, &[2], &changes, MatrixMut::new(&mut sums, 2, 2));
/// assert_eq!(sums, [30.5, 60.5, 300.5, 600.5]);
/// ```
pub fn linear_changes(
    cpu: &Cpu,
    linear: &Linear,
    weights: Weights<'_>,
    outputs: Range<usize>,
    changed: &[usize],
    changes: &PackedA,
    sums: MatrixMut<'_>,
) {
    assert_eq!(weights.len(), linear.inputs * linear.outputs, "weights of {linear:?}");
    assert!(outputs.end <= linear.outputs, "outputs {outputs:?} of {linear:?}");
    assert!(changed.iter().all(|&i| i < linear.inputs), "an input beyond the last of {linear:?}");
    let count = outputs.len();
    let columns = Changed { linear, weights, first: outputs.start, count, changed };
    let epilogue = Epilogue { accumulate: true, ..Epilogue::default() };
    gemm::run(cpu, &[Product { a: changes, b: columns }], Output::matrix(sums), &epilogue);
}

/// The changed inputs' weights: a column an output.
struct Changed<'a> {
    linear: &'a Linear,
    weights: Weights<'a>,
    first: usize,
    count: usize,
    changed: &'a [usize],
}

impl Columns for Changed<'_> {
    fn k(&self) -> usize {
        self.changed.len()
    }

    fn count(&self) -> usize {
        self.count
    }

    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, k: Range<usize>, j: Range<usize>, width: usize, panel: &mut [f32]) {
        let changed = &self.changed[k];
        for first in (0..width).step_by(S::LANES) {
            let outputs = S::LANES.min(j.len().saturating_sub(first));
            let o = self.first + j.start + first;
            if self.linear.transposed {
                self.turn(simd, changed, o..o + outputs, width, &mut panel[first..]);
                continue;
            }
            for (step, &i) in panel[first..].chunks_mut(width).zip(changed) {
                let start = self.linear.index(o.min(self.linear.outputs - 1), i);
                step[..S::LANES].fill(0.0);
                if outputs == S::LANES {
                    simd.store(self.load(simd, start), step);
                } else {
                    (0..outputs).for_each(|l| step[l] = self.weights.get(start + l));
                }
            }
        }
    }
}

impl Changed<'_> {
    /// One vector of outputs of every step: rows of weights become columns.
    #[inline(always)]
    fn turn<S: Simd>(&self, simd: S, changed: &[usize], outputs: Range<usize>, width: usize, panel: &mut [f32]) {
        const LINE: usize = 16 + 8;
        /// How far ahead weights are asked for, in bytes.
        const AHEAD: usize = 512;
        let mut lines = [0.0; 16 * LINE];
        let at: [usize; 16] = std::array::from_fn(|l| l * LINE);
        let mut k = 0;
        while k < changed.len() {
            let start = changed[k];
            let most = S::LANES.min(changed.len() - k);
            let run = (1..most).find(|&i| changed[k + i] != start + i).unwrap_or(most);
            for (l, o) in outputs.clone().enumerate() {
                let from = self.linear.index(o, start);
                simd.prefetch(self.weights.bytes(), from * self.weights.dtype().size() + AHEAD);
                if from + S::LANES <= self.weights.len() {
                    simd.store(self.load(simd, from), &mut lines[l * LINE..]);
                } else {
                    (0..run).for_each(|i| lines[l * LINE + i] = self.weights.get(from + i));
                }
            }
            for eight in (0..run).step_by(8) {
                let columns = simd.load_columns(&lines[eight..], &at);
                for (i, &v) in columns.iter().enumerate().take(run - eight) {
                    simd.store(v, &mut panel[(k + eight + i) * width..]);
                }
            }
            k += run;
        }
    }

    /// Weights from `start` on, a vector full, which must be there.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, start: usize) -> S::F32 {
        let bytes = &self.weights.bytes()[start * self.weights.dtype().size()..];
        match self.weights.dtype() {
            Dtype::F32 => simd.load_f32_bytes(bytes),
            Dtype::F16 => simd.load_f16_bytes(bytes),
        }
    }
}
