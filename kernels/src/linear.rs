//! Fully connected layers, run from weights as they lie in the file: unpacked, unaligned, f32 or f16.
//!
//! y(n, o) = act(bias(o) + Σ_i w(o, i) · x(n, i))
//!
//! ```text
//! weights (outputs, inputs): rows.rs            weights (inputs, outputs): columns.rs
//!   a few rows at a time, vectors along i,        a few rows at a time, vectors along o, x(i) broadcast,
//!   one chain of vectors a row, then its sum      one chain an output
//! ```
//! Every sum is one chain in the order of i, so it is the same whatever rows, images and threads it is computed with.
//! Weights come from memory once, for all images of a batch, and each thread reads whole stretches of them.

mod changed;
mod columns;
mod rows;

use crate::Cpu;
use crate::conv2d::Activation;
use crate::simd::Simd;
use crate::view::{Dtype, Weights};
pub use changed::{Changes, linear_changes};

/// The constants of a fully connected layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linear {
    /// Numbers in.
    pub inputs: usize,
    /// Numbers out.
    pub outputs: usize,
    /// Weights are `(outputs, inputs)`, else `(inputs, outputs)`.
    pub transposed: bool,
}

impl Linear {
    /// Where the weight of output `o` and input `i` stands.
    #[inline(always)]
    pub fn index(&self, o: usize, i: usize) -> usize {
        if self.transposed { o * self.inputs + i } else { i * self.outputs + o }
    }
}

/// y = act(W·x + bias): `x` is `batch × inputs`, `y` is `batch × outputs`.
///
/// # Example
///
/// ```
/// use switchback_kernels::conv2d::Activation;
/// use switchback_kernels::linear::{Linear, linear};
/// use switchback_kernels::{Cpu, Dtype, Weights};
///
/// let layer = Linear { inputs: 3, outputs: 2, transposed: true };
/// let bytes: Vec<u8> = [1.0f32, 2.0, 3.0, -1.0, -1.0, -1.0].iter().flat_map(|w| w.to_le_bytes()).collect();
/// let mut y = [0.0; 2];
/// let weights = Weights::new(&bytes, Dtype::F32);
/// linear(&Cpu::new(1), &layer, weights, Some(&[0.5, 0.5]), Activation::Relu, &[1.0, 1.0, 1.0], &mut y);
/// assert_eq!(y, [6.5, 0.0]);
/// ```
pub fn linear(
    cpu: &Cpu,
    linear: &Linear,
    weights: Weights<'_>,
    bias: Option<&[f32]>,
    activation: Activation,
    x: &[f32],
    y: &mut [f32],
) {
    let Linear { inputs, outputs, transposed } = *linear;
    assert_eq!(weights.len(), inputs * outputs, "weights of {linear:?}");
    assert!(inputs > 0 && outputs > 0, "an empty layer {linear:?}");
    assert!(x.len().is_multiple_of(inputs), "{} numbers are no whole vectors of {inputs}", x.len());
    let batch = x.len() / inputs;
    assert_eq!(y.len(), batch * outputs, "numbers out of {batch} vectors of {outputs}");
    if let Some(bias) = bias {
        assert_eq!(bias.len(), outputs, "one bias an output");
    }
    let relu = activation == Activation::Relu;
    let part = Part { linear, weights, bias, relu, x, batch };
    let run = |first: usize, y: &mut [f32]| match (transposed, weights.dtype()) {
        (true, Dtype::F32) => cpu.level.dispatch(rows::Rows::<false> { part, first, y }),
        (true, Dtype::F16) => cpu.level.dispatch(rows::Rows::<true> { part, first, y }),
        (false, Dtype::F32) => cpu.level.dispatch(columns::Columns::<false> { part, first, y }),
        (false, Dtype::F16) => cpu.level.dispatch(columns::Columns::<true> { part, first, y }),
    };
    // A few tasks a thread, so that the last one is short; where rows are cut, fewer, so that the pieces stay long.
    let (tasks, whole) = if transposed { (4, 24) } else { (1, 64) };
    let each = outputs.div_ceil(tasks * cpu.threads.count()).next_multiple_of(whole);
    if batch == 1 {
        cpu.threads.chunks_mut(y, each, |i, y| run(i * each, y));
    } else {
        let mut across = vec![0.0; y.len()];
        cpu.threads.chunks_mut(&mut across, each * batch, |i, y| run(i * each, y));
        for (n, y) in y.chunks_mut(outputs).enumerate() {
            for (o, y) in y.iter_mut().enumerate() {
                *y = across[o * batch + n];
            }
        }
    }
}

/// The adjoint: `signal` is `batch × outputs`, `out` is `batch × inputs`.
pub fn linear_backward(cpu: &Cpu, forward: &Linear, weights: Weights<'_>, signal: &[f32], out: &mut [f32]) {
    let back = Linear { inputs: forward.outputs, outputs: forward.inputs, transposed: !forward.transposed };
    linear(cpu, &back, weights, None, Activation::None, signal, out);
}

#[derive(Clone, Copy)]
struct Part<'a> {
    linear: &'a Linear,
    weights: Weights<'a>,
    bias: Option<&'a [f32]>,
    relu: bool,
    x: &'a [f32],
    batch: usize,
}

impl Part<'_> {
    /// The sum of output `o` with its bias and through the activation.
    #[inline(always)]
    fn finish(&self, o: usize, sum: f32) -> f32 {
        let y = sum + self.bias.map_or(0.0, |bias| bias[o]);
        // Not `max`: NaN must stay NaN.
        if self.relu && y < 0.0 { 0.0 } else { y }
    }
}

#[inline(always)]
fn widen<S: Simd, const HALF: bool>(simd: S, bytes: &[u8]) -> S::F32 {
    if HALF { simd.load_f16_bytes(bytes) } else { simd.load_f32_bytes(bytes) }
}

/// Fewer weights than a vector holds, padded with zeros.
#[inline(always)]
fn rest<S: Simd>(simd: S, weights: Weights<'_>) -> S::F32 {
    let mut lanes = [0.0; 16];
    for (i, lane) in lanes[..weights.len()].iter_mut().enumerate() {
        *lane = weights.get(i);
    }
    simd.load(&lanes)
}
