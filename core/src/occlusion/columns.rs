//! Linear layers by changed columns: `y = y₀ + (x − x₀)[changed] · W[:, changed]ᵀ`.
//!
//! ```text
//! squares ─▶        0 . 3 . .      columns that no square changes are left out;
//!                   . . 1 . 2      what remains is one dense product for all squares,
//!          changed    ^   ^        whose right side is the weights where they lie, some outputs at a time
//! ```
//! The sums differ from a full pass by rounding alone.

use switchback_kernels::conv2d::Activation;
use switchback_kernels::gemm::{MatrixMut, PackedA};
use switchback_kernels::linear::{self, Linear, linear_changes};
use switchback_kernels::{Cpu, Weights, Window};

use super::clean::Clean;
use super::patch::{Frame, Patch, Patches, gather};
use crate::error::Result;
use crate::plan::Step;
use crate::session::packed;

/// Outputs that are computed at one time.
const ROWS: usize = 512;
/// Up to so many squares the layer runs as it does for whole pictures: to turn weights for so few costs more.
const FEW: usize = 3;
/// Numbers between two vectors: at a distance of whole pages their numbers would throw each other out of the caches.
const GAP: usize = 16;

/// The sums of linear layer `step`, which runs without its activation, at every square.
pub(super) fn linear(clean: &Clean<'_>, cpu: &Cpu, step: &Step, input: &Patches) -> Result<Patches> {
    let network = clean.network();
    assert!(!step.relu, "the clean run keeps the sums of linear layers");
    let layer = packed::linear(network, step.node);
    let (weights, bias) = (clean.session.packed().linear(step.node)?, clean.session.packed().bias(step.node)?);
    let source = clean.tensor(network.node(step.node).inputs[0]);
    let shape = source.shape;

    let squares: Vec<usize> = (0..input.patches.len()).filter(|&s| input.maps(s, shape).is_some()).collect();
    let n = squares.len();
    let stride = layer.inputs + GAP;
    let mut vectors = vec![0.0; n * stride];
    cpu.threads.chunks_mut(&mut vectors, stride, |i, vector| {
        let frame = Frame::from(Window::full(shape.size()));
        gather(source, input.maps(squares[i], shape).as_ref(), frame, &mut vector[..layer.inputs]);
    });
    let mut sums = vec![0.0; n * layer.outputs];
    if (1..=FEW).contains(&n) {
        let vectors: Vec<f32> = vectors.chunks_exact(stride).flat_map(|v| &v[..layer.inputs]).copied().collect();
        linear::linear(cpu, &layer, weights, bias, Activation::None, &vectors, &mut sums);
    } else if n > 0 {
        let before = &clean.tensor(step.output).data;
        add_changes(cpu, &layer, weights, (&source.data, &vectors), (before, &mut sums));
    }
    let mut patches = vec![Patch::NONE; input.patches.len()];
    for (at, &s) in squares.iter().enumerate() {
        let held = Window::full([1, 1]);
        patches[s] = Patch { buffer: 0, offset: at * layer.outputs, held, window: held };
    }
    Ok(Patches { buffers: vec![sums], patches })
}

/// The sums of every vector x: those of the clean run, `before`, and W·(x − x₀). `sums` is squares × outputs.
fn add_changes(
    cpu: &Cpu,
    linear: &Linear,
    weights: Weights<'_>,
    (clean, vectors): (&[f32], &[f32]),
    (before, sums): (&[f32], &mut [f32]),
) {
    let Linear { inputs, outputs, .. } = *linear;
    let stride = inputs + GAP;
    let squares = vectors.len() / stride;
    let starts: Vec<usize> = (0..inputs).step_by(1024).collect();
    let changed = cpu.threads.map(starts, |start| {
        let range = start..inputs.min(start + 1024);
        let mut changes = vec![false; range.len()];
        for vector in vectors.chunks_exact(stride) {
            for ((changes, new), old) in changes.iter_mut().zip(&vector[range.clone()]).zip(&clean[range.clone()]) {
                *changes |= new.to_bits() != old.to_bits();
            }
        }
        range.zip(changes).filter(|(_, changed)| *changed).map(|(i, _)| i).collect::<Vec<_>>()
    });
    let changed = changed.concat();
    let element = |s: usize, k: usize| vectors[s * stride + changed[k]] - clean[changed[k]];
    let changes = PackedA::new(cpu, squares, changed.len(), element);
    let line = ROWS.min(outputs) + GAP;
    let mut block = vec![0.0; squares * line];
    for first in (0..outputs).step_by(ROWS) {
        let range = first..outputs.min(first + ROWS);
        let count = range.len();
        for row in block.chunks_exact_mut(line) {
            row[..count].copy_from_slice(&before[range.clone()]);
        }
        let out = MatrixMut::strided(&mut block, [squares, count], line);
        linear_changes(cpu, linear, weights, range.clone(), &changed, &changes, out);
        for (to, from) in sums.chunks_exact_mut(outputs).zip(block.chunks_exact(line)) {
            to[range.clone()].copy_from_slice(&from[..count]);
        }
    }
}
