//! A linear layer by what changes of its inputs, for many vectors at once: sums += changes · W[:, changed]ᵀ.
//!
//! ```text
//! changes of a part, packed: its vectors × its inputs      weights, where they lie: outputs × inputs
//!   part 0   vectors 0 1 2 3   inputs a d g                  a panel of outputs at a time, turned so that the
//!   part 1   vectors     2 3   inputs b e h                  inputs of a part follow each other: read once for all
//! ```
//! What changes in few vectors is multiplied for few.

use std::cell::Cell;

use super::Linear;
use crate::Cpu;
use crate::aligned::AlignedBuf;
use crate::gemm::{Ahead, MAX_PANEL_HEIGHT, MAX_PANEL_WIDTH, Packed, PackedA, Panels, Shape, Straight, multiply};
use crate::simd::{Simd, SimdOp};
use crate::view::{Dtype, Weights};

/// Inputs that change, and in which vectors.
#[derive(Debug)]
pub struct Changes {
    /// Inputs, in rising order.
    pub inputs: Vec<usize>,
    /// Vectors, in rising order.
    pub vectors: Vec<usize>,
    /// By how much: vectors × inputs.
    pub by: PackedA,
}

/// Adds to `sums`, vectors × outputs, what the outputs get from all `changes`.
///
/// # Example
///
/// ```
/// use switchback_kernels::gemm::PackedA;
/// use switchback_kernels::linear::{Changes, Linear, linear_changes};
/// use switchback_kernels::{Cpu, Dtype, Weights};
///
/// let cpu = Cpu::new(1);
/// let layer = Linear { inputs: 3, outputs: 2, transposed: true };
/// let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// // Input 2 of the second vector has risen by 10.
/// let by = PackedA::new(&cpu, 1, 1, |_, _| 10.0);
/// let changes = [Changes { inputs: vec![2], vectors: vec![1], by }];
/// let mut sums = [0.5; 4];
/// linear_changes(&cpu, &layer, Weights::new(&bytes, Dtype::F32), &changes, &mut sums);
/// assert_eq!(sums, [0.5, 0.5, 30.5, 60.5]);
/// ```
pub fn linear_changes(cpu: &Cpu, linear: &Linear, weights: Weights<'_>, changes: &[Changes], sums: &mut [f32]) {
    let Linear { inputs, outputs, .. } = *linear;
    assert_eq!(weights.len(), inputs * outputs, "weights of {linear:?}");
    if outputs == 0 || sums.is_empty() {
        return;
    }
    let vectors = sums.len() / outputs;
    assert_eq!(sums.len(), vectors * outputs, "sums of {vectors} vectors");
    let mut places = Vec::new();
    for Changes { inputs: changed, vectors: of, by } in changes {
        assert_eq!(by.level(), cpu.level, "the changes were packed for another level");
        assert_eq!([by.rows(), by.k()], [of.len(), changed.len()], "changes (vectors, inputs)");
        assert!(changed.iter().all(|&i| i < inputs), "an input beyond the last of {linear:?}");
        assert!(of.iter().all(|&v| v < vectors), "a vector beyond the last of {vectors}");
        let first = places.len();
        places.extend(changed.iter().enumerate().map(|(k, &input)| Place { input, row: first + k }));
    }
    places.sort_unstable_by_key(|p| p.input);
    let nr = Shape::at(cpu.level).nr();
    let mut blocks = vec![0.0; outputs.div_ceil(nr) * vectors * nr];
    cpu.threads.chunks_mut(&mut blocks, vectors * nr, |i, sums| {
        let first = i * nr;
        let count = nr.min(outputs - first);
        cpu.level.dispatch(Block { linear, weights, changes, places: &places, first, count, sums });
    });
    cpu.threads.chunks_mut(sums, outputs, |v, sums| {
        for (sums, block) in sums.chunks_mut(nr).zip(blocks.chunks_exact(vectors * nr)) {
            sums.iter_mut().zip(&block[v * nr..]).for_each(|(sum, more)| *sum += more);
        }
    });
}

/// Where the weights of an input stand in a panel.
#[derive(Clone, Copy, Debug)]
struct Place {
    input: usize,
    row: usize,
}

