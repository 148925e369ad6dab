//! Fully connected layers, run from weights as they lie in the file: unpacked, unaligned, f32 or f16.

use crate::Cpu;
use crate::conv2d::Activation;
use crate::view::Weights;

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

/// y = act(x·W + bias): `x` is `batch × inputs`, `y` is `batch × outputs`.
pub fn linear(_cpu: &Cpu, _linear: &Linear, _weights: Weights<'_>, _bias: Option<&[f32]>, _activation: Activation, _x: &[f32], _y: &mut [f32]) {
    todo!()
}

/// The adjoint: `signal` is `batch × outputs`, `out` is `batch × inputs`.
pub fn linear_backward(_cpu: &Cpu, _linear: &Linear, _weights: Weights<'_>, _signal: &[f32], _out: &mut [f32]) {
    todo!()
}
