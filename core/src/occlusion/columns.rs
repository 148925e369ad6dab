//! Linear layers by changed columns: y = y₀ + W[:, changed] · (x − x₀).
//!
//! ```text
//! squares ─▶        0 . 3 . .      columns that no square changes are left out;
//!                   . . 1 . 2      what remains is one dense product for all squares
//!          changed    ^   ^
//! ```
//! The sums differ from a full pass by rounding alone.

use switchback_kernels::Cpu;
use switchback_kernels::Window;
use switchback_kernels::conv2d::Activation;
use switchback_kernels::gemm::{Matrix, MatrixMut, PackedA, gemm_packed};

use super::clean::Clean;
use super::patch::{Frame, Patch, Patches, gather};
use crate::error::Result;
use crate::plan::Step;
use crate::session::packed;

/// Outputs whose weights are packed at one time.
pub(super) const ROWS: usize = 512;
/// Up to so many squares the layer runs as it does for whole pictures: to pack weights for so few costs more.
const FEW: usize = 3;

/// The sums of linear layer `step`, which runs without its activation, at every square.
pub(super) fn linear(clean: &Clean<'_>, cpu: &Cpu, step: &Step, input: &Patches) -> Result<Patches> {
    let network = clean.network();
    assert!(!step.relu, "the clean run keeps the sums of linear layers");
    let linear = packed::linear(network, step.node);
    let (weights, bias) = (clean.session.packed().linear(step.node)?, clean.session.packed().bias(step.node)?);
    let source = clean.tensor(network.node(step.node).inputs[0]);
    let shape = source.shape;

    let squares: Vec<usize> = (0..input.patches.len()).filter(|&s| input.maps(s, shape).is_some()).collect();
    let mut vectors = vec![0.0; squares.len() * linear.inputs];
    for (&s, vector) in squares.iter().zip(vectors.chunks_exact_mut(linear.inputs)) {
        gather(source, input.maps(s, shape).as_ref(), Frame::from(Window::full(shape.size())), vector);
    }
    let n = squares.len();
    let mut sums = vec![0.0; n * linear.outputs];
    if n <= FEW {
        if n > 0 {
            let none = Activation::None;
            switchback_kernels::linear::linear(cpu, &linear, weights, bias, none, &vectors, &mut sums);
        }
    } else {
        let changed: Vec<usize> = (0..linear.inputs)
            .filter(|&i| vectors.iter().skip(i).step_by(linear.inputs).any(|x| x.to_bits() != source.data[i].to_bits()))
            .collect();
        let mut deltas = vec![0.0; changed.len() * n];
        for (&i, row) in changed.iter().zip(deltas.chunks_exact_mut(n)) {
            for (delta, vector) in row.iter_mut().zip(vectors.chunks_exact(linear.inputs)) {
                *delta = vector[i] - source.data[i];
            }
        }
        let clean = &clean.tensor(step.output).data;
        let mut products = vec![0.0; ROWS.min(linear.outputs) * n];
        for first in (0..linear.outputs).step_by(ROWS) {
            let rows = ROWS.min(linear.outputs - first);
            let products = &mut products[..rows * n];
            let element = |o: usize, k: usize| weights.get(linear.index(first + o, changed[k]));
            let a = PackedA::new(cpu, rows, changed.len(), element);
            let b = Matrix::new(&deltas, changed.len(), n);
            gemm_packed(cpu, &a, b, MatrixMut::new(products, rows, n), false);
            for (s, sums) in sums.chunks_exact_mut(linear.outputs).enumerate() {
                for (o, sum) in sums[first..first + rows].iter_mut().enumerate() {
                    *sum = clean[first + o] + products[o * n + s];
                }
            }
        }
    }
    let mut patches = vec![Patch::NONE; input.patches.len()];
    for (at, &s) in squares.iter().enumerate() {
        let held = Window::full([1, 1]);
        patches[s] = Patch { buffer: 0, offset: at * linear.outputs, held, window: held };
    }
    Ok(Patches { buffers: vec![sums], patches })
}