thread_local! {
    /// The weights of a panel of outputs, kept from one to the next.
    static PANEL: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// A panel of outputs for all vectors.
struct Block<'a> {
    linear: &'a Linear,
    weights: Weights<'a>,
    changes: &'a [Changes],
    /// By input.
    places: &'a [Place],
    /// Outputs.
    first: usize,
    count: usize,
    /// Vectors × nr, zero before.
    sums: &'a mut [f32],
}

impl SimdOp for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nr = const { Shape::of::<S>().nr() };
        let width = self.count.div_ceil(S::LANES) * S::LANES;
        let len = self.places.len() * width + S::LANES;
        let mut panel = AlignedBuf::reused(PANEL.take(), len);
        for first in (0..self.count).step_by(S::LANES) {
            let outputs = S::LANES.min(self.count - first);
            self.pack(simd, self.first + first, outputs, width, &mut panel[first..]);
        }
        let mut tile = [0.0; MAX_PANEL_HEIGHT * MAX_PANEL_WIDTH];
        let mut from = 0;
        for Changes { inputs, vectors, by } in self.changes {
            let steps = by.steps();
            for k in (0..steps.count()).map(|i| steps.range(i)) {
                let b = &panel[(from + k.start) * width..];
                for p in 0..by.panels() {
                    let (rows, a) = (by.panel_rows(p), by.panel(&k, p));
                    let ahead = [Ahead::panels(a, rows.len()), Ahead::nothing()];
                    let (a, b) = (&Straight { data: a, step: rows.len() }, &Straight { data: b, step: width });
                    multiply(simd, [rows.len(), k.len(), width], a, b, &mut tile, false, ahead);
                    for (&v, tile) in vectors[rows].iter().zip(tile.chunks_exact(width)) {
                        let sums = &mut self.sums[v * nr..][..width];
                        for j in (0..width).step_by(S::LANES) {
                            simd.store(simd.add(simd.load(&sums[j..]), simd.load(&tile[j..])), &mut sums[j..]);
                        }
                    }
                }
            }
            from += inputs.len();
        }
        PANEL.set(Some(panel));
    }
}

impl Block<'_> {
    /// The weights of a vector of outputs into the panel, whose rows are `width` apart.
    #[inline(always)]
    fn pack<S: Simd>(&self, simd: S, first: usize, outputs: usize, width: usize, panel: &mut [f32]) {
        if self.linear.transposed {
            return self.turn(simd, first, outputs, width, panel);
        }
        for &Place { input, row } in self.places {
            let start = self.linear.index(first, input);
            let to = &mut panel[row * width..][..S::LANES];
            if outputs == S::LANES {
                simd.store(self.load(simd, start), to);
            } else {
                to.fill(0.0);
                (0..outputs).for_each(|l| to[l] = self.weights.get(start + l));
            }
        }
    }

    /// The same where a row of weights is an output: rows become columns.
    #[inline(always)]
    fn turn<S: Simd>(&self, simd: S, first: usize, outputs: usize, width: usize, panel: &mut [f32]) {
        const LINE: usize = 16 + 8;
        /// How far ahead weights are asked for, in bytes.
        const AHEAD: usize = 512;
        let mut lines = [0.0; 16 * LINE];
        let at: [usize; 16] = std::array::from_fn(|l| l * LINE);
        let mut rest = self.places;
        while let Some(&Place { input: start, .. }) = rest.first() {
            let most = S::LANES.min(rest.len());
            let run = (1..most).find(|&i| rest[i].input != start + i).unwrap_or(most);
            for l in 0..outputs {
                let from = self.linear.index(first + l, start);
                simd.prefetch(self.weights.bytes(), from * self.weights.dtype().size() + AHEAD);
                if from + S::LANES <= self.weights.len() {
                    simd.store(self.load(simd, from), &mut lines[l * LINE..]);
                } else {
                    (0..run).for_each(|i| lines[l * LINE + i] = self.weights.get(from + i));
                }
            }
            let (now, later) = rest.split_at(run);
            for (eight, places) in now.chunks(8).enumerate() {
                let columns = simd.load_columns(&lines[8 * eight..], &at);
                for (place, &v) in places.iter().zip(&columns) {
                    simd.store(v, &mut panel[place.row * width..]);
                }
            }
            rest = later;
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
