//! Linear layers by changed columns: `y = y₀ + (x − x₀)[changed] · W[:, changed]ᵀ`.
//!
//! ```text
//! squares ─▶   cell 0   0 . 3      the columns of one cell of the maps below: those that no square changes are left out,
//!                       . . 1      and so are the squares that do not reach the cell;
//!              cell 1   2 2 .      what remains of each is a dense product, on whose right side the weights are read
//!              changed  ^   ^      once for all
//! ```
//! The sums differ from a full pass by rounding alone.

use switchback_kernels::Cpu;
use switchback_kernels::Window;
use switchback_kernels::conv2d::Activation;
use switchback_kernels::gemm::PackedA;
use switchback_kernels::linear::{self, Changes, linear_changes};
use switchback_kernels::overlay::{Frame, overlay};

use super::clean::Clean;
use super::patch::{Patch, Patches};
use crate::error::Result;
use crate::network::{Layer, NodeId};
use crate::plan::Step;
use crate::session::packed;

/// Up to so many squares the layer runs as it does for whole pictures: to turn weights for so few costs more.
const FEW: usize = 3;
/// Numbers between two vectors: at a distance of whole pages their numbers would throw each other out of the caches.
const GAP: usize = 16;
/// Maps with more cells are taken as one: products would be thin.
const MOST_CELLS: usize = 256;

/// The sums of linear layer `step`, which runs without its activation, at every square.
pub(super) fn linear(clean: &Clean<'_>, cpu: &Cpu, step: &Step, input: &Patches) -> Result<Patches> {
    let network = clean.network();
    assert!(!step.relu, "the clean run keeps the sums of linear layers");
    let layer = packed::linear(network, step.node);
    let (weights, bias) = (clean.session.packed().linear(step.node)?, clean.session.packed().bias(step.node)?);
    let below = network.node(step.node).inputs[0];
    let source = clean.tensor(below);
    let shape = source.shape;

    let squares: Vec<usize> = (0..input.patches.len()).filter(|&s| input.maps(s, shape).is_some()).collect();
    let n = squares.len();
    let stride = layer.inputs + GAP;
    let mut vectors = vec![0.0; n * stride];
    cpu.threads.chunks_mut(&mut vectors, stride, |i, vector| {
        let frame = Frame::from(Window::full(shape.size()));
        overlay(cpu, source.maps(), input.maps(squares[i], shape), frame, &mut vector[..layer.inputs]);
    });
    let mut sums = vec![0.0; n * layer.outputs];
    if (1..=FEW).contains(&n) {
        let vectors: Vec<f32> = vectors.chunks_exact(stride).flat_map(|v| &v[..layer.inputs]).copied().collect();
        linear::linear(cpu, &layer, weights, bias, Activation::None, &vectors, &mut sums);
    } else if n > 0 {
        let before = &clean.tensor(step.output).data;
        cpu.threads.chunks_mut(&mut sums, layer.outputs, |_, sums| sums.copy_from_slice(before));
        let cells = cells(clean, below);
        let changes = changes(cpu, &source.data[..layer.inputs], &vectors, cells);
        linear_changes(cpu, &layer, weights, &changes, &mut sums);
    }
    let mut patches = vec![Patch::NONE; input.patches.len()];
    for (at, &s) in squares.iter().enumerate() {
        let held = Window::full([1, 1]);
        patches[s] = Patch { buffer: 0, offset: at * layer.outputs, held, window: held };
    }
    Ok(Patches { buffers: vec![sums], patches })
}

/// Cells of the maps that the numbers of node `id` are: number `i` is of cell `i % cells`.
fn cells(clean: &Clean<'_>, id: NodeId) -> usize {
    let network = clean.network();
    let mut at = clean.source(id);
    while let Layer::Flatten = network.node(at).layer {
        at = clean.source(network.node(at).inputs[0]);
    }
    let cells = network.node(at).shape.size().iter().product();
    if cells <= MOST_CELLS { cells } else { 1 }
}

/// What differs between `vectors` and the `clean` one, cell by cell.
fn changes(cpu: &Cpu, clean: &[f32], vectors: &[f32], cells: usize) -> Vec<Changes> {
    let stride = clean.len() + GAP;
    let differs = |a: &f32, b: &f32| a.to_bits() != b.to_bits();
    // In which cells each vector does.
    let reached = cpu.threads.map(vectors.chunks_exact(stride).collect(), |vector| {
        let mut reached = vec![false; cells];
        for (new, old) in vector.chunks(cells).zip(clean.chunks(cells)) {
            for ((reached, new), old) in reached.iter_mut().zip(new).zip(old) {
                *reached |= differs(new, old);
            }
        }
        reached
    });
    // Which numbers do in some vector.
    let starts: Vec<usize> = (0..clean.len()).step_by(1024).collect();
    let changed = cpu.threads.map(starts, |start| {
        let range = start..clean.len().min(start + 1024);
        let mut changed = vec![false; range.len()];
        for vector in vectors.chunks_exact(stride) {
            for ((changed, new), old) in changed.iter_mut().zip(&vector[range.clone()]).zip(&clean[range.clone()]) {
                *changed |= differs(new, old);
            }
        }
        changed
    });
    let changed = changed.concat();
    let part = |cell: usize| {
        let inputs: Vec<usize> = (cell..clean.len()).step_by(cells).filter(|&i| changed[i]).collect();
        let of: Vec<usize> = (0..reached.len()).filter(|&v| reached[v][cell]).collect();
        let element = |v: usize, k: usize| vectors[of[v] * stride + inputs[k]] - clean[inputs[k]];
        let by = PackedA::new(cpu, of.len(), inputs.len(), element);
        Changes { inputs, vectors: of, by }
    };
    let parts = cpu.threads.map((0..cells).collect(), part);
    parts.into_iter().filter(|part| !part.inputs.is_empty()).collect()
}
