//! Linear layers by changed columns: `y = y₀ + (x − x₀)[changed] · W[:, changed]ᵀ`.
//!
//! ```text
//! squares ─▶        0 . 3 . .      columns that no square changes are left out;
//!                   . . 1 . 2      what remains is one dense product for all squares,
//!          changed    ^   ^        whose right side is the weights, written changed × outputs, some outputs at a time
//! ```
//! The sums differ from a full pass by rounding alone.

use switchback_kernels::conv2d::Activation;
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm_packed};
use switchback_kernels::linear::{self, Linear};
use switchback_kernels::{Cpu, Dtype, Weights, Window};

use super::clean::Clean;
use super::patch::{Frame, Patch, Patches, gather};
use crate::error::Result;
use crate::plan::Step;
use crate::session::packed;

/// Outputs whose weights are written anew at one time.
pub(super) const ROWS: usize = 512;
/// Inputs whose weights a thread writes at one time.
const TURNED: usize = 64;
/// Up to so many squares the layer runs as it does for whole pictures: to write weights anew for so few costs more.
const FEW: usize = 3;

/// The sums of linear layer `step`, which runs without its activation, at every square.
pub(super) fn linear(clean: &Clean<'_>, cpu: &Cpu, step: &Step, input: &Patches) -> Result<Patches> {
    let network = clean.network();
    assert!(!step.relu, "the clean run keeps the sums of linear layers");
    let layer = packed::linear(network, step.node);
    let (weights, bias) = (clean.session.packed().linear(step.node)?, clean.session.packed().bias(step.node)?);
    let source = clean.tensor(network.node(step.node).inputs[0]);
    let shape = source.shape;

    let squares: Vec<usize> = (0..input.patches.len()).filter(|&s| input.maps(s, shape).is_some()).collect();
    let mut vectors = vec![0.0; squares.len() * layer.inputs];
    cpu.threads.chunks_mut(&mut vectors, layer.inputs, |i, vector| {
        gather(source, input.maps(squares[i], shape).as_ref(), Frame::from(Window::full(shape.size())), vector);
    });
    let n = squares.len();
    let mut sums = vec![0.0; n * layer.outputs];
    if (1..=FEW).contains(&n) {
        let none = Activation::None;
        linear::linear(cpu, &layer, weights, bias, none, &vectors, &mut sums);
    } else if n > 0 {
        for sums in sums.chunks_exact_mut(layer.outputs) {
            sums.copy_from_slice(&clean.tensor(step.output).data);
        }
        add_changes(cpu, &layer, weights, (&source.data, &vectors), &mut sums);
    }
    let mut patches = vec![Patch::NONE; input.patches.len()];
    for (at, &s) in squares.iter().enumerate() {
        let held = Window::full([1, 1]);
        patches[s] = Patch { buffer: 0, offset: at * layer.outputs, held, window: held };
    }
    Ok(Patches { buffers: vec![sums], patches })
}

/// Adds W·(x − x₀) to the sums of every vector x: `sums` is squares × outputs, `vectors` squares × inputs.
fn add_changes(cpu: &Cpu, linear: &Linear, weights: Weights<'_>, (clean, vectors): (&[f32], &[f32]), sums: &mut [f32]) {
    let Linear { inputs, outputs, .. } = *linear;
    let squares = vectors.len() / inputs;
    let mut changes = vec![false; inputs];
    for vector in vectors.chunks_exact(inputs) {
        for ((changes, new), old) in changes.iter_mut().zip(vector).zip(clean) {
            *changes |= new.to_bits() != old.to_bits();
        }
    }
    let changed: Vec<usize> = (0..inputs).filter(|&i| changes[i]).collect();
    let element = |s: usize, k: usize| vectors[s * inputs + changed[k]] - clean[changed[k]];
    let a = PackedA::new(cpu, squares, changed.len(), element);
    let mut block = vec![0.0; changed.len() * ROWS.min(outputs)];
    for first in (0..outputs).step_by(ROWS) {
        let count = ROWS.min(outputs - first);
        let block = &mut block[..changed.len() * count];
        cpu.threads.chunks_mut(block, TURNED * count, |i, rows| {
            turn(linear, weights, first, &changed[i * TURNED..], (rows, count));
        });
        let b = Matrix::new(block, changed.len(), count);
        gemm_packed(cpu, &a, b, MatrixMut::strided(&mut sums[first..], [squares, count], outputs), true);
    }
}

/// Writes the weights of `count` outputs from `first` on, for the inputs of `changed` in turn, a row each.
fn turn(linear: &Linear, weights: Weights<'_>, first: usize, changed: &[usize], (rows, count): (&mut [f32], usize)) {
    // Outputs that fill a cache line together.
    const TOGETHER: usize = 16;
    let changed = &changed[..rows.len() / count];
    let adjacent = changed.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let mut lines = [[0.0; TURNED]; TOGETHER];
    for from in (0..count).step_by(TOGETHER) {
        let to = count.min(from + TOGETHER);
        for (o, line) in (first + from..first + to).zip(&mut lines) {
            if linear.transposed && adjacent && weights.dtype() == Dtype::F32 {
                let start = linear.index(o, changed[0]);
                let bytes = weights.range(start, start + changed.len()).bytes();
                for (weight, bytes) in line.iter_mut().zip(bytes.as_chunks().0) {
                    *weight = f32::from_le_bytes(*bytes);
                }
            } else {
                line.iter_mut().zip(changed).for_each(|(weight, &i)| *weight = weights.get(linear.index(o, i)));
            }
        }
        for (k, row) in rows.chunks_exact_mut(count).enumerate() {
            row[from..to].iter_mut().zip(&lines).for_each(|(weight, line)| *weight = line[k]);
        }
    }
}
