//! Fully connected layers, run from weights as they lie in the file: unpacked, unaligned, f32 or f16.
//!
//! y(n, o) = act(bias(o) + Σ_i w(o, i) · x(n, i))
//!
//! ```text
//! weights (outputs, inputs)                     weights (inputs, outputs)
//!   a few rows at a time, vectors along i,        a few vectors of outputs at a time, x(i) broadcast,
//!   one chain of vectors a row, then its sum      one chain an output
//! ```
//! Every sum is one chain in the order of i, so it is the same whatever rows, images and threads it is computed with.

use crate::Cpu;
use crate::conv2d::Activation;
use crate::simd::{Simd, SimdOp};
use crate::view::{Dtype, Weights};

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
    // A few tasks a thread, so that the last one is short; whole blocks, so that only the end has an edge.
    let each = outputs.div_ceil(4 * cpu.threads.count()).next_multiple_of(if transposed { 8 } else { 64 });
    if batch == 1 {
        cpu.threads.chunks_mut(y, each, |i, y| cpu.level.dispatch(Run { part, first: i * each, y }));
    } else {
        let mut columns = vec![0.0; y.len()];
        cpu.threads.chunks_mut(&mut columns, each * batch, |i, y| {
            cpu.level.dispatch(Run { part, first: i * each, y });
        });
        for (n, y) in y.chunks_mut(outputs).enumerate() {
            for (o, y) in y.iter_mut().enumerate() {
                *y = columns[o * batch + n];
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

/// Outputs from `first` on: `y` is `outputs × batch`.
struct Run<'a, 'y> {
    part: Part<'a>,
    first: usize,
    y: &'y mut [f32],
}

impl SimdOp for Run<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        match (self.part.linear.transposed, self.part.weights.dtype()) {
            (true, Dtype::F32) => self.rows::<S, false>(simd),
            (true, Dtype::F16) => self.rows::<S, true>(simd),
            (false, Dtype::F32) => self.columns::<S, false>(simd),
            (false, Dtype::F16) => self.columns::<S, true>(simd),
        }
        let Self { part, first, y } = self;
        for (i, y) in y.chunks_mut(part.batch).enumerate() {
            let bias = part.bias.map_or(0.0, |bias| bias[first + i]);
            for y in y {
                *y += bias;
                // Not `max`: NaN must stay NaN.
                if part.relu && *y < 0.0 {
                    *y = 0.0;
                }
            }
        }
    }
}

impl Run<'_, '_> {
    #[inline(always)]
    fn rows<S: Simd, const HALF: bool>(&mut self, simd: S) {
        let batch = self.part.batch;
        let count = self.y.len() / batch;
        let mut n = 0;
        while n < batch {
            let images = if batch - n >= 4 { 4 } else { 1 };
            let mut r = 0;
            while r < count {
                r += match (images, count - r) {
                    (1, 8..) => self.dots::<S, HALF, 8, 1>(simd, r, n),
                    (1, _) => self.dots::<S, HALF, 1, 1>(simd, r, n),
                    (_, 3..) => self.dots::<S, HALF, 3, 4>(simd, r, n),
                    _ => self.dots::<S, HALF, 1, 4>(simd, r, n),
                };
            }
            n += images;
        }
    }

    /// `R` outputs of `B` images, from row `r` and image `n` on.
    #[inline(always)]
    fn dots<S: Simd, const HALF: bool, const R: usize, const B: usize>(
        &mut self,
        simd: S,
        r: usize,
        n: usize,
    ) -> usize {
        let part = self.part;
        let inputs = part.linear.inputs;
        let size = part.weights.dtype().size();
        let rows: [&[u8]; R] = std::array::from_fn(|i| {
            let start = (self.first + r + i) * inputs * size;
            &part.weights.bytes()[start..start + inputs * size]
        });
        let images: [&[f32]; B] = std::array::from_fn(|b| &part.x[(n + b) * inputs..(n + b + 1) * inputs]);
        let mut acc = [[simd.splat(0.0); B]; R];
        let whole = inputs / S::LANES * S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let x: [S::F32; B] = std::array::from_fn(|b| simd.load(&images[b][i..]));
            for r in 0..R {
                let w = widen::<S, HALF>(simd, &rows[r][i * size..]);
                for b in 0..B {
                    acc[r][b] = simd.fma(w, x[b], acc[r][b]);
                }
            }
        }
        if whole < inputs {
            let x: [S::F32; B] = std::array::from_fn(|b| simd.load_partial(&images[b][whole..], 0.0));
            for r in 0..R {
                let row = Weights::new(&rows[r][whole * size..], part.weights.dtype());
                let w = rest(simd, row);
                for b in 0..B {
                    acc[r][b] = simd.fma(w, x[b], acc[r][b]);
                }
            }
        }
        for i in 0..R {
            for b in 0..B {
                self.y[(r + i) * part.batch + n + b] = simd.reduce_sum(acc[i][b]);
            }
        }
        R
    }

    #[inline(always)]
    fn columns<S: Simd, const HALF: bool>(&mut self, simd: S) {
        let batch = self.part.batch;
        let count = self.y.len() / batch;
        for n in 0..batch {
            let mut o = 0;
            while o < count {
                o += match count - o {
                    left if left >= 4 * S::LANES => self.chains::<S, HALF, 4>(simd, o, n, 4 * S::LANES),
                    left => self.chains::<S, HALF, 1>(simd, o, n, left.min(S::LANES)),
                };
            }
        }
    }

    /// `len` outputs, at most `V` vectors, of image `n`, from output `o` on.
    #[inline(always)]
    fn chains<S: Simd, const HALF: bool, const V: usize>(&mut self, simd: S, o: usize, n: usize, len: usize) -> usize {
        let part = self.part;
        let Linear { inputs, outputs, .. } = *part.linear;
        let size = part.weights.dtype().size();
        let mut acc = [simd.splat(0.0); V];
        for (i, &x) in part.x[n * inputs..(n + 1) * inputs].iter().enumerate() {
            let x = simd.splat(x);
            let start = (i * outputs + self.first + o) * size;
            let row = &part.weights.bytes()[start..start + len * size];
            if len == V * S::LANES {
                for v in 0..V {
                    acc[v] = simd.fma(widen::<S, HALF>(simd, &row[v * S::LANES * size..]), x, acc[v]);
                }
            } else {
                acc[0] = simd.fma(rest(simd, Weights::new(row, part.weights.dtype())), x, acc[0]);
            }
        }
        let mut lanes = [0.0; 64];
        for v in 0..V {
            simd.store(acc[v], &mut lanes[v * S::LANES..]);
        }
        for j in 0..len {
            self.y[(o + j) * part.batch + n] = lanes[j];
        }
        len
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
