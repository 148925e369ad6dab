//! Naive matrix products and convolutions, summed in f64.

use crate::conv2d::Conv2d;
use crate::linear::Linear;

/// C = A·B: `a` is m × k, `b` is k × n, both row-major.
pub fn gemm(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut c = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            c.push((0..k).map(|p| f64::from(a[i * k + p]) * f64::from(b[p * n + j])).sum::<f64>() as f32);
        }
    }
    c
}

/// Calls `f(output index, input index, weight index)` for every product of a convolution of `batch` images of `size`
/// to maps of `out`.
fn products(conv: &Conv2d, batch: usize, size: [usize; 2], out: [usize; 2], mut f: impl FnMut(usize, usize, usize)) {
    let g = &conv.geometry;
    let (ins, outs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let [kh, kw] = g.kernel;
    for n in 0..batch {
        for o in 0..conv.out_channels {
            for (y, x) in (0..out[0]).flat_map(|y| (0..out[1]).map(move |x| (y, x))) {
                for c in 0..ins {
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let iy = (y * g.stride[0] + ky * g.dilation[0]).wrapping_sub(g.pads[0]);
                        let ix = (x * g.stride[1] + kx * g.dilation[1]).wrapping_sub(g.pads[1]);
                        if iy < size[0] && ix < size[1] {
                            let channel = o / outs * ins + c;
                            f(
                                ((n * conv.out_channels + o) * out[0] + y) * out[1] + x,
                                ((n * conv.in_channels + channel) * size[0] + iy) * size[1] + ix,
                                ((o * ins + c) * kh + ky) * kw + kx,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// `batch × out_channels × out` from `batch × in_channels × size`.
pub fn conv2d(
    conv: &Conv2d,
    weights: &[f32],
    bias: Option<&[f32]>,
    input: &[f32],
    batch: usize,
    size: [usize; 2],
    out: [usize; 2],
) -> Vec<f32> {
    let plane = out[0] * out[1];
    let mut sums: Vec<f64> = (0..batch * conv.out_channels * plane)
        .map(|i| bias.map_or(0.0, |bias| f64::from(bias[i / plane % conv.out_channels])))
        .collect();
    products(conv, batch, size, out, |o, i, w| sums[o] += f64::from(weights[w]) * f64::from(input[i]));
    sums.into_iter().map(|x| x as f32).collect()
}

/// The adjoint: `batch × in_channels × size` from a signal of `batch × out_channels × out`.
pub fn conv_transpose2d(
    conv: &Conv2d,
    weights: &[f32],
    bias: Option<&[f32]>,
    signal: &[f32],
    batch: usize,
    size: [usize; 2],
    out: [usize; 2],
) -> Vec<f32> {
    let plane = size[0] * size[1];
    let mut sums: Vec<f64> = (0..batch * conv.in_channels * plane)
        .map(|i| bias.map_or(0.0, |bias| f64::from(bias[i / plane % conv.in_channels])))
        .collect();
    products(conv, batch, size, out, |o, i, w| sums[i] += f64::from(weights[w]) * f64::from(signal[o]));
    sums.into_iter().map(|x| x as f32).collect()
}

/// `x` is `batch × inputs`.
pub fn linear(linear: &Linear, weights: &[f32], bias: Option<&[f32]>, x: &[f32]) -> Vec<f32> {
    let mut y = Vec::new();
    for x in x.chunks(linear.inputs) {
        for o in 0..linear.outputs {
            let sum: f64 = (0..linear.inputs).map(|i| f64::from(weights[linear.index(o, i)]) * f64::from(x[i])).sum();
            y.push((sum + bias.map_or(0.0, |bias| f64::from(bias[o]))) as f32);
        }
    }
    y
}

/// The adjoint: `signal` is `batch × outputs`.
pub fn linear_backward(linear: &Linear, weights: &[f32], signal: &[f32]) -> Vec<f32> {
    let mut out = Vec::new();
    for s in signal.chunks(linear.outputs) {
        for i in 0..linear.inputs {
            let sum: f64 = (0..linear.outputs).map(|o| f64::from(weights[linear.index(o, i)]) * f64::from(s[o])).sum();
            out.push(sum as f32);
        }
    }
    out
}
